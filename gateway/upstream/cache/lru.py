"""A store of limited size, shared out by namespace."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from aiocache.base import BaseCache
from aiocache.serializers import NullSerializer

ENTRY_OVERHEAD = 900
"""Bytes that an entry takes at most beside its key and value: objects and table slots, those of a
namespace included."""

FAIR_SHARE = 1 / 4
"""The part of a store that a namespace can keep while others use it."""


class Storable(Protocol):
    """A value of an LruStore."""

    @property
    def weight(self) -> int:
        """The bytes that it takes when it is stored."""

    def on_drop(self) -> None:
        """Learn that the store no longer has it: evicted, expired, replaced or deleted."""


class _Key(NamedTuple):
    namespace: object
    key: str | bytes


@dataclass(slots=True, eq=False)
class _Entry:
    value: Storable
    expires: float
    weight: int
    """Of key and value, with the overhead."""


class _Namespace:
    """The keys of a namespace, least recently used first, and the bytes of their entries."""

    __slots__ = ("keys", "size")

    def __init__(self) -> None:
        self.keys: OrderedDict[_Key, None] = OrderedDict()
        self.size = 0


class LruStore(BaseCache):  # type: ignore[misc]  # aiocache has no types
    """aiocache's interface over at most `capacity` bytes of keys and Storable values.

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

    def find(self, key: str | bytes, namespace: object) -> Any:
        """Return a value as `get` does, without its overhead; None if there is none."""
        return self._find(_Key(namespace, key))

    def keep(self, key: str | bytes, namespace: object, value: Storable, ttl: float) -> bool:
        """Store a value as `set` does, without its overhead; return whether it is stored."""
        return self._keep(_Key(namespace, key), value, ttl)

    def grow(self, key: str | bytes, namespace: object, change: int) -> None:
        """Add `change` bytes, which may be negative, to what a value takes.

        Entries are evicted while the store is too full then, perhaps this one too.
        """
        entry = self._entries.get(_Key(namespace, key))
        if entry is not None:
            entry.weight += change
            self._resize(self._namespaces[namespace], change)
            self._evict()

    async def _get(self, key: _Key, **_: Any) -> Any:
        return self._find(key)

    def _find(self, key: _Key) -> Any:
        entry = self._entries.get(key)
        if entry is None:
            return None
        if self._clock() >= entry.expires:
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        self._namespaces[key.namespace].keys.move_to_end(key)
        return entry.value

    async def _set(self, key: _Key, value: Storable, ttl: float | None = None, **_: Any) -> bool:
        return self._keep(key, value, ttl or 0)

    def _keep(self, key: _Key, value: Storable, ttl: float) -> bool:
        self._drop(key)
        weight = len(key.key) + value.weight + ENTRY_OVERHEAD
        if ttl <= 0 or weight > self.capacity:
            return False
        self._add(key, _Entry(value, self._clock() + ttl, weight))
        self._evict()
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

    def _evict(self) -> None:
        while self.size > self.capacity:
            self._drop(self._next_eviction())

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
        self._resize(namespace, entry.weight)

    def _drop(self, key: _Key) -> int:
        entry = self._entries.pop(key, None)
        if entry is None:
            return 0
        namespace = self._namespaces[key.namespace]
        del namespace.keys[key]
        self._resize(namespace, -entry.weight)
        if not namespace.keys:
            del self._namespaces[key.namespace]
        entry.value.on_drop()
        return 1

    def _resize(self, namespace: _Namespace, change: int) -> None:
        self.size += change
        namespace.size += change
        if namespace.size > FAIR_SHARE * self.capacity:
            self._large[namespace] = None
        else:
            self._large.pop(namespace, None)
