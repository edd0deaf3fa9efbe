"""Paging: from `first`, `after`, `last` and `before` to items of an upstream list.

The upstream hands out pages one way, by tokens, and may make them short or empty. Everything
here is arithmetic over such pages; `load` is the only way out.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple

from gateway.errors import InvalidCursorError, LimitExceededError, UpstreamInvalidResponseError
from gateway.graph.cursor import NO_ITEM, Place, item_digest
from gateway.upstream.page import Item, Page
from gateway.upstream.reader import BudgetSpentError, DeadlineError

Load = Callable[[str | None], Awaitable[Page]]
"""Return the page behind a token (None: the first). May raise BudgetSpentError, DeadlineError."""

KeyOf = Callable[[Item], str]
"""Return what names an item, such as its ARN."""

ONE_MORE = 1
"""Items looked at past the end of a slice, to know whether any follows."""


@dataclass(frozen=True, slots=True)
class Window:
    """What is asked of a list, checked: numbers are not negative, cursors are read."""

    first: int | None = None
    after: Place | None = None
    last: int | None = None
    before: Place | None = None


class Spot(NamedTuple):
    """An item where it was found: the page's token, the page, and where in it."""

    token: str | None
    page: Page
    at: int
    item: Item
    """What is shown there: the page's, or what the same object has been shown as before."""

    def behind(self, key_of: KeyOf) -> Place:
        """Name the place right behind the item.

        Behind a page's last item that is the start of the next page, so that going on there
        costs one upstream call.
        """
        digest = item_digest(key_of(self.item))
        if self.at + 1 == len(self.page.items) and self.page.next_token is not None:
            return Place(self.page.next_token, 0, digest)
        return Place(self.token, self.at + 1, digest)


@dataclass(frozen=True, slots=True)
class Slice:
    """The items asked for, and what lies around them."""

    spots: list[Spot]
    has_next: bool
    has_previous: bool
    resume: Place | None = None
    """Where to go on if the budget or the time ended the walk before the slice was full."""


async def take(window: Window, load: Load, key_of: KeyOf, *, look_around: bool) -> Slice:
    """Cut the slice that `window` asks for out of the list.

    Relay's algorithm: `after`, `before`, then `first` from the front, then `last` from the
    back. Without `look_around`, `has_next` and `has_previous` may be wrong, and no call is
    made for their sake.
    """
    walk = Walk(load, key_of, window.after, window.before)
    if window.last is not None:
        return await _backward(walk, window, window.last, look_around=look_around)
    assert window.first is not None  # noqa: S101  one of the two is always set
    return await _forward(walk, window, window.first, look_around=look_around)


async def count(load: Load) -> int | None:
    """Count the whole list, or return None where the budget or the time does not suffice."""
    total, token, seen = 0, None, set[str]()
    try:
        while True:
            page = await load(token)
            total += len(page.items)
            token = page.next_token
            if token is None:
                return total
            refuse_repeated(token, seen)
    except (BudgetSpentError, DeadlineError):
        return None


async def _forward(walk: "Walk", window: Window, first: int, *, look_around: bool) -> Slice:
    need = first + ONE_MORE if look_around else first
    spots: list[Spot] = []
    resume = None
    try:
        while len(spots) < need and not walk.ended:
            spots.extend(await walk.next(need - len(spots)))
    except DeadlineError:
        if not spots:
            raise
        resume = walk.place()
    except BudgetSpentError:
        resume = walk.place()
    return Slice(
        spots[:first],
        has_next=resume is not None or len(spots) > first,
        has_previous=window.after is not None and window.after.item != NO_ITEM,
        resume=resume,
    )


async def _backward(walk: "Walk", window: Window, last: int, *, look_around: bool) -> Slice:
    """Walk from the front: the upstream knows no other way. Only the last items are kept."""
    end = _end_of(window, last, look_around=look_around)
    kept: deque[Spot] = deque(maxlen=last)
    total = 0
    try:
        while (end is None or total < end) and not walk.ended:
            for spot in await walk.next():
                if window.first is None or total < window.first:
                    kept.append(spot)
                total += 1
    except BudgetSpentError as error:
        raise LimitExceededError(
            f"`last` walks the list from its start, and the walk is too long: {error.message}"
        ) from error
    return Slice(
        list(kept),
        has_next=walk.cut if window.first is None else total > window.first,
        has_previous=total > last,
    )


def _end_of(window: Window, last: int, *, look_around: bool) -> int | None:
    """After how many items a backward walk may stop; None: not before the end."""
    if window.first is None:
        return None if last or look_around else 0
    return max(window.first, last) + ONE_MORE if look_around else window.first


class Walk:
    """Goes through a list page by page, from behind `after` up to the item of `before`."""

    def __init__(
        self, load: Load, key_of: KeyOf, after: Place | None = None, before: Place | None = None
    ) -> None:
        self._load = load
        self._key_of = key_of
        self._after = after
        self._before = before
        self._token = after.token if after is not None else None
        self._last_seen = after.item if after is not None else NO_ITEM
        self._seen: set[str] = set() if self._token is None else {self._token}
        self.ended = False
        self.cut = False
        """Whether the walk ended at the item of `before`, which therefore follows."""

    def place(self) -> Place:
        """Name where the walk stands: at the start of the page that it would load next."""
        if self._after is not None:
            return self._after
        return Place(self._token, 0, self._last_seen)

    async def next(self, most: int | None = None) -> list[Spot]:
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
        wanted = end if most is None else min(end, start + most)
        token, items = self._token, page.items
        spots = [Spot(token, page, at, items[at]) for at in range(start, wanted)]
        self._after = None
        if end > start:
            self._last_seen = item_digest(self._key_of(items[end - 1]))
        self._go_on(page, stop)
        return spots

    def _go_on(self, page: Page, stop: int | None) -> None:
        if stop is not None:
            self.ended = self.cut = True
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

    async def _enter(self, after: Place) -> tuple[str | None, int]:
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

    async def _where_it_was(self, page: Page, before: Place) -> int | None:
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

    def _index_of(self, page: Page, place: Place) -> int | None:
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
