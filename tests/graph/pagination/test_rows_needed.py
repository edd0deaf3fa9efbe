"""Pages of the rows that are needed show what whole pages show."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.graph.pagination.cursor import CursorPosition, item_digest
from gateway.graph.pagination.pager import PageArguments, paginate
from gateway.graph.pagination.result import PageResult
from gateway.upstream.values import PAGE_SIZE, Item, Page
from tests.graph.pagination.lists import key_of, listed, position_after

firsts = st.sampled_from([1, 2, 7, 99, 100, 101, 150])


@dataclass
class RowsList:
    """A list that returns the rows asked for, or all of a page; each token once, as RequestLoader.

    A token is the index of the next row. A page may be shorter, by `shortened`, or empty: the one
    at index n has at most `shortened[n % len(shortened)]` rows.
    """

    size: int
    shortened: list[int]
    is_whole: bool = False
    loaded: dict[str | None, Page] = field(default_factory=dict)
    asked: list[int] = field(default_factory=list)

    async def load(self, token: str | None, rows: int = PAGE_SIZE) -> Page:
        if token not in self.loaded:
            self.asked.append(rows)
            self.loaded[token] = self._page(token, PAGE_SIZE if self.is_whole else rows)
        return self.loaded[token]

    def _page(self, token: str | None, rows: int) -> Page:
        start = 0 if token is None else int(token.rstrip("e"))
        most = self.shortened[start % len(self.shortened)]
        is_after_empty = token is not None and token.endswith("e")
        end = min(start + min(rows, max(most, is_after_empty)), self.size)
        items: list[Item] = [{"key": str(number)} for number in range(start, end)]
        following = f"{end}{'' if items else 'e'}" if end < self.size else None
        return Page(items, following)


def keys(page: PageResult) -> list[int]:
    return [int(key_of(item)) for item in page.items]


@given(
    size=st.integers(0, 320),
    shortened=st.lists(st.sampled_from([0, 3, 50, 100, 100]), min_size=1, max_size=4),
    walk=st.lists(st.tuples(firsts, st.booleans()), min_size=1, max_size=6),
)
async def test_walks_continue_without_loss_over_whole_and_needed_rows(
    size: int, shortened: list[int], walk: list[tuple[int, bool]]
) -> None:
    """Cursors of one kind of page are valid for the other, whichever is read in each request."""
    seen: list[int] = []
    after = None
    for first, is_whole in walk:
        source = RowsList(size, shortened, is_whole)
        arguments: PageArguments[CursorPosition] = PageArguments(first=first, after=after)
        page = await paginate(arguments, listed(source.load), look_around=True)
        seen += keys(page)
        assert len(keys(page)) == min(first, size - len(seen) + len(keys(page)))
        assert page.has_next == (len(seen) < size)
        if not page.has_next:
            break
        after = position_after(page, len(page) - 1)
    assert seen == list(range(len(seen)))


@pytest.mark.parametrize(
    ("first", "offset", "asked"),
    [
        (10, 0, [11]),
        (10, 30, [41]),
        (99, 0, [100]),
        (100, 0, [100, 1]),
        (150, 0, [100, 51]),
        (20, 90, [100, 11]),
    ],
)
async def test_no_more_rows_are_needed_than_shown_and_looked_at(
    first: int, offset: int, asked: list[int]
) -> None:
    whole = RowsList(400, [100], is_whole=True)
    everything = await paginate(PageArguments(first=99), listed(whole.load), look_around=False)
    after = position_after(everything, offset - 1) if offset else None
    source = RowsList(400, [100])

    arguments = PageArguments(first=first, after=after)
    page = await paginate(arguments, listed(source.load), look_around=True)

    assert keys(page) == list(range(offset, offset + first))
    assert source.asked == asked


@pytest.mark.parametrize(
    "arguments",
    [
        PageArguments(last=3),
        PageArguments(first=3, last=2),
        PageArguments(first=3, before=CursorPosition(None, 51, item_digest("50"))),
    ],
)
async def test_other_walks_need_whole_pages(arguments: PageArguments[CursorPosition]) -> None:
    source = RowsList(120, [100])

    await paginate(arguments, listed(source.load), look_around=True)

    assert set(source.asked) == {PAGE_SIZE}


async def test_a_filtered_list_needs_whole_pages() -> None:
    source = RowsList(120, [100])
    even = listed(source.load, lambda item: int(key_of(item)) % 2 == 0)

    await paginate(PageArguments(first=3), even, look_around=True)

    assert source.asked == [PAGE_SIZE]
