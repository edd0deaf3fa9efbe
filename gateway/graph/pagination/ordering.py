"""Paging through a list in an order that AWS does not have.

The whole list is read. Of each page only the items that may be shown stay in memory, so that a
page costs as much at the end of a list as at its start.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from sys import getsizeof
from typing import NamedTuple, TypeAlias, TypeVar

from gateway.errors import LimitExceededError
from gateway.graph.pagination.keyset import decode_keyset, encode_keyset
from gateway.graph.pagination.pager import PageArguments
from gateway.graph.pagination.result import PageResult, PageRows
from gateway.graph.pagination.source import ListCounts, UpstreamList
from gateway.upstream.loader import BudgetSpentError, DeadlineError
from gateway.upstream.values import Item, Page, sizes

Rank: TypeAlias = tuple[str, ...]
"""What items are compared by: one or more texts, of which the last are the value and the key."""


T = TypeVar("T")

_RankedRow: TypeAlias = tuple[Rank, int]
_Entry: TypeAlias = tuple[Rank, Item]


class OrderField(NamedTuple):
    """A field to order by. What is sorted of a page is kept with it, by this object."""

    name: str
    read: Callable[[Item], str]
    """Returns an item's value as text."""
    fold: Callable[[str], str] | None = None
    """Returns what a value is compared by before the value itself."""

    def rank(self, value: str, key: str) -> Rank:
        return (value, key) if self.fold is None else (self.fold(value), value, key)


@dataclass(frozen=True, slots=True)
class ItemOrder:
    """An order by a field, then by the items' keys. Descending is the exact reverse."""

    field: OrderField
    descending: bool

    @property
    def name(self) -> str:
        return f"{self.field.name} {'DESC' if self.descending else 'ASC'}"

    def decode(self, list_digest: bytes, cursor: str, argument: str) -> Rank:
        """Return the rank in a cursor; raises InvalidCursorError naming the argument."""
        return self.field.rank(*decode_keyset(list_digest, cursor, argument=argument))


@dataclass(slots=True)
class OrderedResult(PageResult):
    """A page of an ordered list."""

    ranks: Sequence[Rank] = ()
    """Of the items."""

    def cursors(self, start: int, stop: int) -> list[bytes]:
        return [self._encode(rank) for rank in self.ranks[start:stop]]

    @property
    def start_cursor(self) -> str | None:
        return self._encode(self.ranks[0]).decode() if self.ranks else None

    @property
    def end_cursor(self) -> str | None:
        return self._encode(self.ranks[-1]).decode() if self.ranks else None

    def _encode(self, rank: Rank) -> bytes:
        value, key = rank[-2:]
        return encode_keyset(self.source.digest, value, key)


async def paginate_ordered(
    arguments: PageArguments[Rank], source: UpstreamList, order: ItemOrder, *, look_around: bool
) -> OrderedResult:
    """Read the page that the arguments ask for, by Relay's algorithm.

    `has_next` and `has_previous` are exact. Without `look_around` an empty page makes no call.

    Raises LimitExceededError if the budget does not suffice for the whole list, DeadlineError if
    the time does not.
    """
    window = _Window(arguments, source, order)
    if not window.size and not look_around:
        return window.result()
    try:
        async for page in source.pages():
            window.add(page)
    except (BudgetSpentError, DeadlineError) as error:
        refusal = LimitExceededError if isinstance(error, BudgetSpentError) else DeadlineError
        raise refusal(
            "`orderBy` reads the whole list, whatever the `filter`, and the list is too long. "
            f"{error.message} Or order a shorter list, such as that of a collaboration or a model."
        ) from error
    window.counts.complete()
    return window.result()


class _Window:
    """The items between two cursors that may be shown, of the pages added so far."""

    def __init__(
        self, arguments: PageArguments[Rank], source: UpstreamList, order: ItemOrder
    ) -> None:
        self._arguments = arguments
        self._source = source
        self._order = order
        self.counts = ListCounts(source)
        self.size: int = arguments.last if arguments.first is None else arguments.first  # type: ignore[assignment]  # one is set
        """How many items to keep."""
        self._low, self._high = arguments.after, arguments.before
        if order.descending:
            self._low, self._high = self._high, self._low
        self._keep_lowest = (arguments.first is not None) != order.descending
        self._kept: list[_Entry] = []
        """Ascending, also for a descending order."""
        self._seen: set[str] = set()
        """The keys of all items: if the list changes while it is read, AWS may list one twice."""
        self._number = 0
        self._any_below = self._any_above = False

    def add(self, page: Page) -> None:
        """Add the items of a page that pass the filter, those of earlier pages apart."""
        found = self._new_rows(page)
        self.counts.add(page, [row for _, row in found])
        start = 0 if self._low is None else bisect_right(found, self._low, key=_rank_of)
        stop = len(found) if self._high is None else bisect_left(found, self._high, key=_rank_of)
        inside = [(rank, page.items[row]) for rank, row in self._cut(found[start:stop])]
        self._kept = self._cut(sorted([*self._kept, *inside], key=_rank_of))
        self._number += max(stop - start, 0)
        self._any_below |= start > 0
        self._any_above |= stop < len(found)

    def _new_rows(self, page: Page) -> list[_RankedRow]:
        matching = self._source.matching_rows(page)
        wanted = matching if isinstance(matching, range) else frozenset(matching)
        found, seen = [], self._seen
        for each in _ranked_rows(page, self._order.field, self._source.resource.key_of):
            rank, row = each
            key = rank[-1]
            if row in wanted and key not in seen:
                seen.add(key)
                found.append(each)
        return found

    def _cut(self, entries: list[tuple[Rank, T]]) -> list[tuple[Rank, T]]:
        if self._keep_lowest:
            return entries[: self.size]
        return entries[max(len(entries) - self.size, 0) :]

    def result(self) -> OrderedResult:
        """Return the page, as far as the list was added."""
        first, last = self._arguments.first, self._arguments.last
        entries, preceded, followed = self._kept, self._any_below, self._any_above
        if self._order.descending:
            entries, preceded, followed = entries[::-1], followed, preceded
        if last is not None:
            entries = entries[max(len(entries) - last, 0) :]
        page = Page([item for _, item in entries], None)
        return OrderedResult(
            self._source,
            [PageRows.of(None, page, range(len(entries)))] if entries else [],
            has_next=followed if first is None else self._number > first,
            has_previous=preceded if last is None else self._number > last,
            ranks=[rank for rank, _ in entries],
            known_counts=self.counts,
        )


def _ranked_rows(
    page: Page, field: OrderField, key_of: Callable[[Item], str]
) -> Sequence[_RankedRow]:
    """Return the rows of a page by rank. They are kept with the page, by field."""

    def rank_all() -> list[_RankedRow]:
        items = enumerate(page.items)
        return sorted((field.rank(field.read(item), key_of(item)), row) for row, item in items)

    return page.derive(("ranked", field), rank_all, _weigh)


def _weigh(rows: list[_RankedRow]) -> int:
    # The key is the item's own text.
    texts = sum(sizes(rank) - getsizeof(rank[-1]) for rank, _ in rows)
    return sizes(rows) + texts


def _rank_of(entry: tuple[Rank, object]) -> Rank:
    return entry[0]
