"""Without a cache, AWS is asked for no more rows than one field needs."""

from typing import Any

import pytest

from tests.gateways import Gateway, Sandbox, gateway_over

FIRST = "audienceGenerationJobs(first: 3)"
NODES = "nodes { name }"
WHOLE_PAGES = {
    "another field": f"{{ {FIRST} {{ {NODES} }} audienceGenerationJobs2: {FIRST} {{ {NODES} }} }}",
    "a count": f"{{ {FIRST} {{ totalCount {NODES} }} }}",
    "a fragment": f"{{ ...F }} fragment F on Query {{ a: {FIRST} {{ {NODES} }} }}",
    "from the back": f"{{ audienceGenerationJobs(last: 3) {{ {NODES} }} }}",
    "a filter": f'{{ audienceGenerationJobs(first: 3, filter: {{nameContains: "a"}}) '
    f"{{ {NODES} }} }}",
}
WALK = """
query Walk($first: Int, $after: String) {
  audienceGenerationJobs(first: $first, after: $after) {
    nodes { id } pageInfo { hasNextPage endCursor }
  }
}
"""


def rows_asked(sandbox: Sandbox) -> list[int]:
    return [call["parameters"]["maxResults"] for call in sandbox.calls]


def test_rows_that_nobody_shows_are_not_asked_for(sandbox: Sandbox) -> None:
    with gateway_over(sandbox, cache_seconds=0) as gateway:
        gateway.ask(f"{{ {FIRST} {{ {NODES} }} }}")
        gateway.ask(f"{{ {FIRST} {{ {NODES} pageInfo {{ hasNextPage }} }} }}")

    assert rows_asked(sandbox) == [3, 4]


@pytest.mark.parametrize("query", WHOLE_PAGES.values(), ids=WHOLE_PAGES)
def test_pages_are_whole_for_others(sandbox: Sandbox, query: str) -> None:
    with gateway_over(sandbox, cache_seconds=0) as gateway:
        assert gateway.ask(query).data

    assert set(rows_asked(sandbox)) == {100}


def test_pages_are_whole_for_the_cache(sandbox: Sandbox) -> None:
    with gateway_over(sandbox, cache_seconds=60) as gateway:
        gateway.ask(f"{{ {FIRST} {{ {NODES} }} }}")
        gateway.ask(f"{{ {FIRST} {{ {NODES} }} }}", headers={"Cache-Control": "no-cache"})

    assert rows_asked(sandbox) == [100, 100]


def walk(gateway: Gateway, first: int) -> list[Any]:
    """Return the pages of a whole list."""
    pages: list[Any] = []
    after = None
    while True:
        answer = gateway.ask(WALK, {"first": first, "after": after}, caller="grace")
        page = answer.data["audienceGenerationJobs"]
        pages.append(page["nodes"])
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            return pages


@pytest.mark.parametrize("first", [35, 100, 150])
def test_walks_show_the_same_with_and_without_a_cache(sandbox: Sandbox, first: int) -> None:
    with (
        gateway_over(sandbox, cache_seconds=60) as cached,
        gateway_over(sandbox, cache_seconds=0) as uncached,
    ):
        assert walk(uncached, first) == walk(cached, first)
