"""The order of the job list, its counts and their cost, through the running gateway."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.upstream.values import PAGE_SIZE
from tests.gateways import Answer, Gateway, Sandbox, gateway_over, still_sandbox
from tests.serving import serve

PAGE = """query Page(
  $orderBy: AudienceGenerationJobOrder, $filter: AudienceGenerationJobFilter,
  $first: Int, $after: String, $last: Int, $before: String
) {
  audienceGenerationJobs(
    orderBy: $orderBy, filter: $filter, first: $first, after: $after, last: $last, before: $before
  ) {
    edges { cursor node { audienceGenerationJobArn name status createTime updateTime } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  }
}"""
MEMBERS = {
    "CREATE_TIME": "createTime",
    "UPDATE_TIME": "updateTime",
    "NAME": "name",
    "STATUS": "status",
}
DIRECTIONS = ["ASC", "DESC"]
PAGES = 20
JOBS = PAGES * PAGE_SIZE


@pytest.fixture(scope="module")
def long_list() -> Iterator[Sandbox]:
    """Serve a sandbox whose caller ada has 2,000 jobs."""
    with serve(still_sandbox(jobs=JOBS)) as url:
        yield Sandbox(url)


@pytest.fixture(scope="module")
def warm_gateway(long_list: Sandbox) -> Iterator[Gateway]:
    """Serve a gateway that keeps what it has read for longer than the tests take."""
    with gateway_over(long_list, cache_seconds=600) as gateway:
        yield gateway


def ask(gateway: Gateway, order: tuple[str, str] | None, **variables: Any) -> Any:
    return send(gateway, order, **variables).data["audienceGenerationJobs"]


def send(gateway: Gateway, order: tuple[str, str] | None, **variables: Any) -> Answer:
    if order is not None:
        variables["orderBy"] = dict(zip(("field", "direction"), order, strict=True))
    return gateway.ask(PAGE, variables, headers={"X-Gateway-Cost": "1"})


def nodes(page: Any) -> list[Any]:
    return [edge["node"] for edge in page["edges"]]


def all_nodes(gateway: Gateway, order: tuple[str, str] | None, **variables: Any) -> list[Any]:
    """Page forwards to the end."""
    found: list[Any] = []
    while True:
        page = ask(gateway, order, first=500, **variables)
        found += nodes(page)
        if not page["pageInfo"]["hasNextPage"]:
            return found
        variables["after"] = page["pageInfo"]["endCursor"]


def sort_key(field: str, job: Any) -> tuple[str, ...]:
    value = job[MEMBERS[field]]
    folded = value.casefold() if field == "NAME" else value
    return folded, value, job["audienceGenerationJobArn"]


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("field", MEMBERS)
def test_the_whole_list_is_sorted(warm_gateway: Gateway, field: str, direction: str) -> None:
    unsorted = all_nodes(warm_gateway, None)
    assert len(unsorted) == JOBS

    found = all_nodes(warm_gateway, (field, direction))

    keys = [sort_key(field, job) for job in unsorted]
    expected = sorted(keys, reverse=direction == "DESC")
    assert [sort_key(field, job) for job in found] == expected
    assert len({key[0] for key in keys}) > 1


def test_pages_from_both_ends_meet(warm_gateway: Gateway) -> None:
    order = ("STATUS", "ASC")
    front = ask(warm_gateway, order, first=3)
    back = ask(warm_gateway, order, last=3)
    assert front["pageInfo"]["hasNextPage"]
    assert not front["pageInfo"]["hasPreviousPage"]
    assert back["pageInfo"]["hasPreviousPage"]
    assert not back["pageInfo"]["hasNextPage"]

    between = ask(
        warm_gateway,
        order,
        first=1,
        after=front["pageInfo"]["startCursor"],
        before=front["edges"][2]["cursor"],
    )
    assert nodes(between) == nodes(front)[1:2]
    assert between["pageInfo"]["hasPreviousPage"]
    assert (
        nodes(ask(warm_gateway, order, last=1, before=front["edges"][1]["cursor"]))
        == (nodes(front)[:1])
    )


def test_filter_and_order_are_combined(warm_gateway: Gateway) -> None:
    chosen = {"status": ["CREATE_FAILED"]}
    found = all_nodes(warm_gateway, ("NAME", "ASC"), filter=chosen)

    assert {job["status"] for job in found} == {"CREATE_FAILED"}
    assert found == sorted(found, key=lambda job: sort_key("NAME", job))


@pytest.mark.parametrize(
    "other", [None, ("NAME", "DESC"), ("STATUS", "ASC"), ("CREATE_TIME", "ASC")]
)
def test_a_cursor_of_another_order_is_refused_without_a_call(
    warm_gateway: Gateway, long_list: Sandbox, other: tuple[str, str] | None
) -> None:
    order = ("NAME", "ASC")
    for given, used in ((order, other), (other, order)):
        cursor = ask(warm_gateway, given, first=1)["pageInfo"]["endCursor"]
        long_list.reset()
        answer = send(warm_gateway, used, first=1, after=cursor)
        assert answer.code == "INVALID_CURSOR"
        assert "filters, order and region" in answer.errors[0]["message"]
        assert long_list.calls == []


def test_a_list_beyond_the_budget_is_refused_with_words(long_list: Sandbox) -> None:
    with gateway_over(long_list, max_upstream_calls=PAGES - 1) as gateway:
        answer = send(gateway, ("NAME", "ASC"), first=1)
        assert answer.code == "LIMIT_EXCEEDED"
        message = answer.errors[0]["message"]
        assert "`orderBy` reads the whole list" in message
        assert "GATEWAY_MAX_UPSTREAM_CALLS" in message
        assert "Accepted: " in message


def test_an_empty_page_knows_alone_what_precedes_it(warm_gateway: Gateway) -> None:
    cursor = ask(warm_gateway, ("NAME", "DESC"), first=1)["pageInfo"]["endCursor"]
    query = """query ($after: String) {
      audienceGenerationJobs(first: 0, after: $after, orderBy: {field: NAME, direction: DESC}) {
        pageInfo { hasPreviousPage }
      }
    }"""
    page = warm_gateway.ask(query, {"after": cursor}).data["audienceGenerationJobs"]
    assert page["pageInfo"] == {"hasPreviousPage": True}


COUNTS = """query Counts(
  $orderBy: AudienceGenerationJobOrder, $filter: AudienceGenerationJobFilter
) {
  audienceGenerationJobs(first: 1, orderBy: $orderBy, filter: $filter) {
    totalCount again: totalCount statusCounts { status count } nodes { name }
  }
}"""


@pytest.mark.parametrize("order", [None, {"field": "NAME", "direction": "ASC"}])
def test_counts_are_of_one_walk(long_list: Sandbox, order: dict[str, str] | None) -> None:
    """That of the order, if there is one; without a cache too."""
    long_list.reset()
    with gateway_over(long_list, cache_seconds=0) as gateway:
        found = gateway.ask(COUNTS, {"orderBy": order}).data["audienceGenerationJobs"]
    assert long_list.count() == PAGES
    assert found["totalCount"] == found["again"] == JOBS
    assert sum(each["count"] for each in found["statusCounts"]) == JOBS


@pytest.mark.parametrize("counts", ["totalCount", "statusCounts { count }"])
def test_without_a_cache_each_count_alone_is_of_one_walk(long_list: Sandbox, counts: str) -> None:
    long_list.reset()
    with gateway_over(long_list, cache_seconds=0) as gateway:
        answer = gateway.ask(
            f"{{ audienceGenerationJobs(first: 1) {{ nodes {{ id }} {counts} }} }}"
        )
    assert len(answer.data["audienceGenerationJobs"]["nodes"]) == 1
    assert long_list.count() == PAGES


def test_counts_are_those_of_the_filtered_list(warm_gateway: Gateway) -> None:
    chosen = {"nameContains": "buyers"}
    jobs = all_nodes(warm_gateway, None, filter=chosen)
    answer = warm_gateway.ask(COUNTS, {"filter": chosen})
    found = answer.data["audienceGenerationJobs"]
    counts = {each["status"]: each["count"] for each in found["statusCounts"]}
    assert counts == Counter(job["status"] for job in jobs)
    assert 0 < found["totalCount"] == len(jobs) < JOBS


def test_counts_are_null_beyond_the_budget(long_list: Sandbox) -> None:
    with gateway_over(long_list, max_upstream_calls=PAGES - 1) as gateway:
        found = gateway.ask(COUNTS).data["audienceGenerationJobs"]
    assert (found["totalCount"], found["statusCounts"]) == (None, None)
    assert len(found["nodes"]) == 1


def test_an_order_costs_a_call_for_each_page_and_then_none(long_list: Sandbox) -> None:
    """The page at the end of the list costs what that at its start does."""
    with gateway_over(long_list, cache_seconds=600) as gateway:
        long_list.reset()
        front = send(gateway, ("UPDATE_TIME", "DESC"), first=20)
        assert long_list.count() == PAGES
        assert front.content["extensions"]["cost"]["upstreamCalls"] == PAGES
        assert front.content["extensions"]["cost"]["scanned"] == JOBS

        long_list.reset()
        back = send(gateway, ("UPDATE_TIME", "DESC"), last=20)
        cursor = back.data["audienceGenerationJobs"]["pageInfo"]["startCursor"]
        end = send(gateway, ("UPDATE_TIME", "DESC"), first=20, after=cursor)
        assert long_list.count() == 0
        assert end.content["extensions"]["cost"]["scanned"] == JOBS
        assert (
            nodes(end.data["audienceGenerationJobs"])
            == (nodes(back.data["audienceGenerationJobs"])[1:])
        )
