"""Rows of an upstream page, and what is computed of each."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from operator import is_
from typing import Self

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
        return compute(self) if kept is None else [kept[index] for index in self.indexes]


def cut(parts: Iterable[PageRows], start: int, stop: int) -> Iterator[PageRows]:
    """Yield the rows from `start` to `stop`, counted over all parts, without empty parts."""
    for part in parts:
        first, last = max(start, 0), min(stop, len(part))
        if first < last:
            yield part.slice(first, last)
        start, stop = start - len(part), stop - len(part)
