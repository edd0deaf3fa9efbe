"""A walk through an upstream list: page by page, from behind one item up to another."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from gateway.errors import InvalidCursorError, UpstreamInvalidResponseError
from gateway.graph.pagination.cursor import NO_ITEM, CursorPosition, item_digest
from gateway.upstream.loader import BudgetSpentError, DeadlineError
from gateway.upstream.values import Item, Page

Load = Callable[[str | None], Awaitable[Page]]
"""Return the page behind a token (None: the first). May raise BudgetSpentError, DeadlineError."""

Keeps = Callable[[Item], bool]
"""Say whether an item passes a filter."""

KeyOf = Callable[[Item], str]
"""Return what names an item, such as its ARN."""


class ListedItem(NamedTuple):
    """An item where it was found: the page's token, the page, and where in it."""

    token: str | None
    page: Page
    at: int
    item: Item
    """What is shown there: the page's, or what the same object has been shown as before."""

    def behind(self, key_of: KeyOf) -> CursorPosition:
        """Name the place right behind the item.

        Behind a page's last item that is the start of the next page, so that going on there
        costs one upstream call.
        """
        digest = item_digest(key_of(self.item))
        if self.at + 1 == len(self.page.items) and self.page.next_token is not None:
            return CursorPosition(self.page.next_token, 0, digest)
        return CursorPosition(self.token, self.at + 1, digest)


@dataclass(frozen=True, slots=True)
class Listed:
    """A list as it is asked for: its pages, what names its items, and which of them count."""

    load: Load
    key_of: KeyOf
    keeps: Keeps | None = None


class Walk:
    """Goes through a list page by page, from behind `after` up to the item of `before`."""

    def __init__(
        self,
        listed: Listed,
        after: CursorPosition | None = None,
        before: CursorPosition | None = None,
    ) -> None:
        self._load = listed.load
        self._key_of = listed.key_of
        self._keeps = listed.keeps
        self._after = after
        self._before = before
        self._token = after.token if after is not None else None
        self._last_seen = after.item if after is not None else NO_ITEM
        self._seen: set[str] = set() if self._token is None else {self._token}
        self.scanned = 0
        """How many items were looked at."""
        self.ended = False
        self.stopped_at_before = False
        """Whether the walk ended at the item of `before`, which therefore follows."""

    def place(self) -> CursorPosition:
        """Name where the walk stands: at the start of the page that it would load next."""
        if self._after is not None:
            return self._after
        return CursorPosition(self._token, 0, self._last_seen)

    async def next(self, most: int | None = None) -> list[ListedItem]:
        """Return what the next page adds, perhaps nothing; sets `ended` with the last one.

        No more than `most`: who has them all does not walk on.

        Raises InvalidCursorError if the list ends and the item of `before` was not met,
        UpstreamInvalidResponseError if the upstream repeats a token.
        """
        start = 0
        if self._after is not None:
            self._token, start = await self._enter(self._after)
        page = await self._load(self._token)
        stop = await self._stop(page, start)
        end = len(page.items) if stop is None else stop
        spots = self._spots(page, range(start, end), most)
        self.scanned += max(end - start, 0)
        self._after = None
        if end > start:
            self._last_seen = item_digest(self._key_of(page.items[end - 1]))
        self._go_on(page, stop)
        return spots

    def _spots(self, page: Page, places: range, most: int | None) -> list[ListedItem]:
        token, items, keeps = self._token, page.items, self._keeps
        found = (
            ListedItem(token, page, at, items[at])
            for at in places
            if keeps is None or keeps(items[at])
        )
        return list(islice(found, most))

    def _go_on(self, page: Page, stop: int | None) -> None:
        if stop is not None:
            self.ended = self.stopped_at_before = True
        elif page.next_token is None:
            self.ended = True
            if self._before is not None:
                raise InvalidCursorError(
                    "`before` is a cursor of an item that is not, or no more, in the list "
                    "behind `after`."
                )
        else:
            refuse_repeated(page.next_token, self._seen)
            self._token = page.next_token

    async def _enter(self, after: CursorPosition) -> tuple[str | None, int]:
        """Find where to go on: page token and index.

        Where items moved, the digest finds the item of `after` in its page or on the next
        one; an item that is gone leaves the place where it was.
        """
        page = await self._load(after.token)
        index = self._index_of(page, after)
        if index is not None:
            return after.token, index + 1
        if after.offset == 0 or after.item == NO_ITEM:
            return after.token, min(after.offset, len(page.items))
        if page.next_token is not None:
            try:
                moved = self._index_of(await self._load(page.next_token), after)
            except (BudgetSpentError, DeadlineError):
                moved = None
            if moved is not None:
                self._seen.add(page.next_token)
                return page.next_token, moved + 1
        return after.token, min(after.offset - 1, len(page.items))

    async def _stop(self, page: Page, start: int) -> int | None:
        """Return the index in the page at which `before` cuts, None if it does not.

        It cuts only behind `after`, as in Relay's algorithm.
        """
        before = self._before
        if before is None:
            return None
        index = self._index_of(page, before)
        if index is None:
            index = await self._where_it_was(page, before)
        return index if index is not None and index >= start else None

    async def _where_it_was(self, page: Page, before: CursorPosition) -> int | None:
        """Return where in the page the item of `before` was, if it is gone and was there."""
        if before.offset and before.token == self._token:
            was = min(before.offset - 1, len(page.items))
        elif before.item == NO_ITEM and before.token == self._token:
            return 0
        elif not before.offset and before.token == page.next_token is not None:
            was = len(page.items)
        else:
            return None
        if page.next_token is None or before.item == NO_ITEM:
            return was
        # The item is not where it was. If it moved to the next page, the cut is there.
        moved = self._index_of(await self._load(page.next_token), before)
        return was if moved is None else None

    def _index_of(self, page: Page, place: CursorPosition) -> int | None:
        """Find the item that `place` is behind; where it should be first."""
        if place.item == NO_ITEM:
            return None
        items, likely = page.items, place.offset - 1
        if 0 <= likely < len(items) and item_digest(self._key_of(items[likely])) == place.item:
            return likely
        digests = (item_digest(self._key_of(item)) for item in items)
        return next((i for i, digest in enumerate(digests) if digest == place.item), None)


def refuse_repeated(token: str, seen: set[str]) -> None:
    """Remember a token; raises UpstreamInvalidResponseError if it was seen: the list goes round."""
    if token in seen:
        raise UpstreamInvalidResponseError(
            "Clean Rooms ML repeated a page token: the list goes round."
        )
    seen.add(token)
