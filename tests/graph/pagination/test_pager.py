"""Paging over pages of any shape equals Relay's algorithm over the whole list."""

import asyncio
from collections import Counter
from typing import cast

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from gateway.errors import (
    InvalidCursorError,
    LimitExceededError,
    UpstreamInvalidResponseError,
    UpstreamTimeoutError,
)
from gateway.graph.pagination.cursor import NO_ITEM, CursorPosition, item_digest
from gateway.graph.pagination.pager import PageArguments, paginate
from gateway.graph.pagination.result import PageResult
from gateway.graph.pagination.source import ListCounts, UpstreamList
from gateway.graph.types.resource_type import ResourceType
from gateway.upstream.loader import (
    PAGE_CALLS,
    CallBudget,
    DeadlineError,
)
from gateway.upstream.values import PAGE_SIZE, Item, Page
from tests.graph.pagination.lists import (
    DIGEST,
    Keyed,
    PagedList,
    count_items,
    key_of,
    listed,
    paged_lists,
    position_after,
    position_of,
)

amounts = st.integers(0, 12)


def keys(taken: PageResult) -> list[str]:
    return [key_of(each) for each in taken.items]


async def take_page(
    paged: PagedList, arguments: PageArguments[CursorPosition], *, look_around: bool = True
) -> PageResult:
    return await paginate(arguments, listed(paged.load), look_around=look_around)


@given(paged_lists(), st.lists(amounts.filter(bool), min_size=1))
@example(PagedList([[], ["a"], [], [], ["b"], []]), [1])
async def test_forward_pages_give_every_item_once_in_order(
    paged: PagedList, firsts: list[int]
) -> None:
    """With any sequence of `first`s, nothing is lost or repeated."""
    seen: list[str] = []
    after = None
    for turn in range(len(paged.keys) + 1):
        taken = await take_page(paged, PageArguments(first=firsts[turn % len(firsts)], after=after))
        seen += keys(taken)
        assert taken.has_next == (len(seen) < len(paged.keys))
        if not taken.has_next:
            break
        after = position_after(taken, len(taken) - 1)
    assert seen == paged.keys


@given(paged_lists(), st.lists(amounts.filter(bool), min_size=1))
async def test_backward_pages_give_every_item_once_in_order(
    paged: PagedList, lasts: list[int]
) -> None:
    """Each page is in the list's order, not reversed."""
    seen: list[str] = []
    before = None
    for turn in range(len(paged.keys) + 1):
        taken = await take_page(paged, PageArguments(last=lasts[turn % len(lasts)], before=before))
        seen = keys(taken) + seen
        assert taken.has_previous == (len(seen) < len(paged.keys))
        if not taken.has_previous:
            break
        before = position_after(taken, 0)
    assert seen == paged.keys


@given(paged_lists(), st.data())
async def test_any_cursor_continues_after_its_item(paged: PagedList, data: st.DataObject) -> None:
    assume(paged.keys)
    at = data.draw(st.integers(0, len(paged.keys) - 1))
    everything = await take_page(paged, PageArguments(first=len(paged.keys)))
    position = position_after(everything, at)
    assert position == position_of(paged, paged.keys[at])

    fresh = PagedList(paged.shapes)
    taken = await take_page(fresh, PageArguments(first=100, after=position))
    assert keys(taken) == paged.keys[at + 1 :]
    assert taken.has_previous


@given(paged_lists(), st.data())
async def test_both_cursors_and_both_amounts_follow_the_relay_algorithm(
    paged: PagedList, data: st.DataObject
) -> None:
    """They apply in the order `after`, `before`, `first`, `last` (rules 11-21)."""
    positions = st.none() | st.integers(0, max(len(paged.keys) - 1, 0))
    after, before = data.draw(positions), data.draw(positions)
    first, last = data.draw(st.none() | amounts), data.draw(st.none() | amounts)
    assume(paged.keys or (after is None and before is None))
    assume(first is not None or last is not None)
    start = 0 if after is None else after + 1
    met = before is not None and before >= start
    between = paged.keys[start : before if met else None]
    expected = between if first is None else between[:first]
    expected = expected if last is None else expected[max(len(expected) - last, 0) :]

    try:
        taken = await take_page(
            paged,
            PageArguments(
                first=first,
                after=None if after is None else position_of(paged, paged.keys[after]),
                last=last,
                before=None if before is None else position_of(paged, paged.keys[before]),
            ),
        )
    except InvalidCursorError:
        # Only if the walk reached the end: the item of `before` does not follow `after`.
        assert before is not None
        assert not met
        return

    assert keys(taken) == expected
    if first is not None:
        assert taken.has_next == (len(between) > first)
    if last is not None:
        assert taken.has_previous == (len(between) > last)


@given(paged_lists(), amounts)
async def test_without_looking_around_the_items_are_the_same(paged: PagedList, first: int) -> None:
    """Not selecting `hasNextPage` changes the cost, not the items."""
    looking = await take_page(PagedList(paged.shapes), PageArguments(first=first))
    plain = await take_page(paged, PageArguments(first=first), look_around=False)
    assert keys(plain) == keys(looking)


@given(st.integers(0, 500), st.integers(0, 1200), st.booleans(), st.data())
async def test_a_forward_page_costs_a_call_per_hundred_items_and_one_more(
    length: int,
    first: int,
    look: bool,  # noqa: FBT001  drawn, not chosen
    data: st.DataObject,
) -> None:
    """Over full pages of 100, from any edge on, ceil(first / 100) + 1 calls suffice."""
    all_keys = [str(number) for number in range(length)]
    shapes = [all_keys[at : at + 100] for at in range(0, length, 100)] or [[]]
    after = data.draw(st.none() | st.sampled_from(all_keys)) if all_keys else None
    paged = PagedList(shapes)
    position = None if after is None else position_of(paged, after)

    await take_page(paged, PageArguments(first=first, after=position), look_around=look)

    assert paged.calls <= -(-first // 100) + 1
    if not look and after is None:
        assert paged.calls <= -(-first // 100)


async def test_continuing_after_the_last_item_of_a_page_costs_one_call() -> None:
    """The cursor at the end of a page points to the next page."""
    paged = PagedList([["a", "b"], ["c", "d"]])
    taken = await take_page(paged, PageArguments(first=2), look_around=False)

    fresh = PagedList(paged.shapes)
    await take_page(
        fresh,
        PageArguments(first=1, after=position_after(taken, len(taken) - 1)),
        look_around=False,
    )

    assert list(fresh.loaded) == ["t1"]


async def test_first_zero_costs_nothing() -> None:
    """Unless `hasNextPage` is selected."""
    paged = PagedList([["a"]])
    assert keys(await take_page(paged, PageArguments(first=0), look_around=False)) == []
    assert paged.calls == 0
    assert (await take_page(paged, PageArguments(first=0))).has_next


@given(paged_lists(), st.integers(1, 8), amounts.filter(bool))
async def test_a_walk_that_exceeds_the_budget_can_be_continued(
    paged: PagedList, calls: int, first: int
) -> None:
    """Pages cut short by the budget, some of them empty, add up to the whole list."""
    seen: list[str] = []
    after: CursorPosition | None = None
    for _ in range(len(paged.keys) + len(paged.shapes) + 1):
        turn = PagedList(paged.shapes, CallBudget(calls, PAGE_CALLS))
        taken = await take_page(turn, PageArguments(first=first, after=after))
        seen += keys(taken)
        if not taken.has_next:
            break
        after = taken.resume or position_after(taken, len(taken) - 1)
    assert seen == paged.keys


async def test_exceeding_the_budget_backwards_is_an_error() -> None:
    """A shorter page would be the wrong one."""
    paged = PagedList([["a"], ["b"], ["c"]], CallBudget(2, PAGE_CALLS))
    with pytest.raises(LimitExceededError, match="GATEWAY_MAX_UPSTREAM_CALLS"):
        await take_page(paged, PageArguments(last=1))


@pytest.mark.parametrize("found", [0, 1])
async def test_the_deadline_ends_a_walk_that_has_an_edge(found: int) -> None:
    """Without an edge it is an error."""
    pages = {None: Page([{"key": "a"}] * found, "t1")}

    async def load(token: str | None, _: int = PAGE_SIZE) -> Page:
        if token in pages:
            return pages[token]
        raise DeadlineError("late")

    arguments: PageArguments[CursorPosition] = PageArguments(first=5)
    if not found:
        with pytest.raises(UpstreamTimeoutError):
            await paginate(arguments, listed(load), look_around=True)
        return
    taken = await paginate(arguments, listed(load), look_around=True)
    assert keys(taken) == ["a"]
    assert taken.has_next
    assert taken.resume == CursorPosition("t1", 0, item_digest("a"))


@given(paged_lists(), st.integers(1, 8))
async def test_the_count_is_exact_or_none(paged: PagedList, calls: int) -> None:
    """It is None if the budget does not suffice for the whole list."""
    paged.budget = CallBudget(calls, PAGE_CALLS)
    expected = len(paged.keys) if len(paged.shapes) <= calls else None
    assert await count_items(listed(paged.load)) == expected


@given(paged_lists(), st.data())
async def test_new_items_at_the_front_do_not_disturb_a_cursor(
    paged: PagedList, data: st.DataObject
) -> None:
    """The digest finds the item if a new one shifts all others by one."""
    assume(paged.keys)
    at = data.draw(st.integers(0, len(paged.keys) - 1))
    position = position_of(paged, paged.keys[at])
    sizes = [len(shape) for shape in paged.shapes]
    shifted = ["new", *paged.keys]
    shapes, start = [], 0
    for size in [*sizes[:-1], sizes[-1] + 1]:
        shapes.append(shifted[start : start + size])
        start += size
    assume(0 not in sizes)  # an item moves to the next page, not over an empty one

    taken = await take_page(PagedList(shapes), PageArguments(first=100, after=position))

    assert keys(taken) == paged.keys[at + 1 :]


def delete_one(paged: PagedList, data: st.DataObject) -> tuple[int, CursorPosition, PagedList]:
    """Delete an item; return its index, the position of its cursor, and the list without it."""
    assume(paged.keys)
    deleted = data.draw(st.sampled_from(paged.keys))
    left = [[key for key in shape if key != deleted] for shape in paged.shapes]
    return paged.keys.index(deleted), position_of(paged, deleted), PagedList(left)


@given(paged_lists(), st.data())
async def test_no_item_is_skipped_if_the_item_of_the_cursor_was_deleted(
    paged: PagedList, data: st.DataObject
) -> None:
    at, position, left = delete_one(paged, data)
    taken = await take_page(left, PageArguments(first=100, after=position))

    assert keys(taken) == paged.keys[at + 1 :]


@given(paged_lists(), st.data())
async def test_before_stops_where_its_deleted_item_was(
    paged: PagedList, data: st.DataObject
) -> None:
    at, position, left = delete_one(paged, data)
    taken = await take_page(left, PageArguments(last=100, before=position))

    assert keys(taken) == paged.keys[:at]


async def test_before_is_found_by_its_digest_if_tokens_have_changed() -> None:
    """AWS may return another token for the same page each time."""
    paged = PagedList([["a", "b"], ["c", "d"]])
    other_token = CursorPosition("another text", 1, item_digest("c"))
    assert keys(await take_page(paged, PageArguments(last=5, before=other_token))) == [
        "a",
        "b",
    ]


async def test_a_page_is_indexed_once_for_all_cursors() -> None:
    """However many walks look for moved items in it."""
    paged = PagedList([[f"k{page}{row}" for row in range(50)] for page in range(4)])
    digested: Counter[str] = Counter()

    class Counting(Keyed):
        @staticmethod
        def key_of(item: Item) -> str:
            digested[key_of(item)] += 1
            return key_of(item)

    source = UpstreamList(DIGEST, cast("ResourceType", Counting()), paged.load)
    for number in range(30):
        moved = CursorPosition("another text", 1, item_digest(f"k3{number}"))
        taken = await paginate(PageArguments(first=500, before=moved), source, look_around=True)
        assert len(taken.items) == 150 + number

    # Each walk digests one more item, the last one of each page.
    assert sum(digested.values()) <= len(paged.keys) + 30 * len(paged.shapes) * 2


async def test_before_an_item_not_in_the_list_is_an_error() -> None:
    paged = PagedList([["a", "b"], ["c"]])
    with pytest.raises(InvalidCursorError, match="before"):
        await take_page(
            paged, PageArguments(first=5, before=CursorPosition("tX", 1, item_digest("zzz")))
        )


async def test_a_repeated_token_is_an_upstream_error() -> None:
    """A circular list is an error, not an endless walk."""

    async def load(_: str | None, __: int = PAGE_SIZE) -> Page:
        return Page([], "again")

    for arguments in (
        PageArguments(first=5),
        PageArguments(last=5),
        PageArguments(first=1, after=CursorPosition("x", 0, NO_ITEM)),
    ):
        with pytest.raises(UpstreamInvalidResponseError, match="token"):
            await paginate(arguments, listed(load), look_around=True)
    with pytest.raises(UpstreamInvalidResponseError, match="token"):
        await count_items(listed(load))


def matches(item: Item) -> bool:
    """Match every third key, independent of pages."""
    return int(key_of(item)[1:]) % 3 == 0


@given(paged_lists(), st.integers(1, 8), amounts.filter(bool), st.booleans())
async def test_a_filtered_list_pages_like_the_list_of_its_matches(
    paged: PagedList,
    calls: int,
    amount: int,
    look: bool,  # noqa: FBT001  drawn, not chosen
) -> None:
    """Pages are full unless the list or the budget ends; each match appears once, in order."""
    matching = [key for key in paged.keys if matches({"key": key})]
    seen: list[str] = []
    after: CursorPosition | None = None
    for _ in range(len(paged.keys) + len(paged.shapes) + 1):
        turn = PagedList(paged.shapes, CallBudget(calls, PAGE_CALLS))
        source = listed(turn.load, matches)
        taken = await paginate(PageArguments(first=amount, after=after), source, look_around=look)
        seen += keys(taken)
        assert len(taken.items) == amount or taken.resume or seen == matching
        if look and taken.resume is None:
            assert taken.has_next == (len(seen) < len(matching))
        if not taken.resume and len(taken.items) < amount:
            break
        after = taken.resume or position_after(taken, len(taken) - 1)
    assert seen == matching


@given(paged_lists(), amounts.filter(bool))
async def test_a_filtered_list_pages_backwards_and_counts_its_matches(
    paged: PagedList, last: int
) -> None:
    matching = [key for key in paged.keys if matches({"key": key})]
    source = listed(paged.load, matches)
    taken = await paginate(PageArguments(last=last), source, look_around=True)
    assert keys(taken) == matching[-last:]
    assert taken.has_previous == (len(matching) > last)
    assert await count_items(source) == len(matching)


async def test_a_list_that_fails_is_walked_once_for_all_fields_that_count_it() -> None:
    calls: list[str | None] = []

    async def load(token: str | None, _: int = PAGE_SIZE) -> Page:
        calls.append(token)
        if token is not None:
            raise UpstreamTimeoutError("late")
        return Page([{"key": "k"}], "next")

    counts = ListCounts(listed(load))
    for _ in range(3):
        with pytest.raises(UpstreamTimeoutError, match="late"):
            await counts.by_status()

    assert calls == [None, "next"]


async def test_a_count_that_is_cancelled_in_the_middle_begins_again() -> None:
    """One of the other fields that wait for it then counts for all of them."""
    second_page, calls = asyncio.Event(), list[str | None]()

    async def load(token: str | None, _: int = PAGE_SIZE) -> Page:
        calls.append(token)
        if token is not None:
            await second_page.wait()
        return Page([{"key": f"after {token}"}], None if token else "next")

    counts = ListCounts(listed(load))
    first, *others = [asyncio.create_task(counts.by_status()) for _ in range(4)]
    await asyncio.sleep(0)
    assert calls == [None, "next"]
    first.cancel()
    second_page.set()

    assert await asyncio.gather(*others) == [{"ACTIVE": 2}] * 3
    assert calls == [None, "next"] * 2


async def test_a_list_beyond_the_deadline_is_not_counted() -> None:
    async def load(_: str | None, __: int = PAGE_SIZE) -> Page:
        raise DeadlineError("late")

    assert await count_items(listed(load)) is None
