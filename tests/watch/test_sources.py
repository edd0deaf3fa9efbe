"""What is watched: an object, and all rows of a list, however it is paged while it changes."""

import asyncio
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import (
    BadUserInputError,
    LimitExceededError,
    NotFoundError,
    OverloadedError,
    UpstreamInvalidResponseError,
    UpstreamUnavailableError,
)
from gateway.telemetry.metrics import WATCHED_BYTES
from gateway.watch.changes import changes_between
from gateway.watch.memory import ROW_OVERHEAD, WatchMemory
from gateway.watch.sources import ListSource, ListState
from tests.upstream.clients import caller
from tests.watch.doubles import ADA, LISTING, Upstream, Watching, arn, job, key_of

Page = list[dict[str, Any]]

NAMES = [f"job{number}" for number in range(12)]


def paged(rows: Page, size: int) -> list[Page]:
    return [rows[start : start + size] for start in range(0, len(rows), size)] or [[]]


def list_source(
    upstream: Upstream, *, max_pages: int = 100, memory: WatchMemory | None = None
) -> ListSource:
    return ListSource(
        Watching(upstream).client,
        LISTING,
        key_of,
        max_pages=max_pages,
        memory=memory or WatchMemory(),
    )


def names(state: ListState) -> list[str]:
    return [orjson.loads(row)["name"] for row in state.rows.values()]


@given(st.lists(st.lists(st.sampled_from(NAMES), max_size=4), min_size=1, max_size=8))
def test_a_list_is_all_rows_of_all_pages(pages: list[list[str]]) -> None:
    """Short and empty pages with tokens included; a row that two pages have is one row."""

    async def read() -> tuple[Upstream, ListState, float]:
        upstream = Upstream(*[[job(name) for name in page] for page in pages])
        source = list_source(upstream)
        return upstream, await source.read(ADA, None), source.least_seconds

    upstream, state, least_seconds = asyncio.run(read())

    assert names(state) == list(dict.fromkeys(name for page in pages for name in page))
    assert len(upstream.calls) == len(pages)
    assert least_seconds == 2 * len(pages)


async def test_of_a_row_that_two_pages_have_the_later_one_counts() -> None:
    """The row has moved to the next page meanwhile, which was read later."""
    source = list_source(Upstream([job("a")], [job("b"), job("a", "ACTIVE")]))
    state = await source.read(ADA, None)

    assert orjson.loads(state.rows[arn("a")])["status"] == "ACTIVE"


@given(
    st.lists(st.permutations(NAMES), min_size=1, max_size=12),
    st.integers(1, 12),
)
def test_a_row_that_moves_between_pages_is_never_reported_as_deleted(
    orders: list[list[str]], size: int
) -> None:
    """Unless two walks in succession miss it: here, the list comes to rest after some calls."""

    async def read() -> list[Any]:
        upstream = Upstream(*paged([job(name) for name in NAMES], size))
        source = list_source(upstream)
        before = await source.read(ADA, None)
        pending = orders[: len(upstream.pages)]

        def reorder() -> None:
            order = pending.pop(0) if pending else NAMES
            upstream.pages = paged([job(name) for name in order], size)

        upstream.before_call = reorder
        after = await source.read(ADA, before)
        return [*filter(None, changes_between(before.rows, after.rows))]

    assert asyncio.run(read()) == []


async def test_a_row_that_one_of_two_walks_has_is_in_the_list() -> None:
    """Both meet the list while it changes."""
    upstream = Upstream([job("a")], [job("b")])
    source = list_source(upstream)
    before = await source.read(ADA, None)
    met = iter("bbaa")

    def show_one() -> None:
        upstream.pages = [[job(next(met))]] * 2

    upstream.before_call = show_one
    after = await source.read(ADA, before)

    assert sorted(names(after)) == ["a", "b"]


@given(
    st.lists(st.lists(st.sampled_from(NAMES), unique=True), min_size=1, max_size=8),
    st.integers(1, 4),
)
def test_states_follow_a_list_that_changes_between_readings(
    lists: list[list[str]], size: int
) -> None:
    """Of equal states the rows are the same object, so that subscribers do not hold copies."""

    async def read() -> None:
        upstream = Upstream()
        source = list_source(upstream)
        state: ListState | None = None
        for listed in lists:
            upstream.pages = paged([job(name) for name in listed], size)
            previous, state = state, await source.read(ADA, state)
            assert sorted(names(state)) == sorted(listed)
            if previous is not None:
                assert (state == previous) == (state.rows is previous.rows)
                for key in state.rows.keys() & previous.rows.keys():
                    assert state.rows[key] is previous.rows[key]

    asyncio.run(read())


async def test_a_row_that_is_gone_costs_a_second_walk_only_if_there_are_pages() -> None:
    calls = []
    for pages in ([[job("a"), job("b")]], [[job("a")], [job("b")], [job("c")]]):
        upstream = Upstream(*pages)
        source = list_source(upstream)
        state = await source.read(ADA, None)
        upstream.pages[0] = []
        before = len(upstream.calls)
        after = await source.read(ADA, state)
        calls.append(len(upstream.calls) - before)
        assert arn("a") not in after.rows
        assert source.least_seconds == 2 * calls[-1]

    assert calls == [1, 6]


def repeating_token(upstream: Upstream) -> None:
    upstream.pages = [[job("a")]] * 3
    page = upstream._page
    upstream._page = lambda token: page(token) | {"nextToken": "1"}  # type: ignore[method-assign]


def refused_token(upstream: Upstream) -> None:
    """Shorten the list after its first page."""
    upstream.pages = [[job("a")]] * 3

    def shorten() -> None:
        if upstream.calls:
            upstream.pages = upstream.pages[:1]

    upstream.before_call = shorten


@pytest.mark.parametrize(
    ("damage", "calls", "message"),
    [
        (repeating_token, 2, "repeated a page token"),
        (refused_token, 2, "does not accept its own token"),
    ],
)
async def test_a_walk_with_an_impossible_token_fails(
    damage: Callable[[Upstream], None], calls: int, message: str
) -> None:
    """The upstream's fault, which may pass: the caller has given no token."""
    upstream = Upstream()
    source = list_source(upstream)
    damage(upstream)

    with pytest.raises(UpstreamInvalidResponseError, match=message):
        await source.read(ADA, None)
    assert len(upstream.calls) == calls
    assert source.least_seconds == 2 * calls


async def test_inputs_that_aws_rejects_are_the_callers() -> None:
    upstream = Upstream([job("a")])
    upstream.failures = [BadUserInputError("AWS rejected a parameter of the request.")]

    with pytest.raises(BadUserInputError):
        await list_source(upstream).read(ADA, None)


async def test_a_list_of_too_many_pages_is_not_watched() -> None:
    """The words say what to do, and which setting it is."""
    upstream = Upstream(*paged([job(name) for name in NAMES], 3))
    state = await list_source(upstream, max_pages=4).read(ADA, None)
    upstream.calls.clear()
    source = list_source(upstream, max_pages=3)

    with pytest.raises(LimitExceededError) as raised:
        await source.read(ADA, None)

    assert len(names(state)) == 12
    assert len(upstream.calls) == 3
    assert raised.value.limit == "upstream_calls"
    assert raised.value.message == (
        "The watched list has more than 3 pages (GATEWAY_MAX_UPSTREAM_CALLS). Watch a shorter "
        "list, such as that of a collaboration."
    )


async def test_a_job_that_does_not_exist_is_final_and_tells_so_only_if_it_was_never_seen() -> None:
    upstream = Upstream()
    upstream.jobs["a"] = job("a")
    source = Watching(upstream).job_source("a")
    seen = await source.read(ADA, None)
    del upstream.jobs["a"]
    gone, never = await source.read(ADA, seen), await source.read(ADA, None)

    assert [source.is_final(each) for each in (seen, gone, never)] == [False, True, True]
    assert (gone.item, gone.missing) == (None, None)
    assert isinstance(never.missing, NotFoundError)
    assert never.missing.__traceback__ is None  # it is kept


def held_bytes() -> float:
    total: float = WATCHED_BYTES._value.get()
    return total


def test_a_caller_may_hold_a_quarter_of_the_memory_and_all_together_no_more_than_it() -> None:
    size = 1000
    held, before = WatchMemory(size * 4), held_bytes()
    for name in ("ada", "grace", "linus", "margaret"):
        held.hold(name.encode(), name, size)

    with pytest.raises(LimitExceededError, match=r"one caller may use\. Watch fewer") as own:
        held.hold(b"ada", "another list", 1)
    assert own.value.limit == "caller_watched_bytes"
    with pytest.raises(OverloadedError, match="all callers watch"):
        held.hold(b"another caller", "list", 1)
    assert held_bytes() - before == size * 4
    held.hold(b"ada", "ada", size - 1)  # in place of those before
    held.hold(b"another caller", "list", 1)
    for owner in ("ada", "grace", "linus", "margaret", "list", "list"):
        held.release(owner)
    assert held_bytes() == before
    assert (held._held, held._by_caller) == ({}, {})


async def test_a_list_that_takes_too_much_memory_is_not_watched() -> None:
    held, before = WatchMemory(5000), held_bytes()
    upstream = Upstream([job("a")])
    source = list_source(upstream, memory=held)
    state = await source.read(ADA, None)
    counted = held_bytes()
    assert counted > before
    upstream.pages = [[job(name) for name in NAMES]]

    with pytest.raises(LimitExceededError):
        await source.read(ADA, state)

    assert held_bytes() == counted
    source.close()
    assert held_bytes() == before


async def test_a_list_longer_than_the_memory_is_counted_while_it_is_read() -> None:
    held, before = WatchMemory(16_000), held_bytes()
    upstream = Upstream(*[[job(f"{page}-{name}") for name in NAMES] for page in range(20)])
    source = list_source(upstream, memory=held)

    with pytest.raises(LimitExceededError):
        await source.read(ADA, None)

    assert len(upstream.calls) == 1
    assert held_bytes() == before


async def test_rows_that_have_not_changed_are_not_counted_twice_while_they_are_read() -> None:
    upstream = Upstream([job(name) for name in NAMES], [job(f"other-{name}") for name in NAMES])
    held = WatchMemory()
    source = list_source(upstream, memory=held)
    state = await source.read(ADA, None)
    (size,) = held._by_caller.values()
    without_rows = size + len(state.rows) * (ROW_OVERHEAD + len(arn("other-job10")))
    tight = WatchMemory(4 * without_rows)

    unchanged = await list_source(upstream, memory=tight).read(ADA, state)

    assert unchanged.rows is state.rows


async def test_objects_take_part_of_the_memory_too() -> None:
    upstream, before = Upstream(), held_bytes()
    upstream.jobs["a"] = job("a")
    source = Watching(upstream).job_source("a")
    await source.read(ADA, None)
    small = held_bytes() - before
    upstream.jobs["a"]["description"] = "x" * 10_000
    await source.read(ADA, None)

    assert held_bytes() - before - small >= 10_000 > small > 0
    source.close()
    assert held_bytes() == before


async def test_rows_count_as_those_of_the_caller_who_reads_them() -> None:
    held = WatchMemory(4000)
    sources = [list_source(Upstream([job("a")]), memory=held) for _ in range(2)]
    await sources[0].read(ADA, None)
    with pytest.raises(LimitExceededError, match="one caller"):
        await sources[1].read(ADA, None)
    await sources[1].read(caller("grace"), None)
    for source in sources:
        source.close()


async def test_rows_are_counted_beside_the_known_ones_until_a_list_has_been_read() -> None:
    """Both are in memory meanwhile; afterwards those that are kept."""
    before = held_bytes()
    upstream = Upstream([job("a"), job("b")], [job("c")])
    source = list_source(upstream)
    state = await source.read(ADA, None)
    first = held_bytes() - before
    same = await source.read(ADA, state)
    again = held_bytes() - before
    upstream.pages = [[job("a", "ACTIVE"), job("b", "ACTIVE")], [job("c")]]
    meanwhile: list[float] = []
    upstream.before_call = lambda: meanwhile.append(held_bytes() - before)
    await source.read(ADA, same)
    source.close()

    assert again == first
    assert meanwhile[0] == first
    assert meanwhile[1] > first


async def test_a_second_walk_counts_no_row_twice() -> None:
    before = held_bytes()
    upstream = Upstream([job("gone"), job("same")], [job("changed")])
    source = list_source(upstream)
    state = await source.read(ADA, None)
    upstream.pages = [[job("same"), job("changed", "ACTIVE")], [job("new")]]
    meanwhile: list[float] = []
    upstream.before_call = lambda: meanwhile.append(held_bytes() - before)
    await source.read(ADA, state)
    source.close()

    assert len(meanwhile) == 4
    assert meanwhile[3] == meanwhile[2] > meanwhile[1]


async def test_a_walk_that_fails_keeps_what_was_read_before() -> None:
    held, before = WatchMemory(), held_bytes()
    upstream = Upstream([job("a")], [job("b")])
    source = list_source(upstream, memory=held)
    state = await source.read(caller("grace"), None)
    counted = held_bytes()
    upstream.failure = UpstreamUnavailableError("No.")
    with pytest.raises(UpstreamUnavailableError):
        await source.read(caller("grace"), state)

    assert held_bytes() == counted > before
    source.close()
    assert held_bytes() == before
