"""Upstream lists for tests: pages of any shape, each loaded once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

from hypothesis import strategies as st

from gateway.graph.pagination.cursor import CursorPosition, decode_cursor, item_digest
from gateway.graph.pagination.result import PageResult
from gateway.graph.pagination.source import ListCounts, LoadPage, UpstreamList
from gateway.graph.types.resource_type import ResourceType
from gateway.upstream.loader import CallBudget
from gateway.upstream.values import PAGE_SIZE, Item, Page


def key_of(item: Item) -> str:
    key: str = item["key"]
    return key


DIGEST = b"the list"


class Keyed:
    """A resource type as far as paging needs it."""

    key_of = staticmethod(key_of)

    @staticmethod
    def status_of(item: Item) -> str:
        status: str = item.get("status", "ACTIVE")
        return status


def listed(load: LoadPage, matches: Callable[[Item], bool] | None = None) -> UpstreamList:
    def matching(page: Page, rows: Sequence[int]) -> Sequence[int]:
        return [row for row in rows if matches is None or matches(page.items[row])]

    return UpstreamList(DIGEST, cast("ResourceType", Keyed()), load, matches and matching)


async def count_items(source: UpstreamList) -> int | None:
    """Count the items of a whole list; None if the budget does not suffice."""
    counts = await ListCounts(source).by_status()
    return None if counts is None else counts.total()


def position_after(page: PageResult, index: int) -> CursorPosition:
    """Return the position in the cursor of an item."""
    (text,) = page.cursors(index, index + 1)
    return decode_cursor(DIGEST, text.decode(), argument="after")


@dataclass
class PagedList:
    """Pages of keys; page n's token is "t<n>". Each page is loaded once, as by RequestLoader."""

    shapes: list[list[str]]
    budget: CallBudget | None = None
    loaded: dict[str | None, Page] = field(default_factory=dict)

    async def load(self, token: str | None, _: int = PAGE_SIZE) -> Page:
        if token not in self.loaded:
            if self.budget is not None:
                self.budget.spend()
            number = 0 if token is None else int(token[1:])
            more = number + 1 < len(self.shapes)
            items: list[Item] = [{"key": key} for key in self.shapes[number]]
            self.loaded[token] = Page(items, f"t{number + 1}" if more else None)
        return self.loaded[token]

    @property
    def keys(self) -> list[str]:
        return [key for shape in self.shapes for key in shape]

    @property
    def calls(self) -> int:
        return len(self.loaded)


@st.composite
def paged_lists(draw: st.DrawFn, most: int = 40) -> PagedList:
    """Draw a list of any length in pages of any sizes, including empty ones."""
    sizes = draw(st.lists(st.integers(0, 9), min_size=1, max_size=8))
    shapes, number = [], 0
    for size in sizes:
        taken = min(size, most - number)
        shapes.append([f"k{number + index}" for index in range(taken)])
        number += taken
    return PagedList(shapes)


def position_of(paged: PagedList, key: str) -> CursorPosition:
    """Return the position that the cursor of this key's edge must have."""
    for number, shape in enumerate(paged.shapes):
        if key in shape:
            token = f"t{number}" if number else None
            offset = shape.index(key) + 1
            if offset == len(shape) and number + 1 < len(paged.shapes):
                return CursorPosition(f"t{number + 1}", 0, item_digest(key))
            return CursorPosition(token, offset, item_digest(key))
    raise KeyError(key)
