"""Paging: from `first`, `after`, `last` and `before` to items of an upstream list.

The upstream hands out pages one way, by tokens, and may make them short or empty. Everything
here is arithmetic over such pages; `load` is the only way out.
"""

from collections import deque
from dataclasses import dataclass

from gateway.errors import LimitExceededError
from gateway.graph.cursor import NO_ITEM, Place
from gateway.graph.walk import Listed, Spot, Walk, refuse_repeated
from gateway.upstream.reader import BudgetSpentError, DeadlineError

ONE_MORE = 1
"""Items looked at past the end of a slice, to know whether any follows."""


@dataclass(frozen=True, slots=True)
class Window:
    """What is asked of a list, checked: numbers are not negative, cursors are read."""

    first: int | None = None
    after: Place | None = None
    last: int | None = None
    before: Place | None = None


@dataclass(frozen=True, slots=True)
class Slice:
    """The items asked for, and what lies around them."""

    spots: list[Spot]
    has_next: bool
    has_previous: bool
    resume: Place | None = None
    """Where to go on if the budget or the time ended the walk before the slice was full."""
    scanned: int = 0
    """How many items were looked at."""


async def take(window: Window, listed: Listed, *, look_around: bool) -> Slice:
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


async def _forward(walk: Walk, window: Window, first: int, *, look_around: bool) -> Slice:
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
        scanned=walk.scanned,
    )


async def _backward(walk: Walk, window: Window, last: int, *, look_around: bool) -> Slice:
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
