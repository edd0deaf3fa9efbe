"""The polls of a process, shared by the subscriptions of a caller to the same thing."""

import asyncio
from collections.abc import Callable, Hashable
from contextvars import Context, copy_context
from typing import Any, Generic, TypeVar
from weakref import WeakValueDictionary

from gateway.auth.credentials import Caller
from gateway.upstream.cache.cached_client import CachedClient
from gateway.upstream.values import Item, ItemRequest, Listing
from gateway.watch.memory import WatchMemory
from gateway.watch.poll import Identify, Poll, Reading, Source, Timing
from gateway.watch.sources import ListSource, ObjectSource

T = TypeVar("T")


class Watch(Generic[T]):
    """One subscription to a poll; must be closed."""

    def __init__(self, poll: Poll[T], leave: "Callable[[Watch[T]], None]") -> None:
        self._poll = poll
        self._leave: Callable[[Watch[T]], None] | None = leave
        self._version = 0
        self.context = copy_context()
        """The context variables of the request that waits for it."""

    async def next(self) -> Reading[T] | None:
        """Return the newest reading, once it has changed since the last one that was returned.

        The first one is that of the poll so far; None follows a final one. Raises the error that
        the poll has ended with.
        """
        self.context = copy_context()
        reading = await self._poll.after(self._version)
        if reading is not None:
            self._version = reading.version
        return reading

    def next_nowait(self) -> Reading[T] | None:
        """Return what `next` would, without waiting; None if there is no reading yet."""
        reading = self._poll.latest
        if reading is not None:
            self._version = reading.version
        return reading

    def close(self) -> None:
        """Leave the poll, which stops with the last subscription. May be called twice."""
        leave, self._leave = self._leave, None
        if leave is not None:
            leave(self)


class _Watched:
    """A poll and its subscriptions."""

    def __init__(self, source: Source[Any], identify: Identify, timing: Timing) -> None:
        self.watches: dict[Watch[Any], None] = {}
        self.poll = Poll(source, identify, timing, self._context)

    def _context(self) -> Context:
        """Return that of the oldest: what is read is logged and traced as part of its request."""
        return next(iter(self.watches)).context


class Watcher:
    """Lets callers watch what they may read."""

    def __init__(self, client: CachedClient, timing: Timing, *, max_pages: int) -> None:
        """`max_pages` are those of a list at most."""
        self._client = client
        self._timing = timing
        self._max_pages = max_pages
        self._memory = WatchMemory()
        self._watched: dict[Hashable, _Watched] = {}
        self._identifies: WeakValueDictionary[bytes, Identify] = WeakValueDictionary()
        """Fingerprint of a caller -> the function that identifies them."""

    def object_source(
        self, request: ItemRequest, is_settled: Callable[[Item], bool]
    ) -> ObjectSource:
        return ObjectSource(self._client, request, is_settled, memory=self._memory)

    def list_source(self, listing: Listing, key_of: Callable[[Item], str]) -> ListSource:
        return ListSource(
            self._client, listing, key_of, max_pages=self._max_pages, memory=self._memory
        )

    async def watch(
        self, source: Source[T], caller: Caller, identify: Identify, *, deadline: float
    ) -> Watch[T]:
        """Subscribe to a source; the caller's own poll of it starts if there is none.

        Returns after the first attempt to read it, or at the deadline, a time of the event loop's
        clock. Raises the GatewayError that the poll has ended with.
        """
        key = caller.fingerprint, source.key
        watched = self._watched.get(key)
        if watched is None or watched.poll.ended:
            # The credentials of a caller are in memory once for all polls.
            identify = self._identifies.setdefault(caller.fingerprint, identify)
            watched = self._watched[key] = _Watched(source, identify, self._timing)
        watch = Watch(watched.poll, lambda watch: self._leave(key, watched, watch))
        watched.watches[watch] = None
        try:
            async with asyncio.timeout_at(deadline):
                await watched.poll.attempted()
        except TimeoutError:
            return watch  # the upstream is slow: what it returns comes later
        except BaseException:
            watch.close()
            raise
        return watch

    def _leave(self, key: Hashable, watched: _Watched, watch: Watch[Any]) -> None:
        del watched.watches[watch]
        if not watched.watches:
            watched.poll.stop()
            if self._watched.get(key) is watched:
                del self._watched[key]
