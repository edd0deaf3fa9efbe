"""The memory of what is watched."""

from collections import Counter

from gateway.errors import LimitExceededError, OverloadedError
from gateway.telemetry.metrics import REJECTIONS, WATCHED_BYTES

MAX_BYTES = 64 * 1024 * 1024

CALLER_FRACTION = 4
"""One caller may have a quarter of the bytes."""

ROW_OVERHEAD = 200
"""Bytes that a row takes at most beside its key and its JSON."""

TOO_LARGE = (
    "The watched lists and objects take more memory than one caller may use. Watch fewer at a "
    "time, or shorter lists, such as that of a collaboration."
)
TOO_MUCH = "What all callers watch takes all memory that there is for it. Try again later."


class WatchMemory:
    """Counts the bytes of what is held, by caller."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._held: dict[object, tuple[bytes, int]] = {}
        """Owner of the bytes -> limit key of the caller, and bytes."""
        self._by_caller: Counter[bytes] = Counter()

    def hold(self, caller: bytes, owner: object, size: int) -> None:
        """Count the bytes that an owner has now, in place of those before, as a caller's.

        Raises LimitExceededError if the caller would have too many, and OverloadedError if all
        together would. Those before stay counted then.
        """
        _, before = self._held.get(owner, (caller, 0))
        growth = size - before
        if growth > 0:
            if self._by_caller[caller] + growth > self._max_bytes // CALLER_FRACTION:
                raise LimitExceededError(TOO_LARGE, limit="caller_watched_bytes")
            if self._by_caller.total() + growth > self._max_bytes:
                REJECTIONS.labels("watched_bytes").inc()
                raise OverloadedError(TOO_MUCH)
        self._held[owner] = caller, size
        self._by_caller[caller] += growth
        WATCHED_BYTES.inc(growth)

    def release(self, owner: object) -> None:
        """Stop counting the bytes of an owner; it need not have any."""
        caller, size = self._held.pop(owner, (b"", 0))
        self._by_caller[caller] -= size
        if not self._by_caller[caller]:
            del self._by_caller[caller]
        WATCHED_BYTES.dec(size)
