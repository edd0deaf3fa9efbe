"""One object of the API, as it changes with time."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, overload

# Any: JSON values, named as the service model names its members.
Members = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Move:
    """From this moment on the object has this status, and these further members."""

    at_ms: int
    status: str
    members: Members = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Record:
    """An object: what never changes, and the moves of what does.

    `created_ms` is unique in its list, so it also says where the object stands.
    """

    created_ms: int
    fixed: Members
    moves: tuple[Move, ...]

    def members(self, now_ms: int) -> dict[str, Any]:
        """Give every member the object has at this moment."""
        move = self._last_move(now_ms)
        times = {"createTime": self.created_ms, "updateTime": move.at_ms}
        return {**self.fixed, **move.members, **times, "status": move.status}

    def is_settled(self, now_ms: int) -> bool:
        """Say whether nothing about it will change any more."""
        return now_ms >= self.moves[-1].at_ms

    def matches(self, filters: Mapping[str, object]) -> bool:
        """Say whether all of these members have these values."""
        return all(self.fixed.get(name) == value for name, value in filters.items())

    def _last_move(self, now_ms: int) -> Move:
        past = (move for move in reversed(self.moves) if move.at_ms <= now_ms)
        # Before its own creation (the clock was turned back) an object is as it was when created.
        return next(past, self.moves[0])


class Shelf(Protocol):
    """Objects of one kind, newest first, read only where they are needed."""

    def __len__(self) -> int: ...

    def __getitem__(self, position: int) -> Record: ...

    def find(self, arn: str) -> Record | None:
        """Give the object with this ARN."""
        ...


class ShortShelf(Sequence[Record]):
    """A shelf of few objects, all made beforehand."""

    def __init__(self, records: Iterable[Record], arn_member: str = "") -> None:
        self._records = sorted(records, key=lambda record: -record.created_ms)
        self._by_arn = {record.fixed.get(arn_member): record for record in self._records}

    def __len__(self) -> int:
        return len(self._records)

    @overload
    def __getitem__(self, position: int) -> Record: ...
    @overload
    def __getitem__(self, position: slice) -> Sequence[Record]: ...
    def __getitem__(self, position: int | slice) -> Record | Sequence[Record]:
        return self._records[position]

    def find(self, arn: str) -> Record | None:
        """Give the object with this ARN."""
        return self._by_arn.get(arn)


def position_after(shelf: Shelf, created_ms: int) -> int:
    """Give the position of the first object older than this moment."""
    return bisect_right(
        range(len(shelf)), -created_ms, key=lambda position: -shelf[position].created_ms
    )
