"""The result of paging: rows of upstream pages, and the cursors of their items."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from operator import add, is_
from typing import Self

from gateway.graph.pagination.cursor import (
    CursorPosition,
    PageCursors,
    digest_by,
    encode_cursor,
    item_digest,
)
from gateway.graph.pagination.source import ListCounts, UpstreamList
from gateway.upstream.values import Item, Page, sizes


@dataclass(frozen=True, slots=True)
class PageRows:
    """Some rows of an upstream page, in its order."""

    token: str | None
    """The token of the page; None is the first page."""
    page: Page
    indexes: Sequence[int]
    """Of the rows in the page."""
    items: Sequence[Item]
    """The item of each row."""
    replaced: bool = False
    """Whether some of the items are not the page's own."""

    @classmethod
    def of(cls, token: str | None, page: Page, indexes: Sequence[int]) -> Self:
        return cls(token, page, indexes, [page.items[index] for index in indexes])

    def __len__(self) -> int:
        return len(self.items)

    def slice(self, start: int, stop: int) -> "PageRows":
        """Return the rows from `start` to `stop`, counted among these."""
        if (start, stop) == (0, len(self)):
            return self
        part = slice(start, stop)
        return PageRows(self.token, self.page, self.indexes[part], self.items[part], self.replaced)

    def with_items(self, items: Sequence[Item]) -> "PageRows":
        """Return these rows with other items of the same keys, or the same ones."""
        if all(map(is_, items, self.items)):
            return self
        return replace(self, items=items, replaced=True)

    @property
    def ends_page(self) -> bool:
        """Whether the last of the rows is that of the page, and another page follows."""
        last = len(self.page.items) - 1
        return self.page.next_token is not None and len(self) > 0 and self.indexes[-1] == last

    def derive(
        self, key: Hashable, compute: Callable[["PageRows"], list[bytes]]
    ) -> Sequence[bytes]:
        """Return what is computed of each row.

        If the page is read more than once, that of all its rows is kept with it under the key.
        """
        if self.replaced:
            return compute(self)

        def compute_all() -> list[bytes]:
            return compute(PageRows.of(self.token, self.page, range(len(self.page.items))))

        kept = self.page.derive_if_reread(key, compute_all, sizes)
        if kept is None:
            return compute(self)
        return kept if len(kept) == len(self) else [kept[index] for index in self.indexes]


def cut(parts: Iterable[PageRows], start: int, stop: int) -> Iterator[PageRows]:
    """Yield the rows from `start` to `stop`, counted over all parts, without empty parts."""
    for part in parts:
        first, last = max(start, 0), min(stop, len(part))
        if first < last:
            yield part.slice(first, last)
        start, stop = start - len(part), stop - len(part)


class DerivedTexts:
    """What is computed of each of some rows: of those of one page at a time, when it is needed."""

    def __init__(self, parts: Iterable[PageRows], key: Hashable) -> None:
        self._parts = iter(parts)
        self._key = key
        self._texts: list[bytes] = []

    def between(
        self, start: int, stop: int, compute: Callable[[PageRows], list[bytes]]
    ) -> list[bytes]:
        """Return the texts of the rows from `start` to `stop`, counted over all parts.

        `compute` is the same each time; kept here, it would make a cycle with its owner.
        """
        while len(self._texts) < stop:
            rows = next(self._parts)
            self._texts += rows.derive((self._key, rows.token), compute)
        return self._texts[start:stop]


@dataclass(slots=True)
class PageResult(ABC):
    """A page of a connection, and the cursors of its items."""

    source: UpstreamList
    parts: list[PageRows]
    has_next: bool
    has_previous: bool
    resume: CursorPosition | None = None
    """Where to continue if the budget or the deadline ended the walk before the page was full."""
    scanned: int = 0
    """How many items were read until then."""
    known_counts: ListCounts | None = None
    """The counts of the whole list, if anything was counted."""

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    @property
    def items(self) -> list[Item]:
        return [item for part in self.parts for item in part.items]

    @property
    def counts(self) -> ListCounts:
        """The counts of the whole list."""
        if self.known_counts is None:
            self.known_counts = ListCounts(self.source)
        return self.known_counts

    @abstractmethod
    def cursors(self, start: int, stop: int) -> list[bytes]:
        """Return the cursors of the positions after the items with these indexes."""

    @property
    @abstractmethod
    def start_cursor(self) -> str | None:
        """The cursor of the first item; None if there is none."""

    @property
    @abstractmethod
    def end_cursor(self) -> str | None:
        """The cursor to continue after; None if there is none."""


@dataclass(slots=True)
class StreamedResult(PageResult):
    """A page of a list in AWS's order.

    After the last item of an upstream page its cursor is the start of the next one, so that
    continuing there costs one upstream call.
    """

    _encoders: dict[str | None, PageCursors] = field(default_factory=dict)
    _tails: DerivedTexts | None = None

    def cursors(self, start: int, stop: int) -> list[bytes]:
        if self._tails is None:
            self._tails = DerivedTexts(self.parts, ("cursors", self.source.digest))
        common: list[bytes] = []
        for rows in cut(self.parts, start, stop):
            common += [self._encoder(rows.token).common] * len(rows)
            if rows.ends_page:
                common[-1] = self._encoder(rows.page.next_token).common
        return list(map(add, common, self._tails.between(start, stop, self._encode_all)))

    @property
    def start_cursor(self) -> str | None:
        return self._cursor(self.parts[0].slice(0, 1)) if self.parts else None

    @property
    def end_cursor(self) -> str | None:
        if self.resume is not None:
            return encode_cursor(self.source.digest, self.resume)
        if not self.parts:
            return None
        last = self.parts[-1]
        return self._cursor(last.slice(len(last) - 1, len(last)))

    def _cursor(self, row: PageRows) -> str:
        token = row.page.next_token if row.ends_page else row.token
        (tail,) = self._encode(row, self._digest_all(row))
        return (self._encoder(token).common + tail).decode()

    def _encode_all(self, rows: PageRows) -> list[bytes]:
        return self._encode(rows, rows.derive(self._digest_of, self._digest_all))

    def _digest_all(self, rows: PageRows) -> list[bytes]:
        return [item_digest(key) for key in map(self.source.resource.key_of, rows.items)]

    def _encode(self, rows: PageRows, digests: Sequence[bytes]) -> list[bytes]:
        offsets = [index + 1 for index in rows.indexes]
        if not rows.ends_page:
            return self._encoder(rows.token).tails(offsets, digests)
        return [
            *self._encoder(rows.token).tails(offsets[:-1], digests[:-1]),
            *self._encoder(rows.page.next_token).tails([0], digests[-1:]),
        ]

    @property
    def _digest_of(self) -> Callable[[Item], bytes]:
        return digest_by(self.source.resource.key_of)

    def _encoder(self, token: str | None) -> PageCursors:
        encoder = self._encoders.get(token)
        if encoder is None:
            encoder = self._encoders[token] = PageCursors(self.source.digest, token)
        return encoder
