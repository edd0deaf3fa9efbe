"""Paging through an ordered list equals Relay's algorithm over the list sorted in memory."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from sys import getsizeof
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from gateway.errors import (
    InvalidCursorError,
    LimitExceededError,
    UpstreamInvalidResponseError,
    UpstreamTimeoutError,
)
from gateway.graph.pagination.ordering import (
    ItemOrder,
    OrderedResult,
    Rank,
    paginate_ordered,
)
from gateway.graph.pagination.pager import PageArguments
from gateway.graph.pagination.source import UpstreamList
from gateway.graph.types.order import (
    AudienceGenerationJobOrder,
    AudienceGenerationJobOrderField,
    OrderDirection,
    item_order,
)
from gateway.upstream.loader import (
    PAGE_CALLS,
    CallBudget,
    DeadlineError,
)
from gateway.upstream.values import PAGE_SIZE, Item, Page
from tests.graph.pagination.lists import DIGEST, key_of, listed

TIMES = [
    "2026-01-02T03:04:05Z",
    "2026-01-02T03:04:05.001Z",
    "2026-01-02T03:04:05.000001+00:00",
    "2025-12-31T23:59:59.999Z",
    "2026-01-02T03:04:06Z",
]
STATUSES = ["ACTIVE", "CREATE_FAILED", "CREATE_PENDING", "A_STATUS_OF_TOMORROW", "UNKNOWN"]
# Names that are equal without case, that grow by folding, and of several scripts and planes.
NAMES = [
    "a",
    "A",
    "b",
    "ß",
    "SS",
    "ss",
    "İ",
    "i",
    "Ж",
    "ж",
    "ﬁ",
    "fi",
    "漢",
    "\U0001d538",
    "\uffff",
    "a\t",
    "",
]


def ordered_by(field: str, direction: str) -> ItemOrder:
    order = item_order(
        AudienceGenerationJobOrder(
            field=AudienceGenerationJobOrderField[field], direction=OrderDirection[direction]
        )
    )
    assert order is not None
    return order


orders = st.builds(
    ordered_by,
    st.sampled_from([each.name for each in AudienceGenerationJobOrderField]),
    st.sampled_from([each.name for each in OrderDirection]),
)
amounts = st.integers(0, 12)
sides = st.sampled_from(["first", "last"])


def sorted_in_memory(items: Sequence[Item], order: ItemOrder) -> list[str]:
    """Sort by the field, then by key, without any code of the gateway."""

    def by(item: Item) -> tuple[Any, ...]:
        match order.field.name:
            case "name":
                return item["name"].casefold(), item["name"], key_of(item)
            case "status":
                known = item["status"] if item["status"] != "A_STATUS_OF_TOMORROW" else "UNKNOWN"
                return known, key_of(item)
            case field:
                # Digits of the same moment to the microsecond.
                whole, _, fraction = (
                    item[field].removesuffix("Z").removesuffix("+00:00").partition(".")
                )
                return whole, fraction.ljust(6, "0"), key_of(item)

    return list(map(key_of, sorted(items, key=by, reverse=order.descending)))


@st.composite
def item_lists(draw: st.DrawFn, most: int = 25) -> list[Item]:
    """Draw items of which many share their values, in any order."""
    names = st.sampled_from(NAMES) | st.text(max_size=3)
    number = draw(st.integers(0, most))
    items: list[Item] = [
        {
            "key": f"k{index:02}",
            "name": draw(names),
            "status": draw(st.sampled_from(STATUSES)),
            "createTime": draw(st.sampled_from(TIMES)),
            "updateTime": draw(st.sampled_from(TIMES)),
        }
        for index in range(number)
    ]
    return draw(st.permutations(items))


@dataclass
class Upstream:
    """A list in pages of these sizes, the last of which holds the rest; some may be empty."""

    items: list[Item]
    sizes: list[int]
    budget: CallBudget | None = None
    calls: int = 0

    async def load(self, token: str | None, _: int = PAGE_SIZE) -> Page:
        self.calls += 1
        if self.budget is not None:
            self.budget.spend()
        number = 0 if token is None else int(token)
        start = sum(self.sizes[:number])
        if number == len(self.sizes):
            return Page(self.items[start:], None)
        return Page(self.items[start : start + self.sizes[number]], str(number + 1))

    def source(self) -> UpstreamList:
        return listed(self.load)


page_sizes = st.lists(st.integers(0, 9), max_size=5)


async def take(source: UpstreamList, order: ItemOrder, **relay: Any) -> OrderedResult:
    """Return a page by cursors, as a client asks for it."""
    names = ("first", "after", "last", "before")
    decode = partial(order.decode, DIGEST)
    arguments: PageArguments[Rank] = PageArguments.parse(decode, *map(relay.get, names))
    return await paginate_ordered(arguments, source, order, look_around=True)


def keys(page: OrderedResult) -> list[str]:
    return list(map(key_of, page.items))


def cursors(page: OrderedResult) -> list[str]:
    return [each.decode() for each in page.cursors(0, len(page))]


@given(item_lists(), page_sizes, orders, st.lists(amounts.filter(bool), min_size=1), sides)
@example([], [], ordered_by("NAME", "ASC"), [1], "first")
async def test_pages_give_every_item_once_in_order(
    items: list[Item], sizes: list[int], order: ItemOrder, amount: list[int], side: str
) -> None:
    """With any sequence of page sizes, forwards and backwards."""
    seen: list[str] = []
    cursor = None
    for turn in range(len(items) + 1):
        number = amount[turn % len(amount)]
        if side == "last":
            page = await take(Upstream(items, sizes).source(), order, last=number, before=cursor)
            seen = keys(page) + seen
            more, cursor = page.has_previous, page.start_cursor
        else:
            page = await take(Upstream(items, sizes).source(), order, first=number, after=cursor)
            seen += keys(page)
            more, cursor = page.has_next, page.end_cursor
        assert more == (len(seen) < len(items))
        if not more:
            break

    assert seen == sorted_in_memory(items, order)


@given(item_lists(), page_sizes, orders, st.data())
async def test_any_arguments_follow_relays_algorithm(
    items: list[Item], sizes: list[int], order: ItemOrder, data: st.DataObject
) -> None:
    expected = sorted_in_memory(items, order)
    everything = await take(Upstream(items, sizes).source(), order, first=100)
    cursor_of = dict(zip(keys(everything), cursors(everything), strict=True))
    bounds = st.none() | st.sampled_from(expected) if expected else st.none()
    after, before = data.draw(bounds), data.draw(bounds)
    first, last = data.draw(st.none() | amounts), data.draw(st.none() | amounts)
    start = 0 if after is None else expected.index(after) + 1
    stop = len(expected) if before is None else expected.index(before)
    edges = expected[start:stop]
    limit = 20 if first is None and last is None else first
    shown = edges if limit is None else edges[:limit]
    shown = shown if last is None else shown[max(len(shown) - last, 0) :]

    page = await take(
        Upstream(items, sizes).source(),
        order,
        first=first,
        after=cursor_of.get(after or ""),
        last=last,
        before=cursor_of.get(before or ""),
    )

    assert keys(page) == shown
    assert cursors(page) == [cursor_of[key] for key in shown]
    assert page.has_next == (stop < len(expected) if limit is None else len(edges) > limit)
    assert page.has_previous == (start > 0 if last is None else len(edges) > last)
    counts = await page.counts.by_status()
    assert counts == Counter(each["status"] for each in items)


@given(item_lists(), page_sizes, orders, amounts.filter(bool), sides, st.data())
async def test_items_that_come_and_go_disturb_no_others(
    items: list[Item],
    sizes: list[int],
    order: ItemOrder,
    amount: int,
    side: str,
    data: st.DataObject,
) -> None:
    """The item of a cursor may be gone. What stays is shown once, and in order."""
    coming = [dict(each, key=f"new {each['key']}") for each in data.draw(item_lists(5))]
    present, cursor = list(items), None
    stayed, seen = {key_of(each) for each in items}, list[str]()
    for _ in range(len(items) + len(coming) + 1):
        upstream = Upstream(data.draw(st.permutations(present)), sizes)
        if side == "last":
            page = await take(upstream.source(), order, last=amount, before=cursor)
            seen = keys(page) + seen
            more, cursor = page.has_previous, page.start_cursor or cursor
        else:
            page = await take(upstream.source(), order, first=amount, after=cursor)
            seen += keys(page)
            more, cursor = page.has_next, page.end_cursor or cursor
        if not more:
            break
        gone = data.draw(st.sets(st.sampled_from([key_of(each) for each in present]), max_size=2))
        stayed -= gone
        present = [each for each in present if key_of(each) not in gone]
        if coming:
            present.append(coming.pop())

    assert [key for key in seen if key in stayed] == [
        key for key in sorted_in_memory(items, order) if key in stayed
    ]
    assert max(Counter(seen).values(), default=1) == 1


@given(item_lists(), page_sizes, orders)
async def test_an_item_that_moves_while_the_list_is_read_is_shown_once(
    items: list[Item], sizes: list[int], order: ItemOrder
) -> None:
    """AWS lists it on one page, then again on a later one."""
    page = await take(Upstream([*items, *items], sizes).source(), order, first=100)

    assert keys(page) == sorted_in_memory(items, order)
    counts = await page.counts.by_status()
    assert counts is not None
    assert counts.total() == len(items)


@given(item_lists(), page_sizes, orders, amounts)
async def test_filtered_lists_are_ordered(
    items: list[Item], sizes: list[int], order: ItemOrder, first: int
) -> None:
    def matches(item: Item) -> bool:
        return bool(item["status"] == "ACTIVE")

    source = listed(Upstream(items, sizes).load, matches)
    page = await take(source, order, first=first)

    assert keys(page) == sorted_in_memory(list(filter(matches, items)), order)[:first]


@given(item_lists(), page_sizes, orders, st.integers(0, 6))
async def test_a_list_beyond_the_budget_is_refused(
    items: list[Item], sizes: list[int], order: ItemOrder, calls: int
) -> None:
    assume(calls <= len(sizes))
    upstream = Upstream(items, sizes, CallBudget(calls, PAGE_CALLS))

    with pytest.raises(
        LimitExceededError, match=r"`orderBy`.*Accepted: .*GATEWAY_MAX_UPSTREAM_CALLS.* shorter"
    ):
        await take(upstream.source(), order, first=1)


async def test_a_list_beyond_the_deadline_is_refused() -> None:
    """The items that were found in time are not shown: others may precede them."""

    async def load(token: str | None, _: int = PAGE_SIZE) -> Page:
        if token is not None:
            raise DeadlineError("late")
        return Page([{"key": "k", "name": "n", "status": "ACTIVE"}], "next")

    with pytest.raises(UpstreamTimeoutError, match=r"`orderBy`.*late"):
        await take(listed(load), ordered_by("NAME", "ASC"), first=1)


async def test_a_page_costs_as_much_at_the_end_as_at_the_start() -> None:
    items: list[Item] = [{"key": f"{n:04}", "name": "n", "status": "ACTIVE"} for n in range(1000)]
    order = ordered_by("NAME", "DESC")
    upstream = Upstream(items, [100] * 9)
    whole = await take(upstream.source(), order, first=500)
    assert upstream.calls == 10
    for cursor in (None, whole.start_cursor, whole.end_cursor):
        upstream.calls = 0
        page = await take(upstream.source(), order, first=20, after=cursor)
        assert (upstream.calls, len(page)) == (10, 20)


@pytest.mark.parametrize(("direction", "expected"), [("ASC", ["k3", "k4"]), ("DESC", ["k6", "k5"])])
async def test_last_selects_among_those_of_first(direction: str, expected: list[str]) -> None:
    items: list[Item] = [{"key": f"k{n}", "name": "n", "status": "ACTIVE"} for n in range(10)]
    source = Upstream(items, [4]).source()
    page = await take(source, ordered_by("NAME", direction), first=5, last=2)

    assert (keys(page), page.has_next, page.has_previous) == (expected, True, True)


async def test_the_texts_that_are_kept_with_a_page_are_weighed() -> None:
    """Those of the items are not kept twice. A name may grow when its case is folded."""
    items: list[Item] = [
        {"key": f"{n:03}" * 40, "name": "ΐ" * 63, "status": "ACTIVE"} for n in range(100)
    ]
    page, grown = Page(items, None), list[int]()
    page.on_growth = grown.append

    async def load(_: str | None, __: int = PAGE_SIZE) -> Page:
        return page

    await take(listed(load), ordered_by("NAME", "ASC"), first=1)

    folded = sum(getsizeof(each["name"].casefold()) for each in items)
    assert folded < sum(grown) < 2 * folded


@pytest.mark.parametrize("argument", ["first", "last"])
async def test_an_empty_page_makes_no_call_unless_more_is_asked(argument: str) -> None:
    upstream = Upstream([{"key": "k", "name": "n", "status": "ACTIVE"}], [])
    order = ordered_by("NAME", "ASC")
    arguments: PageArguments[Rank] = (
        PageArguments(first=0) if argument == "first" else PageArguments(last=0)
    )
    page = await paginate_ordered(arguments, upstream.source(), order, look_around=False)
    assert (page.items, upstream.calls) == ([], 0)
    counts = await page.counts.by_status()
    assert (counts, upstream.calls) == ({"ACTIVE": 1}, 1)

    page = await paginate_ordered(arguments, upstream.source(), order, look_around=True)
    assert page.has_next == (argument == "first")
    assert page.has_previous == (argument == "last")


async def test_a_token_that_repeats_is_an_error() -> None:
    async def load(_: str | None, __: int = PAGE_SIZE) -> Page:
        return Page([], "again")

    with pytest.raises(UpstreamInvalidResponseError, match="token"):
        await take(listed(load), ordered_by("NAME", "ASC"), first=1)


async def test_cursors_of_damaged_texts_are_refused() -> None:
    order = ordered_by("NAME", "ASC")
    items: list[Item] = [{"key": "k", "name": "näme", "status": "ACTIVE"}]
    cursor = (await take(Upstream(items, []).source(), order, first=1)).end_cursor
    assert cursor is not None
    damaged = [
        cursor[:i] + ("A" if cursor[i] != "A" else "B") + cursor[i + 1 :]
        for i in range(len(cursor))
    ]
    for text in [*damaged, cursor[:-4], cursor + "AAAA", cursor * 2, "AgAA", "A" * 70_000]:
        with pytest.raises(InvalidCursorError, match="`after`"):
            order.decode(DIGEST, text, "after")
