"""The memory of the lists that are watched."""

from collections import Counter
from collections.abc import Mapping

from gateway.errors import LimitExceededError
from gateway.telemetry.metrics import WATCHED_BYTES

MAX_BYTES = 64 * 1024 * 1024

CALLER_FRACTION = 4
"""One caller may have a quarter of the bytes."""

ROW_OVERHEAD = 200
"""Bytes that a row takes at most beside its key and its JSON."""

TOO_LONG = (
    "The watched lists are too long: their rows take more memory than {}. Watch a shorter list, "
    "such as that of a collaboration."
)


class RowMemory:
    """Counts the bytes of the rows that are held, by caller."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._held: dict[object, tuple[bytes, int]] = {}
        """Owner of rows -> limit key of the caller, and bytes."""
        self._by_caller: Counter[bytes] = Counter()

    def hold(self, caller: bytes, owner: object, rows: Mapping[str, bytes]) -> None:
        """Count the rows that an owner has now, in place of those before, as a caller's.

        Raises LimitExceededError if the caller, or all together, would have too many.
        """
        self.release(owner)
        size = sum(len(key) + len(row) + ROW_OVERHEAD for key, row in rows.items())
        if self._by_caller[caller] + size > self._max_bytes // CALLER_FRACTION:
            raise LimitExceededError(TOO_LONG.format("one caller may use"), limit="watched_bytes")
        if self._by_caller.total() + size > self._max_bytes:
            raise LimitExceededError(TOO_LONG.format("there is"), limit="watched_bytes")
        self._held[owner] = caller, size
        self._by_caller[caller] += size
        WATCHED_BYTES.inc(size)

    def release(self, owner: object) -> None:
        """Stop counting the rows of an owner; it need not have any."""
        caller, size = self._held.pop(owner, (b"", 0))
        self._by_caller[caller] -= size
        if not self._by_caller[caller]:
            del self._by_caller[caller]
        WATCHED_BYTES.dec(size)
