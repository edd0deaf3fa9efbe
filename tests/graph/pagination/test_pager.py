"""Paging over pages of any shape gives exactly what Relay's algorithm gives over the whole list."""

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
from gateway.graph.pagination.pager import PageArguments, PageResult, count, paginate
from gateway.upstream.loader import CallBudget, DeadlineError
from gateway.upstream.values import Item, Page
from tests.graph.pagination.lists import (
    PagedList,
    key_of,
    listed,
    paged_lists,
    position_after,
    position_of,
)

amounts = st.integers(0, 12)


def keys(taken: PageResult) -> list[str]:
    """Name the items of a slice."""
    return [key_of(each.item) for each in taken.items]


async def take_page(
    paged: PagedList, window: PageArguments, *, look_around: bool = True
) -> PageResult:
    """Take a slice."""
    return await paginate(window, listed(paged.load), look_around=look_around)


@given(paged_lists(), st.lists(amounts.filter(bool), min_size=1))
@example(PagedList([[], ["a"], [], [], ["b"], []]), [1])
async def test_forward_pages_give_every_item_once_in_order(
    paged: PagedList, firsts: list[int]
) -> None:
    """Whatever the page shapes and the sequence of `first`s, nothing is lost or repeated."""
    seen: list[str] = []
    after = None
    for turn in range(len(paged.keys) + 1):
        taken = await take_page(paged, PageArguments(first=firsts[turn % len(firsts)], after=after))
        seen += keys(taken)
        assert taken.has_next == (len(seen) < len(paged.keys))
        if not taken.has_next:
            break
        after = position_after(taken, -1)
    assert seen == paged.keys


@given(paged_lists(), st.lists(amounts.filter(bool), min_size=1))
async def test_backward_pages_give_every_item_once_in_order(
    paged: PagedList, lasts: list[int]
) -> None:
    """The same from the end: each slice is in the list's order, never reversed."""
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
async def test_any_edge_resumes_right_behind_itself(paged: PagedList, data: st.DataObject) -> None:
    """The cursor of any edge, from whichever slice, is a place right behind that edge."""
    assume(paged.keys)
    at = data.draw(st.integers(0, len(paged.keys) - 1))
    everything = await take_page(paged, PageArguments(first=len(paged.keys)))
    place = position_after(everything, at)
    assert place == position_of(paged, paged.keys[at])

    fresh = PagedList(paged.shapes)
    taken = await take_page(fresh, PageArguments(first=100, after=place))
    assert keys(taken) == paged.keys[at + 1 :]
    assert taken.has_previous


@given(paged_lists(), st.data())
async def test_both_cursors_and_both_amounts_follow_relays_algorithm(
    paged: PagedList, data: st.DataObject
) -> None:
    """`after`, `before`, then `first` from the front, then `last` from the back (rules 11-21)."""
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
        # Said only where the walk came to the end and knows: `before` is not behind `after`.
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
    """Not selecting `hasNextPage` changes what it costs, not what is returned."""
    looking = await take_page(PagedList(paged.shapes), PageArguments(first=first))
    plain = await take_page(paged, PageArguments(first=first), look_around=False)
    assert keys(plain) == keys(looking)


@given(st.integers(0, 500), st.integers(0, 1200), st.booleans(), st.data())
async def test_a_forward_page_costs_at_most_its_hundreds_and_one_call(
    length: int,
    first: int,
    look: bool,  # noqa: FBT001  drawn, not chosen
    data: st.DataObject,
) -> None:
    """Over full pages of 100, from any edge on: ceil(first / 100) + 1 calls at most."""
    all_keys = [str(number) for number in range(length)]
    shapes = [all_keys[at : at + 100] for at in range(0, length, 100)] or [[]]
    after = data.draw(st.none() | st.sampled_from(all_keys)) if all_keys else None
    paged = PagedList(shapes)
    place = None if after is None else position_of(paged, after)

    await take_page(paged, PageArguments(first=first, after=place), look_around=look)

    assert paged.calls <= -(-first // 100) + 1
    if not look and after is None:
        assert paged.calls <= -(-first // 100)


async def test_behind_the_last_item_of_a_page_going_on_costs_one_call() -> None:
    """The cursor at a page's end names the next page, so the full one is not asked again."""
    paged = PagedList([["a", "b"], ["c", "d"]])
    taken = await take_page(paged, PageArguments(first=2), look_around=False)

    fresh = PagedList(paged.shapes)
    await take_page(
        fresh, PageArguments(first=1, after=position_after(taken, -1)), look_around=False
    )

    assert list(fresh.loaded) == ["t1"]


async def test_first_zero_costs_nothing() -> None:
    """`first: 0` asks nothing, unless `hasNextPage` is wanted."""
    paged = PagedList([["a"]])
    assert keys(await take_page(paged, PageArguments(first=0), look_around=False)) == []
    assert paged.calls == 0
    assert (await take_page(paged, PageArguments(first=0))).has_next


@given(paged_lists(), st.integers(1, 8), amounts.filter(bool))
async def test_a_spent_budget_ends_a_walk_where_it_can_go_on(
    paged: PagedList, calls: int, first: int
) -> None:
    """Pages cut short by the budget, some of them empty, still add up to the whole list."""
    seen: list[str] = []
    after: CursorPosition | None = None
    for _ in range(len(paged.keys) + len(paged.shapes) + 1):
        turn = PagedList(paged.shapes, CallBudget(calls, "SETTING"))
        taken = await take_page(turn, PageArguments(first=first, after=after))
        seen += keys(taken)
        if not taken.has_next:
            break
        after = taken.resume or position_after(taken, -1)
    assert seen == paged.keys


async def test_a_spent_budget_is_an_error_from_the_back() -> None:
    """`last` cannot return less and be right, so it says which setting stopped it."""
    paged = PagedList([["a"], ["b"], ["c"]], CallBudget(2, "GATEWAY_MAX_UPSTREAM_CALLS"))
    with pytest.raises(LimitExceededError, match="GATEWAY_MAX_UPSTREAM_CALLS"):
        await take_page(paged, PageArguments(last=1))


@pytest.mark.parametrize("found", [0, 1])
async def test_the_deadline_ends_a_walk_only_where_there_is_an_edge(found: int) -> None:
    """With an edge the page is short and goes on; with none the time is the error."""
    pages = {None: Page([{"key": "a"}] * found, "t1")}

    async def load(token: str | None) -> Page:
        if token in pages:
            return pages[token]
        raise DeadlineError("late")

    window = PageArguments(first=5)
    if not found:
        with pytest.raises(UpstreamTimeoutError):
            await paginate(window, listed(load), look_around=True)
        return
    taken = await paginate(window, listed(load), look_around=True)
    assert keys(taken) == ["a"]
    assert taken.has_next
    assert taken.resume == CursorPosition("t1", 0, item_digest("a"))


@given(paged_lists(), st.integers(1, 8))
async def test_the_count_is_of_the_whole_list_or_none(paged: PagedList, calls: int) -> None:
    """`totalCount` walks all pages, and says nothing where the budget ends first."""
    paged.budget = CallBudget(calls, "SETTING")
    expected = len(paged.keys) if len(paged.shapes) <= calls else None
    assert await count(listed(paged.load)) == expected


@given(paged_lists(), st.data())
async def test_items_put_in_front_do_not_disturb_a_cursor(
    paged: PagedList, data: st.DataObject
) -> None:
    """Where a new item shifts all others by one, as offset tokens do, the digest finds its item."""
    assume(paged.keys)
    at = data.draw(st.integers(0, len(paged.keys) - 1))
    place = position_of(paged, paged.keys[at])
    sizes = [len(shape) for shape in paged.shapes]
    shifted = ["new", *paged.keys]
    shapes, start = [], 0
    for size in [*sizes[:-1], sizes[-1] + 1]:
        shapes.append(shifted[start : start + size])
        start += size
    assume(0 not in sizes)  # an item moves to the next page, not over an empty one

    taken = await take_page(PagedList(shapes), PageArguments(first=100, after=place))

    assert keys(taken) == paged.keys[at + 1 :]


@given(paged_lists(), st.data())
async def test_no_item_is_skipped_where_the_cursors_own_item_is_gone(
    paged: PagedList, data: st.DataObject
) -> None:
    """A deleted item leaves the place where it was: the walk goes on with the one behind it."""
    assume(paged.keys)
    gone = data.draw(st.sampled_from(paged.keys))
    place = position_of(paged, gone)
    left = [[key for key in shape if key != gone] for shape in paged.shapes]

    taken = await take_page(PagedList(left), PageArguments(first=100, after=place))

    assert keys(taken) == paged.keys[paged.keys.index(gone) + 1 :]


@given(paged_lists(), st.data())
async def test_before_cuts_where_its_item_was_if_it_is_gone(
    paged: PagedList, data: st.DataObject
) -> None:
    """A deleted item's cursor still cuts: what was in front of it is returned."""
    assume(paged.keys)
    gone = data.draw(st.sampled_from(paged.keys))
    place = position_of(paged, gone)
    left = [[key for key in shape if key != gone] for shape in paged.shapes]

    taken = await take_page(PagedList(left), PageArguments(last=100, before=place))

    assert keys(taken) == paged.keys[: paged.keys.index(gone)]


async def test_before_is_found_by_its_item_where_tokens_are_new_on_each_walk() -> None:
    """The upstream may write another token each time; the item's digest decides."""
    paged = PagedList([["a", "b"], ["c", "d"]])
    stranger = CursorPosition("another text", 1, item_digest("c"))
    assert keys(await take_page(paged, PageArguments(last=5, before=stranger))) == [
        "a",
        "b",
    ]


async def test_before_an_item_that_never_comes_is_an_error() -> None:
    """A `before` that is nowhere behind `after` is told, not ignored."""
    paged = PagedList([["a", "b"], ["c"]])
    with pytest.raises(InvalidCursorError, match="before"):
        await take_page(
            paged, PageArguments(first=5, before=CursorPosition("tX", 1, item_digest("zzz")))
        )


async def test_a_repeated_token_is_the_upstreams_error() -> None:
    """A list that goes round ends with an error, not with a hang."""

    async def load(_: str | None) -> Page:
        return Page([], "again")

    for window in (
        PageArguments(first=5),
        PageArguments(last=5),
        PageArguments(first=1, after=CursorPosition("x", 0, NO_ITEM)),
    ):
        with pytest.raises(UpstreamInvalidResponseError, match="token"):
            await paginate(window, listed(load), look_around=True)
    with pytest.raises(UpstreamInvalidResponseError, match="token"):
        await count(listed(load))


def matches(item: Item) -> bool:
    """Pass every third key, by a rule that knows nothing of pages."""
    return int(key_of(item)[1:]) % 3 == 0


@given(paged_lists(), st.integers(1, 8), amounts.filter(bool), st.booleans())
async def test_a_filtered_list_pages_as_the_list_of_what_passes(
    paged: PagedList,
    calls: int,
    amount: int,
    look: bool,  # noqa: FBT001  drawn, not chosen
) -> None:
    """Full pages unless the list or the budget ends; every item that passes once, in order."""
    passing = [key for key in paged.keys if matches({"key": key})]
    seen: list[str] = []
    after: CursorPosition | None = None
    for _ in range(len(paged.keys) + len(paged.shapes) + 1):
        turn = PagedList(paged.shapes, CallBudget(calls, "SETTING"))
        source = listed(turn.load, matches)
        taken = await paginate(PageArguments(first=amount, after=after), source, look_around=look)
        seen += keys(taken)
        assert len(taken.items) == amount or taken.resume or seen == passing
        if look and taken.resume is None:
            assert taken.has_next == (len(seen) < len(passing))
        if not taken.resume and len(taken.items) < amount:
            break
        after = taken.resume or position_after(taken, -1)
    assert seen == passing


@given(paged_lists(), amounts.filter(bool))
async def test_a_filtered_list_pages_backwards_and_counts_likewise(
    paged: PagedList, last: int
) -> None:
    """From the end, and as a whole."""
    passing = [key for key in paged.keys if matches({"key": key})]
    source = listed(paged.load, matches)
    taken = await paginate(PageArguments(last=last), source, look_around=True)
    assert keys(taken) == passing[-last:]
    assert taken.has_previous == (len(passing) > last)
    assert await count(source) == len(passing)
