"""A search reads each page of a list once, and only as far as it needs to."""

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import GatewayError, UpstreamInvalidResponseError, UpstreamUnavailableError
from gateway.graph.pagination.search import ListSearch
from gateway.upstream.loader import (
    PAGE_CALLS,
    CallBudget,
)
from gateway.upstream.values import Item, Page
from tests.graph.pagination.lists import PagedList, key_of, paged_lists

LOADS = 3


@given(paged_lists(), st.lists(st.integers(-2, 45), max_size=8))
async def test_a_search_finds_what_a_scan_of_the_list_finds(
    paged: PagedList, numbers: list[int]
) -> None:
    """It reads up to the page of the key that comes last, all of them if one is absent."""
    wanted = [f"k{number}" for number in numbers]
    search = ListSearch(paged.load, key_of)
    found = await asyncio.gather(*(search.find(key) for key in wanted))

    assert found == [{"key": key} if key in paged.keys else None for key in wanted]
    pages = [
        next((n for n, shape in enumerate(paged.shapes) if key in shape), len(paged.shapes) - 1)
        for key in wanted
    ]
    assert paged.calls == max((page + 1 for page in pages), default=0)


async def test_many_absent_keys_cost_one_reading() -> None:
    """Each key of the list is computed once, however many are looked up at the same time."""
    computed: Counter[str] = Counter()
    loads: Counter[str | None] = Counter()
    paged = PagedList([[f"k{page}{row}" for row in range(10)] for page in range(LOADS)])

    async def load(token: str | None) -> Page:
        loads[token] += 1
        await asyncio.sleep(0)
        return await paged.load(token)

    def counted(item: Item) -> str:
        computed[key_of(item)] += 1
        return key_of(item)

    search = ListSearch(load, counted)
    for _ in range(2):
        absent = await asyncio.gather(*(search.find(f"absent {n}") for n in range(500)))
        assert absent == [None] * 500

    assert computed == Counter(paged.keys)
    assert loads == Counter([None, "t1", "t2"])


async def test_of_items_with_one_key_the_first_is_found() -> None:
    first, second = {"key": "a", "n": 1}, {"key": "a", "n": 2}

    async def load(token: str | None) -> Page:
        return Page([first, second], "t") if token is None else Page([second], None)

    search = ListSearch(load, key_of)
    assert await search.find("b") is None
    assert await search.find("a") is first


async def test_a_failure_is_that_of_each_key_not_found_before() -> None:
    """The page is not asked for again."""
    paged = PagedList([["a"], ["b"], ["c"]], CallBudget(2, PAGE_CALLS))
    loads = []

    async def load(token: str | None) -> Page:
        loads.append(token)
        return await paged.load(token)

    search = ListSearch(load, key_of)
    found = await asyncio.gather(
        *(search.find(key) for key in ["c", "b", "x", "a"]), return_exceptions=True
    )

    assert found[1::2] == [{"key": "b"}, {"key": "a"}]
    assert isinstance(found[0], GatewayError)
    assert found[2] is found[0]
    assert loads == [None, "t1", "t2"]


async def test_a_cancelled_search_leaves_the_others_to_go_on() -> None:
    started, release = asyncio.Event(), asyncio.Event()
    paged = PagedList([["a"], ["b"]])

    async def load(token: str | None) -> Page:
        started.set()
        await release.wait()
        return await paged.load(token)

    search = ListSearch(load, key_of)
    first = asyncio.create_task(search.find("b"))
    await started.wait()
    second = asyncio.create_task(search.find("b"))
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    release.set()

    assert first.cancelled()
    assert await second == {"key": "b"}


async def test_a_repeated_token_is_an_upstream_error() -> None:
    async def load(_: str | None) -> Page:
        return Page([{"key": "a"}], "again")

    search = ListSearch(load, key_of)
    for _ in range(2):
        with pytest.raises(UpstreamInvalidResponseError, match="token"):
            await search.find("b")


async def test_a_failure_does_not_grow_with_the_keys_that_share_it() -> None:
    async def load(_: str | None) -> Page:
        raise UpstreamUnavailableError("No.")

    search = ListSearch(load, key_of)
    lengths = []
    for _ in range(10):
        with pytest.raises(UpstreamUnavailableError) as caught:
            await search.find("a")
        lengths.append(len(caught.traceback))

    assert lengths[1:] == lengths[1:2] * 9
