"""Paging: from `first`, `after`, `last` and `before` to a page of an upstream list.

AWS returns pages forward only, by tokens, and may return short or empty ones. This module calls
the upstream through `UpstreamList.load` only.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Self, TypeVar

from gateway.errors import (
    BadUserInputError,
    InvalidCursorError,
    LimitExceededError,
)
from gateway.graph.pagination.cursor import NO_ITEM, CursorPosition, digest_by
from gateway.graph.pagination.result import PageResult, PageRows, StreamedResult, cut
from gateway.graph.pagination.source import UpstreamList
from gateway.upstream.loader import BudgetSpentError, DeadlineError
from gateway.upstream.model import check_not_repeated
from gateway.upstream.values import PAGE_SIZE, Page

DEFAULT_FIRST = 20
MAX_FIRST = 500

LOOKAHEAD = 1
"""Items to read past the end of a page, to know whether any follow."""


P = TypeVar("P")
"""A position in a list: what its cursors encode."""


@dataclass(frozen=True, slots=True)
class PageArguments(Generic[P]):
    """Relay's four arguments, validated and decoded."""

    first: int | None = None
    after: P | None = None
    last: int | None = None
    before: P | None = None

    @classmethod
    def parse(
        cls,
        decode: Callable[[str, str], P],
        first: int | None,
        after: str | None,
        last: int | None,
        before: str | None,
    ) -> Self:
        """Validate the arguments; `decode` gets a cursor, and the name of the argument it is of.

        Raises BadUserInputError naming the argument, or what `decode` raises.
        """
        if first is None and last is None:
            first = DEFAULT_FIRST
        return cls(
            _check_amount(first, "first"),
            decode(after, "after") if after else None,
            _check_amount(last, "last"),
            decode(before, "before") if before else None,
        )


def _check_amount(value: int | None, argument: str) -> int | None:
    if value is not None and not 0 <= value <= MAX_FIRST:
        raise BadUserInputError(f"`{argument}` is {value}. Accepted: 0 to {MAX_FIRST}.")
    return value


async def paginate(
    arguments: PageArguments[CursorPosition], source: UpstreamList, *, look_around: bool
) -> PageResult:
    """Read the page that the arguments ask for.

    Relay's algorithm: `after`, `before`, then `first` from the front, then `last` from the back.
    Without `look_around`, `has_next` and `has_previous` may be wrong, and no call is made for
    their sake.
    """
    walk = Walk(source, arguments.after, arguments.before)
    if arguments.last is not None:
        return await _backward(walk, arguments, arguments.last, look_around=look_around)
    assert arguments.first is not None  # noqa: S101  one of the two is always set
    return await _forward(walk, arguments, arguments.first, look_around=look_around)


async def _forward(
    walk: "Walk", arguments: PageArguments[CursorPosition], first: int, *, look_around: bool
) -> PageResult:
    limit = first + LOOKAHEAD if look_around else first
    parts: list[PageRows] = []
    total = 0
    resume = None
    try:
        while total < limit and not walk.ended:
            found = await walk.next_rows(limit - total)
            parts.append(found)
            total += len(found)
    except DeadlineError:
        if not total:
            raise
        resume = walk.position()
    except BudgetSpentError:
        resume = walk.position()
    return StreamedResult(
        walk.source,
        [*cut(parts, 0, first)],
        has_next=resume is not None or total > first,
        has_previous=arguments.after is not None and arguments.after.item != NO_ITEM,
        resume=resume,
        scanned=walk.scanned,
    )


async def _backward(
    walk: "Walk", arguments: PageArguments[CursorPosition], last: int, *, look_around: bool
) -> PageResult:
    """Read from the front, as AWS lists forward only, and keep the last items."""
    first, end = arguments.first, _stop_after(arguments, last, look_around=look_around)
    parts: deque[PageRows] = deque()
    total = kept = 0
    try:
        while (end is None or total < end) and not walk.ended:
            found = await walk.next_rows()
            stop = len(found) if first is None else first - total
            total += len(found)
            for part in cut([found], 0, stop):
                parts.append(part)
                kept += len(part)
            while parts and kept - len(parts[0]) >= last:
                kept -= len(parts.popleft())
    except BudgetSpentError as error:
        raise LimitExceededError(
            "`last` reads the list from its start, and the list is too long. "
            f"{error.message} Or page with `first`."
        ) from error
    return StreamedResult(
        walk.source,
        [*cut(parts, kept - last, kept)],
        has_next=walk.stopped_at_before if first is None else total > first,
        has_previous=total > last,
    )


def _stop_after(
    arguments: PageArguments[CursorPosition], last: int, *, look_around: bool
) -> int | None:
    """Return after how many items a backward walk may stop; None: at the end of the list."""
    if arguments.first is None:
        return None if last or look_around else 0
    return max(arguments.first, last) + LOOKAHEAD if look_around else arguments.first


class Walk:
    """Reads a list page by page, from the position `after` to the item of `before`."""

    def __init__(
        self,
        source: UpstreamList,
        after: CursorPosition | None = None,
        before: CursorPosition | None = None,
    ) -> None:
        self.source = source
        self._digest_of = digest_by(source.resource.key_of)
        self._after = after
        self._before = before
        self._token = after.token if after is not None else None
        self._last_item = after.item if after is not None else NO_ITEM
        self._seen_tokens: set[str] = set() if self._token is None else {self._token}
        self.scanned = 0
        self.ended = False
        self.stopped_at_before = False

    def position(self) -> CursorPosition:
        """Return the position of the walk: the start of the page that it would load next."""
        if self._after is not None:
            return self._after
        return CursorPosition(self._token, 0, self._last_item)

    async def next_rows(self, limit: int | None = None) -> PageRows:
        """Return the rows of the next page, perhaps none; the last page sets `ended`.

        With a `limit` the rest of the page is dropped, so the walk must not be continued after
        that many rows.

        Raises InvalidCursorError if the list ends before the item of `before`,
        UpstreamInvalidResponseError if AWS repeats a token.
        """
        needed = self._rows_needed(limit)
        page, start = await self._find_start(self._after, needed)
        stop = await self._find_stop(page, start)
        end = len(page.items) if stop is None else stop
        indexes: Sequence[int] = range(start, end)
        if self.source.matches is not None:
            indexes = self.source.matches(page, range(start, end))
        rows = PageRows.of(self._token, page, indexes[:limit])
        self.scanned += max(end - start, 0)
        self._after = None
        if end > start:
            self._last_item = self._digest_of(page.items[end - 1])
        self._advance(page, stop)
        return rows

    def _rows_needed(self, limit: int | None) -> int:
        """Return how many rows the next page must have for so many items to be found in it."""
        # The cursor of a deleted item is found by the token of its page: pages of usual size.
        if limit is None or self.source.matches is not None or self._before is not None:
            return PAGE_SIZE
        offset = self._after.offset if self._after is not None else 0
        return min(offset + limit, PAGE_SIZE)

    def _advance(self, page: Page, stop: int | None) -> None:
        if stop is not None:
            self.ended = self.stopped_at_before = True
        elif page.next_token is None:
            self.ended = True
            if self._before is not None:
                raise InvalidCursorError(
                    "`before` refers to an item that is not, or no longer, in the list after "
                    "`after`."
                )
        else:
            check_not_repeated(page.next_token, self._seen_tokens)
            self._token = page.next_token

    async def _find_start(self, after: CursorPosition | None, rows: int) -> tuple[Page, int]:
        """Return the page to continue with, whose token is set, and the index to start at.

        If items have moved, the digest finds the item of `after` in its page or in the next one;
        if the item is gone, its former index counts.
        """
        page = await self.source.load(self._token, rows)
        if after is None:
            return page, 0
        index = self._index_of(page, after)
        if index is not None:
            return page, index + 1
        if after.offset == 0 or after.item == NO_ITEM:
            return page, min(after.offset, len(page.items))
        if page.next_token is not None:
            try:
                following = await self.source.load(page.next_token)
            except (BudgetSpentError, DeadlineError):
                pass
            else:
                moved = self._index_of(following, after)
                if moved is not None:
                    self._seen_tokens.add(page.next_token)
                    self._token = page.next_token
                    return following, moved + 1
        return page, min(after.offset - 1, len(page.items))

    async def _find_stop(self, page: Page, start: int) -> int | None:
        """Return the index in the page at which `before` ends the walk, None if it does not.

        As in Relay's algorithm, it only does so after `after`.
        """
        before = self._before
        if before is None:
            return None
        index = self._index_of(page, before)
        if index is None:
            index = await self._former_index(page, before)
        return index if index is not None and index >= start else None

    async def _former_index(self, page: Page, before: CursorPosition) -> int | None:
        """Return where in the page the item of `before` was, if it was there and is gone."""
        if before.offset and before.token == self._token:
            index = min(before.offset - 1, len(page.items))
        elif before.item == NO_ITEM and before.token == self._token:
            return 0
        elif not before.offset and before.token == page.next_token is not None:
            index = len(page.items)
        else:
            return None
        if page.next_token is None or before.item == NO_ITEM:
            return index
        # If the item has moved to the next page, the walk ends there.
        moved = self._index_of(await self.source.load(page.next_token), before)
        return index if moved is None else None

    def _index_of(self, page: Page, position: CursorPosition) -> int | None:
        """Find the item before the position; look first where it should be."""
        if position.item == NO_ITEM:
            return None
        items, likely = page.items, position.offset - 1
        if 0 <= likely < len(items) and self._digest_of(items[likely]) == position.item:
            return likely
        return page.row_of(position.item, self._digest_of)
