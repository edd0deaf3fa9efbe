"""Subscriptions: the events of each field, and the operation that is executed for each event."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import ForbiddenError, UnauthenticatedError, UpstreamUnavailableError
from gateway.graph.execution.engine import GraphRequest, GraphResult
from gateway.graph.execution.result_stream import MAX_SUBSCRIPTION_SIZE, ResultStream
from gateway.telemetry.metrics import REJECTIONS
from gateway.upstream.values import kept_json
from tests.gateways import Sandbox, gateway_over
from tests.graph.subscriptions import (
    CHANGES,
    JOB,
    NO_OPTIONS,
    SPRING,
    Events,
    Graph,
    parsed,
    spring,
)
from tests.upstream.clients import GET, LIST, TIME, row
from tests.watch.doubles import MODEL_ARN, Upstream, arn, job

WITH_COST = replace(NO_OPTIONS, show_cost=True)

# One job


async def test_a_job_is_sent_at_once_and_at_each_change_until_it_is_settled() -> None:
    """Each event costs the poll's call only."""
    graph = Graph(spring())
    async with graph.events(JOB, SPRING) as events:
        seen = [await events.data()]
        for status in ("CREATE_IN_PROGRESS", "DELETE_PENDING", "ACTIVE"):
            graph.upstream.jobs["spring"]["status"] = status
            await graph.pass_interval()
            if status != "CREATE_IN_PROGRESS":
                seen.append(await events.data())
        assert await events.next() is None

    assert [each["status"] for each in seen] == ["CREATE_IN_PROGRESS", "DELETE_PENDING", "ACTIVE"]
    assert [operation for _, operation, _ in graph.upstream.calls] == [GET] * 4
    assert graph.executed == 3


@pytest.mark.parametrize("status", ["ACTIVE", "CREATE_FAILED", "DELETE_FAILED"])
async def test_a_settled_job_is_sent_once(status: str) -> None:
    graph = Graph(spring(status=status))
    async with graph.events(JOB, SPRING) as events:
        assert (await events.data())["status"] == status
        assert await events.next() is None
    assert len(graph.upstream.calls) == 1


@pytest.mark.parametrize(
    "status",
    ["CREATE_PENDING", "CREATE_IN_PROGRESS", "DELETE_PENDING", "DELETE_IN_PROGRESS", "TOMORROW"],
)
async def test_a_job_in_another_status_is_watched_on(status: str) -> None:
    graph = Graph(spring(status=status))
    async with graph.events(JOB, SPRING) as events:
        await events.data()
        del graph.upstream.jobs["spring"]
        await graph.pass_interval()
        assert await events.next() == {"data": {"audienceGenerationJob": None}}
        assert await events.next() is None


async def test_a_job_that_never_existed_is_an_error() -> None:
    graph = Graph(Upstream())
    async with graph.events(JOB, SPRING) as events:
        content = await events.next()
        assert content["data"] == {"audienceGenerationJob": None}
        assert content["errors"][0]["extensions"]["code"] == "NOT_FOUND"
        assert content["errors"][0]["path"] == ["audienceGenerationJob"]
        assert await events.next() is None


async def test_details_are_those_of_the_reading() -> None:
    """Without another call, also if nothing is cached. Only what Get returns may have changed."""
    query = """
      subscription Watch($arn: String!) {
        watched: audienceGenerationJob(audienceGenerationJobArn: $arn) {
          status statusDetails { message }
        }
      }
    """
    graph = Graph(spring(), cache_seconds=0)
    async with graph.events(query, SPRING) as events:
        assert (await events.data())["statusDetails"] is None
        for message in ("a", "b"):
            graph.upstream.jobs["spring"]["statusDetails"] = {"message": message}
            await graph.pass_interval()
            assert (await events.data())["statusDetails"] == {"message": message}
    assert [operation for _, operation, _ in graph.upstream.calls] == [GET] * 3


# Changes of a list


async def change_of(events: Events) -> tuple[str, str, Any]:
    """Return the kind, and name and status of the job."""
    change = await events.data()
    name = change["audienceGenerationJobArn"].rpartition("/")[2]
    shown = change["audienceGenerationJob"]
    assert shown is None or shown["name"] == name
    return change["kind"], name, shown and shown["status"]


async def test_changes_of_a_list_from_now_on() -> None:
    graph = Graph(Upstream([job("a"), job("b")], [job("c")]))
    async with graph.events(CHANGES) as events:
        graph.upstream.pages = [[job("new"), job("a")], [job("c", "ACTIVE")]]
        await graph.pass_interval()
        assert [await change_of(events) for _ in range(3)] == [
            ("CREATED", "new", "CREATE_IN_PROGRESS"),
            ("UPDATED", "c", "ACTIVE"),
            ("DELETED", "b", None),
        ]
    # Two pages, and two walks for what is gone; the events cost nothing.
    assert len(graph.upstream.calls) == 2 + 4


async def test_a_filter_makes_jobs_come_and_go() -> None:
    graph = Graph(Upstream([job("a"), job("b"), job("c", "ACTIVE")]))
    variables = {"filter": {"status": ["CREATE_IN_PROGRESS", "CREATE_PENDING"]}}
    async with graph.events(CHANGES, variables) as events:
        graph.upstream.pages = [
            [job("a", "CREATE_PENDING"), job("b", "ACTIVE"), job("c", "DELETE_PENDING"), job("d")]
        ]
        await graph.pass_interval()
        assert [await change_of(events) for _ in range(3)] == [
            ("UPDATED", "a", "CREATE_PENDING"),
            ("DELETED", "b", None),
            ("CREATED", "d", "CREATE_IN_PROGRESS"),
        ]


async def test_subscriptions_with_different_filters_share_the_poll() -> None:
    """AWS applies other restrictions, so those are another list."""
    graph = Graph(Upstream([job("a")]))
    by_model = f"""
      subscription {{
        audienceGenerationJobChanges(configuredAudienceModelArn: "{MODEL_ARN}") {{ kind }}
      }}
    """
    async with (
        graph.events(CHANGES),
        graph.events(CHANGES, {"filter": {"status": ["ACTIVE"]}}) as active,
        graph.events(CHANGES, {"filter": {"nameContains": "B"}}) as named,
        graph.events(by_model),
    ):
        assert [parameters for *_, parameters in graph.upstream.calls] == [
            {"maxResults": 100},
            {"maxResults": 100, "configuredAudienceModelArn": MODEL_ARN},
        ]
        graph.upstream.pages = [[job("a", "ACTIVE"), job("b")]]
        await graph.pass_interval()
        assert await change_of(active) == ("CREATED", "a", "ACTIVE")
        assert await change_of(named) == ("CREATED", "b", "CREATE_IN_PROGRESS")


async def test_details_of_a_changed_job_are_read_for_its_event() -> None:
    """The members of the row stay those of the event. Subscribers share the calls."""
    query = """
      subscription {
        audienceGenerationJobChanges {
          kind audienceGenerationJob { status statusDetails { message } }
        }
      }
    """
    graph = Graph(Upstream([job("a")]))
    async with graph.events(query) as first, graph.events(query) as second:
        graph.upstream.pages = [[job("a", "DELETE_PENDING")]]
        details = {"statusDetails": {"message": "on its way"}}
        graph.upstream.jobs["a"] = job("a", "DELETE_IN_PROGRESS") | details
        await graph.pass_interval()
        for events in (first, second):
            assert await events.data() == {
                "kind": "UPDATED",
                "audienceGenerationJob": {"status": "DELETE_PENDING", **details},
            }
    assert [operation for _, operation, _ in graph.upstream.calls] == [LIST, LIST, GET]


async def test_a_job_has_one_state_in_an_event() -> None:
    """That of its reading, also where another object links to it."""
    query = """
      subscription {
        audienceGenerationJobChanges {
          audienceGenerationJob {
            status exportJobs { nodes { audienceGenerationJob { status } } }
          }
        }
      }
    """
    graph = Graph(Upstream([job("a")]))
    export = row("export") | {"audienceGenerationJobArn": arn("a"), "status": "ACTIVE"}
    graph.upstream.responses["ListAudienceExportJobs"] = {
        "audienceExportJobs": [export | {"audienceSize": {"type": "ABSOLUTE", "value": 1}}]
    }
    async with graph.events(query) as events:
        graph.upstream.pages = [[job("a", "DELETE_PENDING")]]
        graph.upstream.jobs["a"] = job("a", "DELETE_IN_PROGRESS")
        await graph.pass_interval()
        shown = (await events.data())["audienceGenerationJob"]

    assert shown == {
        "status": "DELETE_PENDING",
        "exportJobs": {"nodes": [{"audienceGenerationJob": {"status": "DELETE_PENDING"}}]},
    }


STATES = st.lists(
    st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(["ACTIVE", "CREATE_PENDING"])),
    min_size=1,
    max_size=6,
)


@settings(max_examples=30)
@given(
    STATES,
    st.lists(st.booleans(), min_size=6, max_size=6),
    st.integers(1, 4),
    st.none() | st.just(["ACTIVE"]),
    st.randoms(use_true_random=False),
)
def test_following_the_changes_gives_the_filtered_list(
    states: list[dict[str, str]],
    reads: list[bool],
    size: int,
    accepted: list[str] | None,
    random: Any,
) -> None:
    """In pages of any size and in any order; a slow client reads only after some of the states."""

    def listed(state: dict[str, str]) -> dict[str, str]:
        return {k: v for k, v in state.items() if accepted is None or v in accepted}

    def show(state: dict[str, str]) -> None:
        rows = [job(name, status) for name, status in state.items()]
        random.shuffle(rows)
        graph.upstream.pages = [rows[at : at + size] for at in range(0, len(rows), size)] or [[]]

    async def follow() -> None:
        show(states[0])
        view = listed(states[0])
        async with graph.events(CHANGES, {"filter": {"status": accepted}}) as events:
            for state, is_read in zip(states[1:], reads, strict=False):
                show(state)
                await graph.pass_interval()
                while is_read and view != listed(state):
                    kind, name, status = await change_of(events)
                    assert (name in view) == (kind != "CREATED")
                    assert view.get(name) != status
                    view[name] = status
                    if status is None:
                        del view[name]

    graph = Graph(Upstream())
    asyncio.run(follow())


# The operation


async def test_an_error_in_one_event_does_not_end_the_stream() -> None:
    """Links are read for each event, and fail for it alone."""
    query = """
      subscription Watch($arn: String!) {
        audienceGenerationJob(audienceGenerationJobArn: $arn) {
          status configuredAudienceModel { name }
        }
      }
    """
    graph = Graph(spring())
    async with graph.events(query, SPRING) as events:
        assert (await events.data())["configuredAudienceModel"] == {"name": "model"}
        graph.upstream.jobs["spring"]["status"] = "DELETE_PENDING"
        await graph.pass_interval()
        graph.upstream.failures = [UpstreamUnavailableError("Clean Rooms ML failed.")]
        content = await events.next()
        assert parsed(content["data"])["audienceGenerationJob"] == {
            "status": "DELETE_PENDING",
            "configuredAudienceModel": None,
        }
        assert content["errors"][0]["extensions"]["code"] == "UPSTREAM_UNAVAILABLE"
        graph.upstream.jobs["spring"]["status"] = "ACTIVE"
        await graph.pass_interval()
        assert (await events.data())["configuredAudienceModel"] == {"name": "model"}
        assert await events.next() is None


async def test_each_event_has_limits_and_budgets_of_its_own() -> None:
    """Those of a second event would exceed them if they added up."""
    query = """
      subscription Watch($arn: String!) {
        audienceGenerationJob(audienceGenerationJobArn: $arn) {
          status configuredAudienceModel { name status }
        }
      }
    """
    graph = Graph(spring(), max_detail_calls=2, limit_fields=5, cache_seconds=0)
    async with graph.events(query, SPRING) as events:
        for number in range(4):
            assert (await events.data())["status"]
            graph.upstream.jobs["spring"]["description"] = str(number)
            await graph.pass_interval()


async def test_an_event_that_exceeds_a_limit_is_an_error_and_the_stream_goes_on() -> None:
    query = """
      subscription Watch($arn: String!) {
        audienceGenerationJob(audienceGenerationJobArn: $arn) { status description }
      }
    """
    graph = Graph(spring(), limit_answer_bytes=1000)
    async with graph.events(query, SPRING) as events:
        await events.data()
        graph.upstream.jobs["spring"]["description"] = "x" * 1000
        await graph.pass_interval()
        assert await events.code() == "LIMIT_EXCEEDED"
        graph.upstream.jobs["spring"]["description"] = "short"
        await graph.pass_interval()
        assert (await events.data())["description"] == "short"


@pytest.mark.parametrize("excess", [0, 1])
@pytest.mark.parametrize("padded", ["document", "variables"])
async def test_the_text_that_a_subscription_keeps_is_limited(padded: str, excess: int) -> None:
    """A thousand of them are kept for an hour."""
    query, variables = JOB, SPRING | {"unused": ""}
    missing = MAX_SUBSCRIPTION_SIZE - len(query) - len(kept_json(variables)) + excess
    if padded == "document":
        query += " " * missing
    else:
        variables["unused"] = "x" * missing
    graph, rejections = Graph(spring()), REJECTIONS.labels("subscription_size")
    before = rejections._value.get()
    opened = await graph.subscribe(query, variables)

    assert rejections._value.get() - before == excess
    if excess:
        assert isinstance(opened, GraphResult)
        assert opened.outcome == "LIMIT_EXCEEDED"
        assert f"{MAX_SUBSCRIPTION_SIZE} characters" in opened.errors[0]["message"]
        assert graph.upstream.calls == []
    else:
        assert isinstance(opened, ResultStream)
        opened.close()


async def test_an_error_of_the_watch_is_the_last_result() -> None:
    graph = Graph(spring())
    async with graph.events(JOB, SPRING) as events:
        await events.data()
        graph.upstream.failure = ForbiddenError("AWS does not allow the caller this operation.")
        await graph.pass_interval()
        assert await events.code() == "FORBIDDEN"
        assert await events.next() is None


async def test_an_error_before_the_first_state_rejects_the_subscription() -> None:
    graph = Graph(spring())
    for error, unauthenticated in (
        (ForbiddenError("AWS does not allow the caller this operation."), False),
        (UnauthenticatedError("The AWS credentials have expired."), True),
    ):
        graph.upstream.failure = error
        result = await graph.subscribe(JOB, SPRING)
        assert isinstance(result, GraphResult)
        assert (result.outcome, result.unauthenticated) == (error.code, unauthenticated)
        assert result.operation == "Watch"


async def test_without_a_caller_nothing_is_watched() -> None:
    graph = Graph(spring())
    identity = UnauthenticatedError("This field requires authentication.")
    for query, variables in ((JOB, SPRING), (CHANGES, {})):
        result = await graph.subscribe(query, variables, identity=identity)
        assert isinstance(result, GraphResult)
        assert result.unauthenticated
    assert graph.upstream.calls == []


ELSEWHERE = f'"{arn("spring").replace("us-east-1", "us-east-2")}"'
EMPTY_PERIOD = f'createdAfter: "{TIME}", createdBefore: "{TIME}"'


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ('audienceGenerationJob(audienceGenerationJobArn: "arn:x") { name }', "is not valid"),
        (
            f"audienceGenerationJob(audienceGenerationJobArn: {ELSEWHERE}) {{ name }}",
            "names a region that is not served",
        ),
        ('audienceGenerationJobChanges(region: "mars") { kind }', "region"),
        ('audienceGenerationJobChanges(collaborationId: "x") { kind }', "`collaborationId`"),
        ('audienceGenerationJobChanges(configuredAudienceModelArn: "x") { kind }', "ModelArn`"),
        (
            f"audienceGenerationJobChanges(filter: {{{EMPTY_PERIOD}}}) {{ kind }}",
            "created",
        ),
    ],
)
async def test_arguments_are_checked_as_those_of_queries(field: str, message: str) -> None:
    graph = Graph(spring())
    result = await graph.subscribe(f"subscription {{ {field} }}")

    assert isinstance(result, GraphResult)
    assert result.outcome == "BAD_USER_INPUT"
    assert message in result.errors[0]["message"]
    assert graph.upstream.calls == []


FIELD = f'audienceGenerationJob(audienceGenerationJobArn: "{arn("spring")}")'


@pytest.mark.parametrize(
    "selection",
    [
        f"{FIELD} {{ name }} again: {FIELD} {{ name }}",
        f"{FIELD} {{ name }} audienceGenerationJobChanges {{ kind }}",
        f"...F }} fragment F on Subscription {{ {FIELD} {{ name }} b: {FIELD} {{ name }}",
        "__typename",
        f"__typename {FIELD} {{ name }}",
        f"{FIELD} @include(if: true) {{ name }}",
        f"{FIELD} @skip(if: true) {{ name }}",
        f"... @include(if: true) {{ {FIELD} {{ name }} }}",
        "__schema { types { name } }",
    ],
)
async def test_a_subscription_has_one_root_field_without_conditions(selection: str) -> None:
    graph = Graph(spring())
    result = await graph.subscribe(f"subscription {{ {selection} }}")

    assert isinstance(result, GraphResult)
    assert result.outcome == "GRAPHQL_VALIDATION_FAILED"
    assert graph.upstream.calls == []


NAME_AND_STATUS = "fragment G on AudienceGenerationJob { name status"


@pytest.mark.parametrize(
    "selection",
    [
        f"{FIELD} {{ name }} {FIELD} {{ status }}",
        f"...F }} fragment F on Subscription {{ {FIELD} {{ name status }}",
        f"...F }} fragment F on Subscription {{ {FIELD} {{ ...G }} }} {NAME_AND_STATUS}",
        f"{FIELD} {{ ... on Node {{ id @include(if: false) }} name status }}",
    ],
)
async def test_fields_of_a_subscription_merge_and_may_be_in_fragments(selection: str) -> None:
    graph = Graph(spring())
    async with graph.events(f"subscription {{ {selection} }}") as events:
        assert await events.data() == {"name": "spring", "status": "CREATE_IN_PROGRESS"}


ROW = "audienceGenerationJobChanges { kind audienceGenerationJob"


@pytest.mark.parametrize(
    ("selection", "pages", "details"),
    [
        (f"{FIELD} {{ name }}", 0, 1),
        (f"{FIELD} {{ name statusDetails {{ message }} }}", 0, 1),
        (f"{FIELD} {{ configuredAudienceModel {{ name }} }}", 0, 2),
        (f"{FIELD} {{ exportJobs(first: 150) {{ nodes {{ name }} }} }}", 0, 3),
        ("audienceGenerationJobChanges { kind }", 1, 0),
        (f"{ROW} {{ name }} }}", 1, 0),
        (f"{ROW} {{ name tags {{ key }} statusDetails {{ message }} }} }}", 1, 1),
        (f"{ROW} {{ configuredAudienceModel {{ name }} }} }}", 1, 1),
        (f"{ROW} {{ tags {{ key }} exportJobs {{ nodes {{ name }} }} }} }}", 1, 2),
        (f"{ROW} {{ name }} again: audienceGenerationJob {{ tags {{ key }} }} }}", 1, 1),
    ],
)
async def test_the_estimate_is_the_cost_of_a_reading_and_of_one_event(
    selection: str, pages: int, details: int
) -> None:
    graph = Graph(spring())
    operation = graph.engine.prepare(
        GraphRequest(f"subscription {{ {selection} }}"), read_only=True
    )

    assert not isinstance(operation, GraphResult), operation
    assert (operation.estimate.pages, operation.estimate.details) == (pages, details)


async def test_events_report_their_cost_if_asked_to() -> None:
    """Of the event alone: the poll's calls are for all subscriptions."""
    query = f"subscription {{ {FIELD} {{ name configuredAudienceModel {{ name }} }} }}"
    graph = Graph(spring())
    async with graph.events(query, options=WITH_COST) as events:
        costs = [(await events.next())["extensions"]["cost"]]
        graph.upstream.jobs["spring"]["description"] = "new"
        await graph.pass_interval()
        costs.append((await events.next())["extensions"]["cost"])

    assert [each["estimate"] for each in costs] == [{"pages": 0, "details": 2}] * 2
    assert [each["upstreamCalls"] for each in costs] == [1, 1]


def test_queries_after_an_event_show_its_state_without_a_call(sandbox: Sandbox) -> None:
    """Whole answers that were kept before are not served again."""
    arn = sandbox.start_job()
    query = f'{{ audienceGenerationJob(audienceGenerationJobArn: "{arn}") {{ status }} }}'
    with gateway_over(sandbox, cache_seconds=300) as gateway:
        before = [gateway.ask(query).data["audienceGenerationJob"]["status"] for _ in range(2)]
        sandbox.set_job_status(arn, "ACTIVE")
        stream = gateway.ask(f"subscription {query}", headers={"Accept": "text/event-stream"})
        after = [gateway.ask(query).data["audienceGenerationJob"]["status"] for _ in range(2)]

    assert before[0] == before[1] != "ACTIVE"
    assert stream.content.count("event: next") == 1
    assert stream.content.endswith("event: complete\ndata:\n\n")
    assert after == ["ACTIVE", "ACTIVE"]
    assert sandbox.count(GET) == 2
