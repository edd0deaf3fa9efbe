"""What one request may cost, over an upstream whose objects are as large as AWS allows."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import httpx
import pytest

from gateway.graph.node import to_global_id
from gateway.graph.types.audience_generation_job import JOB
from tests.hostile.costs import ADA_HEADERS, Cost, invented_headers, measured, post, warm
from tests.hostile.maximal_upstream import MaximalUpstream, arn_of, maximal_upstream
from tests.processes import Process, gateway_process

ANONYMOUS_CPU_SECONDS = 0.15
CPU_SECONDS = 1.0
LIVEZ_SECONDS = 0.1
GROWN_BYTES = 100 * 2**20
ANSWER_BYTES = 16 * 2**20

SHARED_CORE = 1.5
"""CPU time grows by so much while other programs use the same core."""

ALIASES = 30
ROWS = 500


@dataclass(frozen=True)
class Target:
    upstream: MaximalUpstream
    process: Process
    headers: Mapping[str, str]
    """Those of the caller."""

    def ask(
        self,
        query: str,
        variables: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Send a query as the caller, or with other headers."""
        headers = self.headers if headers is None else headers
        return post(self.process.url, query, variables, headers)

    def measure(self, *request: Any) -> tuple[httpx.Response, Cost]:
        self.upstream.calls.clear()
        with measured(self.process) as cost:
            response = self.ask(*request)
        return response, cost


@pytest.fixture(scope="module")
def shared_target() -> Iterator[Target]:
    with (
        maximal_upstream(pages=20, sizes={"relevanceMetrics": 100}) as (url, upstream),
        # Without the limit on calls per second, so that each test may make as many as it needs.
        gateway_process(url, caller_calls_per_second=0) as process,
    ):
        warm(process.url)
        # The cache has a limit of its own, so what it takes is no part of a request's growth.
        post(process.url, jobs("nodes { includeSeedInOutput }"))
        yield Target(upstream, process, ADA_HEADERS)


NUMBERS = count()


@pytest.fixture
def target(shared_target: Target) -> Iterator[Target]:
    """Give each test a caller of its own, for whom nothing is cached."""
    yield replace(shared_target, headers=invented_headers(next(NUMBERS)))
    shared_target.upstream.status = 200
    shared_target.upstream.lists_fail = True


def jobs(selection: str, rows: int = ROWS) -> str:
    return f"{{ audienceGenerationJobs(first: {rows}) {{ {selection} }} }}"


def aliased(field: str, count: int = ALIASES) -> str:
    return " ".join(f"a{number}: {field}" for number in range(count))


def export_id(job: int, number: int) -> str:
    key = f'["{arn_of(JOB.arn_member, job)}","absent {number}","2026-01-02T03:04:05Z"]'
    return to_global_id("AudienceExportJob", key)


def job_id(number: int) -> str:
    return to_global_id("AudienceGenerationJob", arn_of(JOB.arn_member, number))


SORTED = """audienceGenerationJobs(first: 1, orderBy: { field: NAME, direction: DESC }) {
  totalCount edges { cursor node { name } }
}"""


def code(response: httpx.Response) -> str:
    text: str = response.json()["errors"][0]["extensions"]["code"]
    return text


def check(response: httpx.Response, cost: Cost, cpu_seconds: float = CPU_SECONDS) -> None:
    assert cost.cpu_seconds <= cpu_seconds * SHARED_CORE
    assert cost.grown_bytes <= GROWN_BYTES
    assert len(response.content) <= ANSWER_BYTES


ENTITY_FIELDS = 160
"""As many as GATEWAY_LIMIT_TOKENS leaves room for."""


def entities(selection: str, number: int = ENTITY_FIELDS) -> str:
    field = f"_entities(representations: $r) {{ {selection} }}"
    return f"query ($r: [_Any!]!) {{ {aliased(field, number)} }}"


@pytest.mark.parametrize("headers", [{}, ADA_HEADERS, invented_headers(99)])
def test_many_lists_of_bad_representations(target: Target, headers: dict[str, str]) -> None:
    query = "\n\r" * 990 + entities("__typename")
    response, cost = target.measure(query, {"r": [{}] * 3}, headers)

    check(response, cost, ANONYMOUS_CPU_SECONDS)
    assert cost.livez_seconds <= LIVEZ_SECONDS * SHARED_CORE
    assert len(response.json()["errors"]) == 50
    assert response.json()["extensions"] == {"errorsOmitted": 3 * ENTITY_FIELDS - 50}
    assert not target.upstream.calls


def test_many_lists_of_too_many_representations(target: Target) -> None:
    response, cost = target.measure(entities("__typename"), {"r": [{}] * 5}, {})

    check(response, cost, ANONYMOUS_CPU_SECONDS)
    assert (response.json()["data"], code(response)) == (None, "LIMIT_EXCEEDED")
    assert not target.upstream.calls


NODES = "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }"
LISTS = "{" + aliased("audienceGenerationJobs { nodes { name } }", 10) + "}"


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        (NODES, [export_id(number, 0) for number in range(500)]),
        (NODES, [job_id(number) for number in range(500)]),
        (LISTS, []),
    ],
    ids=["nested lists", "objects", "lists"],
)
def test_invented_keys_make_one_call(target: Target, query: str, ids: list[str]) -> None:
    """A refusal of the caller concerns all that the request asks for."""
    target.upstream.status, target.upstream.error_code = 403, "UnrecognizedClientException"
    variables: dict[str, object] = {"ids": ids} if ids else {}
    response, cost = target.measure(query, variables)

    check(response, cost, ANONYMOUS_CPU_SECONDS)
    assert code(response) == "UNAUTHENTICATED"
    assert sum(target.upstream.calls.values()) == 1


def test_denied_details(target: Target) -> None:
    """18,000 fields fail: each job is denied, in 36 fields."""
    fields = aliased("includeSeedInOutput") + " includeSeedInOutput protectedQueryIdentifier"
    fields += " statusDetails { message } metrics { recallMetric } seedAudience { roleArn }"
    target.upstream.status, target.upstream.error_code = 403, "AccessDeniedException"
    target.upstream.lists_fail = False
    response, cost = target.measure(jobs(f"nodes {{ id {fields} }}"))

    check(response, cost)
    assert response.json()["extensions"] == {"errorsOmitted": ROWS * 35 - 50}
    assert cost.livez_seconds <= LIVEZ_SECONDS * SHARED_CORE


@pytest.mark.parametrize(
    ("query", "setting"),
    [
        (jobs("edges { " + aliased("cursor") + " }"), "ANSWER_BYTES"),
        (jobs("nodes { " + aliased("tags { key value }") + " }"), "FIELDS"),
        (
            "{ trainingDatasets(first: 500) { nodes {"
            + aliased("trainingData { inputConfig { schema { columnName } } }")
            + "} } }",
            "FIELDS",
        ),
        # The service model has no maximum for this list, so that the estimate passes.
        (jobs("nodes { " + aliased("metrics { relevanceMetrics { score } }") + " }"), "FIELDS"),
        # Each order reads the whole of another list, whatever the page size.
        ("{ configuredAudienceModels(first: 420) { nodes { " + SORTED + " } } }", "ROWS"),
    ],
)
def test_a_huge_answer_is_refused(target: Target, query: str, setting: str) -> None:
    response, cost = target.measure(query)

    check(response, cost)
    assert (response.status_code, code(response)) == (400, "LIMIT_EXCEEDED")
    assert f"GATEWAY_LIMIT_{setting}" in response.text


@pytest.mark.parametrize(
    "query",
    [
        jobs("edges { " + aliased("cursor", 3) + " }", 300),
        jobs("nodes { " + aliased("configuredAudienceModel { name }") + " }"),
        jobs("nodes { " + aliased("collaboration { id }") + " }"),
        jobs("nodes { exportJobs(first: 1) { totalCount nodes { name } } }", 20),
        jobs("nodes { tags { key value } }", 100),
        jobs("nodes { includeSeedInOutput seedAudience { roleArn } }"),
        f"{{ {aliased(SORTED.replace('first: 1,', 'first: 500,'), 10)} }}",
    ],
    ids=["cursors", "links", "collaborations", "exports", "tags", "details", "orders"],
)
def test_a_great_answer_is_bounded(target: Target, query: str) -> None:
    """It is valid, and as large as the limits allow."""
    response, cost = target.measure(query)

    check(response, cost)
    assert "errors" not in response.json()
    assert cost.livez_seconds <= LIVEZ_SECONDS * SHARED_CORE


EXPORTS = "exportJobs(first: 40, after: $after) { edges { cursor } }"


@pytest.mark.parametrize(
    ("variables", "field"),
    [
        (
            "$after: String, $ids: [ID!]!",
            "nodes(ids: $ids) { ... on AudienceGenerationJob { " + EXPORTS + " } }",
        ),
        (
            "$after: String",
            "audienceExportJobs(first: 500, audienceGenerationJobArn: "
            f'"{arn_of(JOB.arn_member, 1)}") '
            "{ nodes { audienceGenerationJob { " + EXPORTS + " } } }",
        ),
    ],
    ids=["ids", "links"],
)
def test_an_object_in_500_places_is_counted_before_it_is_copied(
    target: Target, variables: str, field: str
) -> None:
    """It has 40 of the longest cursors, so that its copies have 280 MB."""
    job = f'audienceGenerationJob(audienceGenerationJobArn: "{arn_of(JOB.arn_member, 1)}")'
    first = target.ask(f"{{ {job} {{ exportJobs(first: 100) {{ pageInfo {{ endCursor }} }} }} }}")
    after = first.json()["data"]["audienceGenerationJob"]["exportJobs"]["pageInfo"]["endCursor"]
    ids = [job_id(1)] * 500
    response, cost = target.measure(
        f"query ({variables}) {{ {field} }}", {"after": after, "ids": ids}
    )

    assert (response.status_code, code(response)) == (400, "LIMIT_EXCEEDED")
    assert cost.grown_bytes <= GROWN_BYTES
    assert cost.livez_seconds <= LIVEZ_SECONDS * SHARED_CORE


def test_a_filter_over_cached_pages_is_bounded(target: Target) -> None:
    """Rows that are examined count, also if no call is made for them."""
    field = 'audienceGenerationJobs(first: 500, filter: {nameContains: "none"}) { nodes { id } }'
    filling, _ = target.measure(f"{{ {field} }}")
    response, cost = target.measure("{" + " ".join(f"a{n}: {field}" for n in range(10)) + "}")

    assert "errors" not in filling.json()
    check(response, cost)
    assert not target.upstream.calls


def test_long_aliases_in_notes_and_errors_count(target: Target) -> None:
    """Each of 100 lists that are not read to their end is noted with its path."""
    alias = "a" * 120_000
    lists = "exportJobs(first: 500) { pageInfo { hasNextPage } }"
    response, cost = target.measure(jobs(f"nodes {{ {alias}: {lists} }}", 100))

    check(response, cost)
    assert (response.status_code, code(response)) == (400, "LIMIT_EXCEEDED")
    assert len(response.content) < 1000


def test_absent_exports_are_not_searched_one_by_one(target: Target) -> None:
    """The job has 2,000 exports; each of ten fields asks for 500 that do not exist.

    Each page is read once, and searched once for all of them.
    """
    ids = [export_id(0, number) for number in range(500)]
    query = "query ($ids: [ID!]!) {" + aliased("nodes(ids: $ids) { id }", 10) + "}"
    response, cost = target.measure(query, {"ids": ids})

    check(response, cost)
    assert response.json()["data"] == {f"a{n}": [None] * 500 for n in range(10)}
    assert target.upstream.calls["ListAudienceExportJobs"] <= 20
    assert cost.livez_seconds <= LIVEZ_SECONDS * SHARED_CORE


@pytest.mark.parametrize(
    "selection",
    [
        "name status createTime description startedBy collaborationId",
        "metrics { relevanceMetrics { score } }",
        "configuredAudienceModel { id name }",
        "exportJobs(first: 10) { nodes { name } }",
    ],
    ids=["fields", "details", "links", "exports"],
)
def test_many_lists_of_the_same_entities(target: Target, selection: str) -> None:
    """Each object is fetched once, and completed in each of 140 places."""
    query = entities("...F", 140) + f" fragment F on {JOB.name} {{ id {selection} }}"
    objects = [
        {"__typename": JOB.name, JOB.arn_member: arn_of(JOB.arn_member, number)}
        for number in range(3)
    ]
    response, cost = target.measure(query, {"r": objects})

    check(response, cost)
    assert "errors" not in response.json()
    assert sum(target.upstream.calls.values()) <= 6
    assert cost.livez_seconds <= LIVEZ_SECONDS * SHARED_CORE


def test_filters_over_many_cached_pages_at_once_are_bounded() -> None:
    """Requests of one caller are in memory one after the other."""
    field = 'audienceGenerationJobs(first: 500, filter: {nameContains: "none"}) { nodes { id } }'
    query = "{" + " ".join(f"a{number}: {field}" for number in range(10)) + "}"
    with (
        maximal_upstream(pages=450) as (url, _),
        gateway_process(
            url,
            caller_calls_per_second=0,
            max_upstream_calls=450,
            cache_seconds=600,
            deadline_seconds=60,
        ) as process,
        ThreadPoolExecutor(8) as pool,
    ):
        filling = post(process.url, f"{{ {field} }}")
        with measured(process) as cost:
            responses = list(pool.map(lambda _: post(process.url, query), range(8)))

    assert filling.json()["data"] == {"audienceGenerationJobs": {"nodes": []}}
    assert {code(response) for response in responses} == {"LIMIT_EXCEEDED"}
    assert cost.grown_bytes <= GROWN_BYTES
    assert cost.livez_seconds <= LIVEZ_SECONDS * SHARED_CORE
