"""Paging: from `first`, `after`, `last` and `before` to items of an upstream list.

The upstream hands out pages one way, by tokens, and may make them short or empty. Everything
here is arithmetic over such pages; `load` is the only way out.
"""

from collections import deque
from dataclasses import dataclass

from gateway.errors import LimitExceededError
from gateway.graph.pagination.cursor import NO_ITEM, CursorPosition
from gateway.graph.pagination.walk import Listed, ListedItem, Walk, refuse_repeated
from gateway.upstream.loader import BudgetSpentError, DeadlineError

ONE_MORE = 1
"""Items looked at past the end of a slice, to know whether any follows."""


@dataclass(frozen=True, slots=True)
class PageArguments:
    """What is asked of a list, checked: numbers are not negative, cursors are read."""

    first: int | None = None
    after: CursorPosition | None = None
    last: int | None = None
    before: CursorPosition | None = None


@dataclass(frozen=True, slots=True)
class PageResult:
    """The items asked for, and what lies around them."""

    spots: list[ListedItem]
    has_next: bool
    has_previous: bool
    resume: CursorPosition | None = None
    """Where to go on if the budget or the time ended the walk before the slice was full."""
    scanned: int = 0
    """How many items were looked at."""


async def paginate(window: PageArguments, listed: Listed, *, look_around: bool) -> PageResult:
    """Cut the slice that `window` asks for out of the list.

    Relay's algorithm: `after`, `before`, then `first` from the front, then `last` from the
    back. Without `look_around`, `has_next` and `has_previous` may be wrong, and no call is
    made for their sake.
    """
    walk = Walk(listed, window.after, window.before)
    if window.last is not None:
        return await _backward(walk, window, window.last, look_around=look_around)
    assert window.first is not None  # noqa: S101  one of the two is always set
    return await _forward(walk, window, window.first, look_around=look_around)


async def count(listed: Listed) -> int | None:
    """Count the whole list, or return None where the budget or the time does not suffice."""
    total, token, seen = 0, None, set[str]()
    try:
        while True:
            page = await listed.load(token)
            kept = page.items if listed.keeps is None else filter(listed.keeps, page.items)
            total += sum(1 for _ in kept)
            token = page.next_token
            if token is None:
                return total
            refuse_repeated(token, seen)
    except (BudgetSpentError, DeadlineError):
        return None


async def _forward(
    walk: Walk, window: PageArguments, first: int, *, look_around: bool
) -> PageResult:
    need = first + ONE_MORE if look_around else first
    spots: list[ListedItem] = []
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
    return PageResult(
        spots[:first],
        has_next=resume is not None or len(spots) > first,
        has_previous=window.after is not None and window.after.item != NO_ITEM,
        resume=resume,
        scanned=walk.scanned,
    )


async def _backward(
    walk: Walk, window: PageArguments, last: int, *, look_around: bool
) -> PageResult:
    """Walk from the front: the upstream knows no other way. Only the last items are kept."""
    end = _end_of(window, last, look_around=look_around)
    kept: deque[ListedItem] = deque(maxlen=last)
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
    return PageResult(
        list(kept),
        has_next=walk.stopped_at_before if window.first is None else total > window.first,
        has_previous=total > last,
    )


def _end_of(window: PageArguments, last: int, *, look_around: bool) -> int | None:
    """After how many items a backward walk may stop; None: not before the end."""
    if window.first is None:
        return None if last or look_around else 0
    return max(window.first, last) + ONE_MORE if look_around else window.first
