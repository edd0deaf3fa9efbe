"""Counts of the last windows, for the rate limits of one process."""

import time
from collections import OrderedDict
from collections.abc import Callable

from limits.aio.storage.base import SlidingWindowCounterSupport, Storage

Window = tuple[int, int, int]
"""Number of the current window, and what was counted in the one before and in it."""


class LruSlidingWindowStorage(Storage, SlidingWindowCounterSupport):
    """The storage of `limits` in memory, for at most `capacity` keys, least recently used out.

    The library's own walks through all keys on each hit, which callers by the thousand, made
    up for the purpose, would turn into work for the event loop.
    """

    STORAGE_SCHEME = ["audience-gateway+memory"]  # noqa: RUF012  limits wants it so

    def __init__(self, capacity: int, *, clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self._capacity = capacity
        self._clock = clock
        self._windows: OrderedDict[str, Window] = OrderedDict()

    async def acquire_sliding_window_entry(
        self, key: str, limit: int, expiry: int, amount: int = 1
    ) -> bool:
        """Count `amount` if that stays within the limit; says whether it does."""
        number, before, current = self._window(key, expiry)
        left_of_before = 1 - self._clock() / expiry % 1
        if int(before * left_of_before + current) + amount > limit:
            return False
        self._windows[key] = number, before, current + amount
        self._windows.move_to_end(key)
        if len(self._windows) > self._capacity:
            self._windows.popitem(last=False)
        return True

    async def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        """Return count and seconds to live of the window before, and of the current one."""
        _, before, current = self._window(key, expiry)
        left = (1 - self._clock() / expiry % 1) * expiry
        return before, left if before else 0.0, current, left + expiry

    async def clear_sliding_window(self, key: str, expiry: int) -> None:  # noqa: ARG002
        """Forget what was counted under a key."""
        self._windows.pop(key, None)

    def _window(self, key: str, expiry: int) -> Window:
        now = int(self._clock() / expiry)
        number, before, current = self._windows.get(key, (now, 0, 0))
        if number == now:
            return number, before, current
        return now, current if number == now - 1 else 0, 0

    @property
    def base_exceptions(self) -> type[Exception]:
        """What a storage out of order raises: this one is in memory."""
        return OSError

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Refuse: fixed windows are not kept here."""
        raise NotImplementedError

    async def get(self, key: str) -> int:
        """Refuse likewise."""
        raise NotImplementedError

    async def get_expiry(self, key: str) -> float:
        """Refuse likewise."""
        raise NotImplementedError

    async def clear(self, key: str) -> None:
        """Forget what was counted under a key."""
        self._windows.pop(key, None)

    async def check(self) -> bool:
        """Be in order."""
        return True

    async def reset(self) -> int:
        """Forget all, and say of how many keys."""
        count = len(self._windows)
        self._windows.clear()
        return count
