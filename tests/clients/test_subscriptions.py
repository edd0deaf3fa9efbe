"""Clients that subscribe to jobs, with the examples of README.md, against `gateway serve`."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from gql import Client as GqlClient
from gql import GraphQLRequest
from gql.transport.aiohttp import AIOHTTPTransport
from gql.transport.exceptions import TransportQueryError, TransportServerError

from gateway.dev import aws_headers
from gateway.sandbox import CALLERS
from tests.browser import browser_page
from tests.clients.live_clients import (
    ADA,
    CLIENT_NAMES,
    JOB,
    LiveClient,
    Program,
    bundle_clients,
    examples,
)
from tests.clients.running import page_with
from tests.gateways import Gateway, Sandbox, still_sandbox
from tests.processes import (
    clean_environment,
    gateway_process,
    process,
    until,
)
from tests.programs import needs
from tests.serving import serve
from tests.telemetry.programs import metric

JOBS = (
    "query Jobs($first: Int!) { audienceGenerationJobs(first: $first) { edges { node { id } } } }"
)
JOB_WITH_LINK = """subscription Job($arn: String!) {
  audienceGenerationJob(audienceGenerationJobArn: $arn) {
    status
    configuredAudienceModel { name }
  }
}"""
INVALID = "subscription { missing }"

DENIED = dict(aws_headers(CALLERS["denied"]))
REJECTED = {**ADA, "X-Aws-Secret-Access-Key": "0" * 40}

MOVES = ("CREATE_IN_PROGRESS", "ACTIVE")
"""The statuses that a job is given, each after the client has been told the one before."""
SEEN = ["CREATE_PENDING", *MOVES]

FIRST_EVENT = re.compile("event: next")

SUBSCRIBE = """({ clients, url, headers, query, variables }) => {
  window.seen = clients.map((client) => {
    const events = [];
    live.clients[client](url, headers).subscribe(query, variables, {
      next: ({ audienceGenerationJob }) => events.push(audienceGenerationJob.status),
      error: (error) => events.push(live.failure(error)),
      complete: () => events.push("complete"),
    });
    return events;
  });
}"""


@dataclass(frozen=True)
class Served:
    """A running gateway, and the origin of a page that may use it."""

    gateway: Gateway
    page: str

    @property
    def url(self) -> str:
        return f"{self.gateway.url}/graphql"

    @property
    def sandbox(self) -> Sandbox:
        return self.gateway.sandbox

    def polls(self, arn: str) -> int:
        """Count the calls to AWS for a job since the last reset."""
        key = "audienceGenerationJobArn"
        return sum(call["parameters"].get(key) == arn for call in self.sandbox.calls)

    def watches(self) -> float:
        return metric(self.gateway.url, "gateway_watches")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    options = ("--format=iife", "--global-name=live")
    script = bundle_clients(tmp_path_factory.mktemp("page"), "clients.js", *options)
    with (
        page_with({"live": script}) as page,
        serve(still_sandbox(jobs=20)) as upstream,
        gateway_process(upstream, watch_seconds=0.1, cors_origins=page) as process,
    ):
        yield Served(Gateway(process.url, Sandbox(upstream)), page)


@pytest.fixture(params=CLIENT_NAMES)
def client(
    request: pytest.FixtureRequest, live_program: Program, served: Served
) -> Iterator[LiveClient]:
    """Return each client; its subscriptions end with the test."""
    yield LiveClient(request.param, live_program, served.url, ADA)
    live_program.leave_all()


def test_a_job_is_watched_until_it_is_settled(client: LiveClient, served: Served) -> None:
    arn = served.sandbox.start_job()
    stream = client.subscribe(JOB, {"arn": arn})
    until(lambda: stream.statuses)
    served.sandbox.set_job_status(arn, MOVES[0])
    until(lambda: len(stream.statuses) > 1)
    served.sandbox.set_job_status(arn, MOVES[1])
    until(lambda: stream.is_complete)

    assert stream.statuses == SEEN
    assert stream.errors == []
    until(lambda: served.watches() == 0)


def test_a_query_is_sent_over_the_same_link(client: LiveClient, served: Served) -> None:
    variables = {"first": 3}
    answer = client.query(JOBS, variables)
    until(lambda: answer.data)

    def ids(data: Any) -> list[str]:
        return [edge["node"]["id"] for edge in data["audienceGenerationJobs"]["edges"]]

    assert ids(answer.data[0]) == ids(served.gateway.ask(JOBS, variables).data)


def test_a_client_that_leaves_is_polled_for_no_more(client: LiveClient, served: Served) -> None:
    """Others are, which shows that time passes."""
    left, watched = served.sandbox.start_job(), served.sandbox.start_job()
    stream, other = (client.subscribe(JOB, {"arn": arn}) for arn in (left, watched))
    until(lambda: stream.statuses and other.statuses)
    stream.leave()
    until(lambda: served.watches() == 1)
    served.sandbox.reset()
    until(lambda: served.polls(watched) > 3)

    # One may have been under way.
    assert served.polls(left) <= 1
    other.leave()
    until(lambda: served.watches() == 0)


@pytest.mark.parametrize(
    "client", [name for name in CLIENT_NAMES if name != "relay"], indirect=True
)
def test_an_invalid_subscription_is_an_error(client: LiveClient) -> None:
    """Relay's compiler would not compile it."""
    stream = client.subscribe(INVALID, {})
    until(lambda: stream.is_complete)

    (error,) = stream.errors
    assert error["codes"] == ["GRAPHQL_VALIDATION_FAILED"]
    assert stream.data == []


@pytest.mark.parametrize("client", ["apollo", "graphql-sse"], indirect=True)
def test_an_error_in_one_event_is_not_in_the_next(client: LiveClient, served: Served) -> None:
    """Urql itself adds it to the results after it."""
    served.sandbox.fault("denied", operation="GetConfiguredAudienceModel")
    arn = served.sandbox.start_job()
    stream = client.subscribe(JOB_WITH_LINK, {"arn": arn})
    until(lambda: stream.errors)
    served.sandbox.reset()
    served.sandbox.set_job_status(arn, "ACTIVE")
    until(lambda: stream.is_complete)

    (error,) = stream.errors
    assert error["codes"] == ["FORBIDDEN"]
    assert stream.statuses == ["ACTIVE"]


def test_a_job_that_the_caller_may_not_read_is_an_error(client: LiveClient, served: Served) -> None:
    arn = served.sandbox.start_job()
    stream = replace(client, headers=DENIED).subscribe(JOB, {"arn": arn})
    until(lambda: stream.errors)

    (error,) = stream.errors
    assert error["codes"] == ["FORBIDDEN"]


@pytest.mark.parametrize("headers", [{}, REJECTED], ids=["none", "rejected by AWS"])
@pytest.mark.parametrize(
    ("client", "expected"),
    [
        ("apollo", {"codes": ["UNAUTHENTICATED"]}),
        ("graphql-sse without retries", {"codes": [], "status": 401}),
    ],
    indirect=["client"],
)
def test_invalid_credentials_are_an_error(
    client: LiveClient, served: Served, headers: dict[str, str], expected: dict[str, Any]
) -> None:
    """graphql-sse would first send them five times more, as after each status but 200."""
    arn = served.sandbox.start_job()
    stream = replace(client, headers=headers).subscribe(JOB, {"arn": arn})
    until(lambda: stream.errors)

    (error,) = stream.errors
    assert error.items() >= expected.items()
    assert stream.data == []


def test_credentials_that_expire_are_an_error_and_the_end(
    live_program: Program, served: Served
) -> None:
    """No client subscribes again with them."""
    arn = served.sandbox.start_job()
    headers = dict(aws_headers(CALLERS["ada_again"]))
    names = ("apollo", "urql", "graphql-sse", "relay")
    clients = [LiveClient(name, live_program, served.url, headers) for name in names]
    streams = [client.subscribe(JOB, {"arn": arn}) for client in clients]
    until(lambda: all(stream.statuses for stream in streams))
    served.sandbox.fault("expired-token-credentials")
    until(lambda: all(stream.is_complete or stream.errors for stream in streams))
    served.sandbox.reset()

    for stream in streams:
        assert stream.errors[0]["codes"] == ["UNAUTHENTICATED"]
    until(lambda: served.watches() == 0)


async def test_gql_of_python(served: Served) -> None:
    arn, moves, seen = served.sandbox.start_job(), iter(MOVES), []
    request = GraphQLRequest(JOB, variable_values={"arn": arn})
    async with GqlClient(transport=AIOHTTPTransport(url=served.url, headers=ADA)) as session:
        async for result in session.subscribe(request):
            seen.append(result["audienceGenerationJob"]["status"])
            if status := next(moves, None):
                served.sandbox.set_job_status(arn, status)
        with pytest.raises(TransportQueryError, match="missing"):
            await anext(session.subscribe(GraphQLRequest(INVALID)))
    async with GqlClient(transport=AIOHTTPTransport(url=served.url)) as session:
        with pytest.raises(TransportServerError) as rejected:
            await anext(session.subscribe(request))

    assert seen == SEEN
    assert rejected.value.code == 401


async def test_gql_of_python_leaves(served: Served) -> None:
    request = GraphQLRequest(JOB, variable_values={"arn": served.sandbox.start_job()})
    async with GqlClient(transport=AIOHTTPTransport(url=served.url, headers=ADA)) as session:
        results = session.subscribe(request)
        await anext(results)
        watched = served.watches()
        await results.aclose()

    assert watched == 1
    until(lambda: served.watches() == 0)


async def test_pages_of_another_origin(served: Served) -> None:
    """Apollo Client by multipart, and urql by Server-Sent Events."""
    arn = served.sandbox.start_job()
    options = {"url": served.url, "headers": ADA, "query": JOB, "variables": {"arn": arn}}
    clients = ["apollo", "urql"]
    async with browser_page() as visit:
        await visit.page.goto(served.page)
        await visit.page.evaluate(SUBSCRIBE, {"clients": clients, **options})
        for number, status in enumerate(MOVES, 1):
            await visit.page.wait_for_function(f"seen.every(({{ length }}) => length === {number})")
            served.sandbox.set_job_status(arn, status)
        await visit.page.wait_for_function("seen.every((events) => events.includes('complete'))")
        seen = await visit.page.evaluate("seen")

    assert seen == [[*SEEN, "complete"]] * len(clients)
    assert visit.errors == []


def test_curl(served: Served, tmp_path: Path) -> None:
    """With the command of README.md."""
    needs("curl")
    (command,) = (block for block in examples("sh") if "event-stream" in block)
    (tmp_path / "caller.txt").write_text("".join(f"{name}: {ADA[name]}\n" for name in ADA))
    arn = served.sandbox.start_job()
    environment = {**clean_environment(), "URL": served.gateway.url, "ARN": arn}
    shell = ("sh", "-c", f"cd '{tmp_path}' && exec {command}")
    with process(shell, environment, ready=FIRST_EVENT) as curl:
        served.sandbox.set_job_status(arn, MOVES[0])
        until(lambda: curl.output.count("event: next\n") > 1)
        served.sandbox.set_job_status(arn, MOVES[1])
        assert curl.wait() == 0

    results = [json.loads(line[6:]) for line in curl.output if line.startswith("data: ")]
    assert [result["data"]["audienceGenerationJob"]["status"] for result in results] == SEEN
    assert "event: complete\n" in curl.output
