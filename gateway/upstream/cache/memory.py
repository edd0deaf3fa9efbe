"""The protocol of a response cache, and its implementation in memory."""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, Protocol, TypeGuard, TypeVar

from gateway.auth.credentials import Caller
from gateway.upstream.cache.lru import LruStore
from gateway.upstream.values import UpstreamRequest

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Version:
    """Whether a response may still be made of a result, without asking for the result again."""

    expires_at: float
    """In seconds since the epoch."""
    current: bool = False
    """Whether the memory cache has this result: not one that was evicted, replaced or never
    stored."""


@dataclass(frozen=True, slots=True)
class Stored(Generic[T]):
    """A result of the upstream, and what says how old it is."""

    value: T
    """Shared by all readers: never modify it."""
    stored_at: float
    """In seconds since the epoch, as is `asked_at`."""
    version: Version
    asked_at: float
    """When the call began that returned it. It may be as old as this."""


class ResponseCache(Protocol):
    """Stores results for a caller under a key, for a while. An unavailable cache never raises."""

    async def get(self, caller: Caller, key: str, request: UpstreamRequest[T]) -> Stored[T] | None:
        """Return None for a result that is absent, damaged or another caller's."""

    async def set(
        self,
        caller: Caller,
        key: str,
        request: UpstreamRequest[T],
        stored: Stored[T],
        seconds: float,
    ) -> None:
        """Store a result for `seconds`; not at all if that is 0 or less."""

    async def delete(self, caller: Caller, key: str) -> None:
        """Remove a result, if there is one."""

    async def close(self) -> None:
        """Close connections. May be called twice."""


class Growing(Protocol):
    """A result that keeps what is computed of it."""

    on_growth: Callable[[int], None] | None
    """Called with the bytes by which it has grown; None while it is in no cache."""


def _grows(value: object) -> TypeGuard[Growing]:
    # `isinstance` of a protocol takes a tenth of an upstream call.
    return hasattr(value, "on_growth")


class MemoryCache:
    """The ResponseCache of one process. Keys identify their callers, so results stay plain.

    A result is stored as it is, and each reader gets the same object.
    """

    def __init__(self, capacity: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.store = LruStore(capacity, clock=clock)

    async def get(self, caller: Caller, key: str, _: UpstreamRequest[T]) -> Stored[T] | None:
        entry: _Entry[T] | None = await self.store.get(key, namespace=caller.limit_key)
        return None if entry is None else entry.stored

    async def set(
        self,
        caller: Caller,
        key: str,
        request: UpstreamRequest[T],
        stored: Stored[T],
        seconds: float,
    ) -> None:
        entry = _Entry(stored, size_of(request.to_json(stored.value)))
        namespace = caller.limit_key
        if await self.store.set(key, entry, ttl=seconds, namespace=namespace):
            stored.version.current = True
            if _grows(stored.value):
                stored.value.on_growth = partial(self.store.grow, key, namespace)

    async def delete(self, caller: Caller, key: str) -> None:
        await self.store.delete(key, namespace=caller.limit_key)

    async def close(self) -> None:
        pass


@dataclass(frozen=True, slots=True)
class _Entry(Generic[T]):
    stored: Stored[T]
    weight: int

    def on_drop(self) -> None:
        self.stored.version.current = False
        if _grows(self.stored.value):
            self.stored.value.on_growth = None


def size_of(value: Any) -> int:
    """Return the bytes that a JSON value takes in memory, without the names of its members.

    These are shared: orjson makes one string of a name for all objects.
    """
    size, pending = 0, [value]
    while pending:
        each = pending.pop()
        size += each.__sizeof__()
        children: Collection[Any]
        if type(each) is dict:
            children = each.values()
        elif type(each) is list:
            children = each
        else:
            continue
        try:  # nearly all objects have strings only
            size += sum(map(str.__sizeof__, children))
        except TypeError:
            pending.extend(children)
    return size
