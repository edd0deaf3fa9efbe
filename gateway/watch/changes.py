"""The changes between two states of a list."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import orjson

from gateway.upstream.values import Item

Kind: TypeAlias = Literal["CREATED", "UPDATED", "DELETED"]

ROWS_PER_STEP = 50
"""Rows that are compared at a time: in about a millisecond, if each has changed."""


@dataclass(frozen=True, slots=True)
class Change:
    """How a row that matches a filter has changed."""

    kind: Kind
    key: str
    item: Item | None
    """The row as it is now; None if it was deleted, or no longer matches the filter."""


def changes_between(
    before: Mapping[str, bytes],
    after: Mapping[str, bytes],
    matches: Callable[[Item], bool] | None = None,
) -> Iterator[Change | None]:
    """Yield each change once: rows that are in the list now, in its order, then deleted ones.

    Also yields None after every ROWS_PER_STEP rows, so that other work can continue: the rows of a
    list take seconds if many have changed and few pass the filter.

    Both states are key -> JSON of the row. `matches` is the filter; its result may depend on the
    row only.
    """
    for number, (key, row) in enumerate(after.items(), 1):
        if number % ROWS_PER_STEP == 0:
            yield None
        known = before.get(key)
        if row == known:
            continue
        item = orjson.loads(row)
        was_listed = known is not None and (matches is None or matches(orjson.loads(known)))
        if matches is None or matches(item):
            yield Change("UPDATED" if was_listed else "CREATED", key, item)
        elif was_listed:
            yield Change("DELETED", key, None)
    for number, (key, row) in enumerate(before.items(), 1):
        if number % ROWS_PER_STEP == 0:
            yield None
        if key not in after and (matches is None or matches(orjson.loads(row))):
            yield Change("DELETED", key, None)
