"""The source events of subscriptions: what is watched, as values that an operation executes on."""

from collections.abc import AsyncIterator, Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from gateway.cpu_scheduler import pause, take_turn_to_begin
from gateway.upstream.cache.memory import Stored
from gateway.upstream.loader import RequestLoader
from gateway.upstream.values import Item, UpstreamRequest
from gateway.watch.poll import Reading
from gateway.watch.watcher import Watch

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Event:
    """One event, on whose value the subscription's root field is executed."""

    value: Any
    reading: Reading[Any]
    """What it was made of."""
    results: Mapping[UpstreamRequest[Any], Stored[Any]] = field(default_factory=dict)
    """Results of the upstream that the reading has."""
    rows: Mapping[str, Item] = field(default_factory=dict)
    """Key -> row of an object that the reading has."""
    key: Hashable = None
    """Differs for the events that are made of one reading, by all subscriptions."""

    def prepare(self, loader: RequestLoader) -> None:
        """Let a loader return what the reading has, and nothing that is older."""
        loader.begin_at(self.reading.read_at, self.results, self.rows)


@dataclass(frozen=True, slots=True)
class WatchFailure:
    """In place of an event: the watch has ended with this error."""

    error: Exception


class EventStream(AsyncIterator[Event | WatchFailure], Generic[T]):
    """The events of one subscription, and the failure of its watch, if any; must be closed.

    A client that is slow skips states: events are made of the newest one.
    """

    def __init__(
        self, watch: Watch[T], events: Callable[[Reading[T]], Iterable[Event | None]]
    ) -> None:
        """`events` returns those of a reading. It is called with each one, in order.

        It may yield None in between, after each part of the work that finding them takes.
        """
        self._watch = watch
        self._events = events
        self._pending: Iterator[Event | None] = iter(())
        self._ended = False

    async def __anext__(self) -> Event | WatchFailure:
        event = await self.next()
        if event is None:
            raise StopAsyncIteration
        return event

    async def next(self) -> Event | WatchFailure | None:
        """Return the next event, when there is one; None after the last."""
        while True:
            for event in self._pending:
                if event is not None:
                    return event
                await pause()
            if self._ended:
                return None
            try:
                reading = await self._watch.next()
            except Exception as error:  # noqa: BLE001  the engine reports it
                self._ended = True
                return WatchFailure(error)
            if reading is None:
                self._ended = True
                return None
            # Many subscriptions may get the same reading.
            await take_turn_to_begin()
            self._pending = iter(self._events(reading))

    def close(self) -> None:
        """End the watch. May be called twice."""
        self._watch.close()
