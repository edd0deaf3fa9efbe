"""What `extensions.cost` reports is what was done: calls as the sandbox counts them, and rows."""

from collections.abc import Iterator
from typing import Any

import pytest

from gateway.upstream.values import PAGE_SIZE
from tests.gateways import Gateway, Sandbox, gateway_over, still_sandbox
from tests.serving import serve

PAGES = 5
JOBS = PAGES * PAGE_SIZE - 50
FRESH = {"Cache-Control": "no-cache"}
NONE = 'filter: { nameContains: "no job has this name" }'
ORDER = "orderBy: { field: NAME, direction: ASC }"


@pytest.fixture(scope="module")
def served() -> Iterator[Gateway]:
    """Serve a gateway over some pages of jobs, with a cache that outlasts the tests."""
    with (
        serve(still_sandbox(jobs=JOBS)) as url,
        gateway_over(Sandbox(url), cache_seconds=600) as gateway,
    ):
        yield gateway


def jobs(arguments: str, selected: str = "nodes { name }") -> str:
    return f"audienceGenerationJobs({arguments}) {{ {selected} }}"


def cost_of(gateway: Gateway, fields: str, headers: dict[str, str] | None = None) -> Any:
    gateway.sandbox.reset()
    answer = gateway.ask(f"{{ {fields} }}", headers={"X-Gateway-Cost": "1", **(headers or {})})
    assert answer.data
    cost = answer.content["extensions"]["cost"]
    assert cost["upstreamCalls"] == len(gateway.sandbox.calls)
    return cost


@pytest.mark.parametrize(
    ("fields", "pages", "rows"),
    [
        (jobs("first: 0"), 0, 0),
        (jobs("first: 20"), 1, 100),
        (jobs("first: 100"), 1, 100),
        (jobs("first: 100", "pageInfo { hasNextPage }"), 2, 200),
        (jobs("last: 1"), PAGES, JOBS),
        (jobs(f"first: 1, {NONE}"), PAGES, JOBS),
        (jobs(f"first: 1, {ORDER}"), PAGES, JOBS),
        (jobs(f"first: 1, {ORDER}", "totalCount statusCounts { count }"), PAGES, JOBS),
        (jobs("first: 0", "totalCount"), PAGES, JOBS),
        (jobs("first: 0", "statusCounts { count } totalCount"), PAGES, JOBS),
        (jobs("first: 1", "nodes { name } totalCount"), PAGES, PAGE_SIZE + JOBS),
        (f"a: {jobs('first: 1')} b: {jobs(f'first: 1, {ORDER}')}", PAGES, PAGE_SIZE + JOBS),
    ],
)
def test_rows_are_counted_that_are_examined(
    served: Gateway, fields: str, pages: int, rows: int
) -> None:
    """From the cache or not: for a page, a filter, an order or a count."""
    cold = cost_of(served, fields, FRESH)
    warm = cost_of(served, fields)

    assert (cold["upstreamCalls"], cold["cacheHits"], cold["scanned"]) == (pages, 0, rows)
    assert (warm["upstreamCalls"], warm["cacheHits"], warm["scanned"]) == (0, pages, rows)


def test_a_page_that_continues_one_is_examined_once(served: Gateway) -> None:
    query = "{ audienceGenerationJobs(first: 20) { pageInfo { endCursor } } }"
    cursor = served.ask(query).data["audienceGenerationJobs"]["pageInfo"]["endCursor"]

    cost = cost_of(served, jobs(f'first: 20, after: "{cursor}"'), FRESH)
    assert (cost["upstreamCalls"], cost["scanned"]) == (1, PAGE_SIZE)


def test_what_is_partly_cached_costs_the_rest(served: Gateway) -> None:
    with gateway_over(served.sandbox, cache_seconds=600) as gateway:
        cost_of(gateway, jobs("first: 200"))
        cost = cost_of(gateway, jobs("first: 0", "totalCount"))

    assert (cost["upstreamCalls"], cost["cacheHits"]) == (PAGES - 2, 2)
    assert cost["scanned"] == JOBS


def test_rows_of_nested_lists_count(served: Gateway) -> None:
    def models(selected: str) -> str:
        return f"configuredAudienceModels(first: 3) {{ nodes {{ {selected} }} }}"

    nested = models(jobs("first: 1", "nodes { name } totalCount"))
    without = cost_of(served, models("name"), FRESH)
    listed = served.ask(f"{{ {nested} }}").data["configuredAudienceModels"]["nodes"]
    numbers = [each["audienceGenerationJobs"]["totalCount"] for each in listed]

    cost = cost_of(served, nested, FRESH)
    pages = [min(number, PAGE_SIZE) for number in numbers]
    assert cost["scanned"] == without["scanned"] + sum(pages) + sum(numbers)


def test_the_retries_of_a_call_that_fails_count(served: Gateway) -> None:
    served.sandbox.reset()
    served.sandbox.fault("unavailable")
    query = f"{{ {jobs('first: 1')} }}"
    answer = served.ask(query, headers={"X-Gateway-Cost": "1", **FRESH})
    cost = answer.content["extensions"]["cost"]

    assert answer.code == "UPSTREAM_UNAVAILABLE"
    assert cost["upstreamCalls"] + cost["retries"] == len(served.sandbox.calls) == 3


def test_a_call_that_takes_too_long_counts(served: Gateway) -> None:
    served.sandbox.reset()
    served.sandbox.fault("slow", seconds=30)
    with gateway_over(served.sandbox, deadline_seconds=2) as gateway:
        query = f"{{ {jobs('first: 1')} }}"
        answer = gateway.ask(query, headers={"X-Gateway-Cost": "1"})

    assert answer.code == "UPSTREAM_TIMEOUT"
    assert answer.content["extensions"]["cost"]["upstreamCalls"] == len(served.sandbox.calls) == 1
