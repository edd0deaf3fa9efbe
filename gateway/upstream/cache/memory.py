"""The protocol of a response cache, and its implementation in memory."""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from aiocache.base import BaseCache
from aiocache.serializers import NullSerializer

from gateway.auth.credentials import Caller

ENTRY_OVERHEAD = 900
"""Bytes that an entry takes at most beside its key and value: objects and table slots, those of a
namespace included."""

FAIR_SHARE = 1 / 4
"""The part of a store that a namespace can keep while others use it."""


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

    async def get(self, caller: Caller, key: str) -> bytes | None:
        value: bytes | None = await self.store.get(key, namespace=caller.limit_key)
        return value

    async def set(self, caller: Caller, key: str, value: bytes, seconds: float) -> None:
        # orjson doubles its buffer as it writes, and the unused part of what it returns is of no
        # use to others: the cache would take twice its capacity.
        exact = bytes(memoryview(value))
        await self.store.set(key, exact, ttl=seconds, namespace=caller.limit_key)

    async def close(self) -> None:
        pass


class _Key(NamedTuple):
    namespace: object
    key: str


class _Entry(NamedTuple):
    value: bytes
    expires: float


class _Namespace:
    """The keys of a namespace, least recently used first, and the bytes of their entries."""

    __slots__ = ("keys", "size")

    def __init__(self) -> None:
        self.keys: OrderedDict[_Key, None] = OrderedDict()
        self.size = 0


class LruStore(BaseCache):  # type: ignore[misc]  # aiocache has no types
    """aiocache's interface over at most `capacity` bytes of keys and values.

    When it is full, the least recently used entry is evicted; but while any namespace has over a
    FAIR_SHARE of the capacity, an entry of the largest one. So a namespace that fills the store
    evicts its own entries, and a small one keeps its entries until they expire.

    aiocache's own memory backend is unbounded, and treats a time to live of 0 as unlimited. An
    entry larger than the capacity is not stored. Times to live are in seconds of a monotonic
    clock.
    """

    NAME = "lru"

    def __init__(self, capacity: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(
            serializer=NullSerializer(),
            timeout=None,
            key_builder=lambda key, namespace=None: _Key(namespace, key),
        )
        self.capacity = capacity
        self.size = 0
        self._clock = clock
        self._entries: OrderedDict[_Key, _Entry] = OrderedDict()
        """Least recently used first."""
        self._namespaces: dict[object, _Namespace] = {}
        self._large: dict[_Namespace, None] = {}
        """Those with over a FAIR_SHARE of the capacity, of which there are only a few."""

    async def _get(self, key: _Key, **_: Any) -> bytes | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        if self._clock() >= entry.expires:
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        self._namespaces[key.namespace].keys.move_to_end(key)
        return entry.value

    async def _set(self, key: _Key, value: bytes, ttl: float | None = None, **_: Any) -> bool:
        self._drop(key)
        if ttl is None or ttl <= 0 or _weight(key, value) > self.capacity:
            return False
        self._add(key, _Entry(value, self._clock() + ttl))
        while self.size > self.capacity:
            self._drop(self._next_eviction())
        return key in self._entries

    async def _delete(self, key: _Key, **_: Any) -> int:
        return self._drop(key)

    async def _exists(self, key: _Key, **_: Any) -> bool:
        return await self._get(key) is not None

    async def _clear(self, namespace: object = None, **_: Any) -> bool:
        """Clear a namespace; without one, everything."""
        for key in [key for key in self._entries if namespace in {None, key.namespace}]:
            self._drop(key)
        return True

    def _next_eviction(self) -> _Key:
        oldest = next(iter(self._entries))
        # An entry that nobody can read anymore does not count as use of the store by others.
        if not self._large or self._clock() >= self._entries[oldest].expires:
            return oldest
        largest = max(self._large, key=lambda each: each.size)
        return next(iter(largest.keys))

    def _add(self, key: _Key, entry: _Entry) -> None:
        self._entries[key] = entry
        namespace = self._namespaces.get(key.namespace)
        if namespace is None:
            namespace = self._namespaces[key.namespace] = _Namespace()
        namespace.keys[key] = None
        self._resize(namespace, _weight(key, entry.value))

    def _drop(self, key: _Key) -> int:
        entry = self._entries.pop(key, None)
        if entry is None:
            return 0
        namespace = self._namespaces[key.namespace]
        del namespace.keys[key]
        self._resize(namespace, -_weight(key, entry.value))
        if not namespace.keys:
            del self._namespaces[key.namespace]
        return 1

    def _resize(self, namespace: _Namespace, change: int) -> None:
        self.size += change
        namespace.size += change
        if namespace.size > FAIR_SHARE * self.capacity:
            self._large[namespace] = None
        else:
            self._large.pop(namespace, None)


def _weight(key: _Key, value: bytes) -> int:
    return len(key.key) + len(value) + ENTRY_OVERHEAD
