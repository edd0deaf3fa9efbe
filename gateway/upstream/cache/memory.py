"""The cache of one process: bounded by bytes, least recently used first out."""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from aiocache.base import BaseCache
from aiocache.serializers import NullSerializer

ENTRY_OVERHEAD = 400
"""Bytes that an entry costs beside its key's and value's own: objects and table slots."""


class BoundedMemoryCache(BaseCache):  # type: ignore[misc]  # aiocache has no types
    """aiocache's interface over at most `capacity` bytes of keys and values.

    aiocache's own memory backend has no bound, and takes a time to live of 0 for "for ever".
    Values are bytes, so nobody can change one that another reader holds. An entry larger than
    the capacity is not kept. Times to live in seconds, by a clock that never jumps.
    """

    NAME = "bounded-memory"

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
