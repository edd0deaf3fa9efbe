"""The protocol of a response cache, and its implementation in memory."""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Protocol

from aiocache.base import BaseCache
from aiocache.serializers import NullSerializer

from gateway.auth.credentials import Caller

ENTRY_OVERHEAD = 400
"""Bytes that an entry takes beside its key and value: objects and table slots."""


class ResponseCache(Protocol):
    """Stores bytes for a caller under a key, for a while. An unavailable cache never raises."""

    async def get(self, caller: Caller, key: str) -> bytes | None:
        """Return None for an entry that is absent, damaged or another caller's."""

    async def set(self, caller: Caller, key: str, value: bytes, seconds: float) -> None:
        """Store a value for `seconds`; not at all if that is 0 or less."""

    async def close(self) -> None:
        """Close connections. May be called twice."""


class MemoryCache:
    """The ResponseCache of one process. Keys identify their callers, so values stay plain."""

    def __init__(self, capacity: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.store = LruStore(capacity, clock=clock)

    async def get(self, caller: Caller, key: str) -> bytes | None:  # noqa: ARG002  part of the key
        value: bytes | None = await self.store.get(key)
        return value

    async def set(
        self,
        caller: Caller,  # noqa: ARG002  part of the key
        key: str,
        value: bytes,
        seconds: float,
    ) -> None:
        await self.store.set(key, value, ttl=seconds)

    async def close(self) -> None:
        pass


class LruStore(BaseCache):  # type: ignore[misc]  # aiocache has no types
    """aiocache's interface over at most `capacity` bytes of keys and values.

    aiocache's own memory backend is unbounded, and treats a time to live of 0 as unlimited. An
    entry larger than the capacity is not stored. Times to live are in seconds of a monotonic
    clock.
    """

    NAME = "lru"

    def __init__(self, capacity: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(serializer=NullSerializer(), timeout=None)
        self.capacity = capacity
        self.size = 0
        self._clock = clock
        self._entries: OrderedDict[str, tuple[bytes, float]] = OrderedDict()

    async def _get(self, key: str, **_: Any) -> bytes | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        value, expires = entry
        if self._clock() >= expires:
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return value

    async def _set(self, key: str, value: bytes, ttl: float | None = None, **_: Any) -> bool:
        self._drop(key)
        weight = self._weight(key, value)
        if ttl is None or ttl <= 0 or weight > self.capacity:
            return False
        while self.size + weight > self.capacity:
            self._drop(next(iter(self._entries)))
        self._entries[key] = (value, self._clock() + ttl)
        self.size += weight
        return True

    async def _delete(self, key: str, **_: Any) -> int:
        return self._drop(key)

    async def _exists(self, key: str, **_: Any) -> bool:
        return await self._get(key) is not None

    async def _clear(self, namespace: str | None = None, **_: Any) -> bool:  # noqa: ARG002  there is one
        self._entries.clear()
        self.size = 0
        return True

    def _drop(self, key: str) -> int:
        entry = self._entries.pop(key, None)
        if entry is None:
            return 0
        self.size -= self._weight(key, entry[0])
        return 1

    @staticmethod
    def _weight(key: str, value: bytes) -> int:
        return len(key) + len(value) + ENTRY_OVERHEAD
