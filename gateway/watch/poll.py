"""Polls: one thing of one caller, read again and again for all who watch it."""

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable, Hashable
from contextvars import Context
from dataclasses import dataclass
from typing import Generic, Protocol, TypeAlias, TypeVar

import structlog

from gateway.auth.credentials import Caller
from gateway.cpu_scheduler import pause
from gateway.errors import GatewayError, ThrottledError, UpstreamError, drop_tracebacks
from gateway.telemetry.logging import exception_fields
from gateway.telemetry.metrics import POLLS, WATCHES
from gateway.upstream.resilience.client import repeated_calls

log = structlog.get_logger()

T = TypeVar("T")

FAILURE_SECONDS = 60.0
"""How long failures of the upstream are waited out."""

SLOWDOWN = 1.25
"""By which the interval grows with each reading that finds no change."""

MAX_SLOWDOWN = 2.5
JITTER = 0.2
"""Part of the interval that is added at random at most, so that polls that began together spread.
With MAX_SLOWDOWN, an interval becomes three times as long at most."""

CHANGED, UNCHANGED, FAILED = map(POLLS.labels, ("changed", "unchanged", "failed"))

Identify: TypeAlias = Callable[[], Awaitable[Caller]]
"""Returns the caller, with current credentials; raises a GatewayError if those have ended."""


class Source(Protocol[T]):
    """Something to read. Its states are compared to find changes."""

    @property
    def key(self) -> Hashable:
        """Equal for sources of the same thing."""

    async def read(self, caller: Caller, previous: T | None) -> T:
        """Return the state, fresh from the upstream; raises a GatewayError."""

    @property
    def least_seconds(self) -> float:
        """The seconds that must at least pass before the next reading, by what the last took."""

    def is_final(self, state: T) -> bool:
        """Return whether the thing will not change any more."""

    def close(self) -> None:
        """Free what it has counted of its states."""


@dataclass(frozen=True, slots=True, eq=False)
class Reading(Generic[T]):
    state: T
    version: int
    """How many changes there were, the first reading included."""
    caller: Caller
    """Who it was read for, with the credentials of that time."""
    read_at: float
    """When the reading ended, in seconds since the epoch. What is asked for later is as new."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """The clocks of polls, and how often they read."""

    seconds: float
    """The interval, before it grows."""
    clock: Callable[[], float] = time.monotonic
    wall_clock: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    jitter: Callable[[], float] = random.random
    """Returns a random number from 0 to 1."""


class Poll(Generic[T]):
    """Reads a source until it is final or fails; subscribers get the newest state."""

    def __init__(
        self,
        source: Source[T],
        identify: Identify,
        timing: Timing,
        context: Callable[[], Context],
    ) -> None:
        """`context` returns the context variables of a subscriber, in which to read."""
        self._context = context
        self._source = source
        self._identify = identify
        self._timing = timing
        self._slowdown = 1.0
        self._failing_since: float | None = None
        self._expires_at: float | None = None
        self._attempted = False
        self._published = asyncio.Event()
        self.latest: Reading[T] | None = None
        self.failure: Exception | None = None
        """Why it has ended, unless its last state is final."""
        self.ended = False
        WATCHES.inc()
        self._task = asyncio.create_task(self._run())
        # Also if it is cancelled before it has begun.
        self._task.add_done_callback(self._close)

    def stop(self) -> None:
        self._task.cancel()

    def _close(self, _: asyncio.Task[None]) -> None:
        WATCHES.dec()
        self._source.close()

    async def attempted(self) -> None:
        """Wait until it has been tried once to read the source.

        Raises the error that the poll has ended with.
        """
        while not self._attempted:
            await self._published.wait()
        self._check_failure()

    async def after(self, version: int) -> Reading[T] | None:
        """Return the newest reading, as soon as its version is later than this one.

        Returns None if this one was final. Raises the error that the poll has ended with.
        """
        while self.latest is None or self.latest.version == version:
            self._check_failure()
            if self.ended:
                return None
            await self._published.wait()
        return self.latest

    def _check_failure(self) -> None:
        if self.failure is not None:
            # Without its traceback, which would grow with each subscriber.
            raise self.failure.with_traceback(None)

    async def _run(self) -> None:
        try:
            while not self.ended:
                reading = asyncio.create_task(self._read(), context=self._context())
                delay = await reading
                if not self._attempted:
                    self._publish()
                if not self.ended:
                    await self._timing.sleep(self._until_expiry(delay))
        except Exception as error:  # noqa: BLE001  each subscriber reports it
            if not isinstance(error, GatewayError):
                # Subscribers get it without its traceback.
                log.error("poll crashed", **exception_fields(error))  # noqa: TRY400  its text may hold secrets
            drop_tracebacks(error)
            self.failure = error
            self.ended = True
            self._publish()

    async def _read(self) -> float:
        """Read once; return the seconds to wait before the next time."""
        latest = self.latest
        try:
            caller = await self._identified()
            with repeated_calls():
                state = await self._source.read(caller, latest.state if latest else None)
            await pause()  # AWS may have answered many polls at the same moment
            if self._expires_in() <= 0:
                # Nothing is published for credentials that have expired meanwhile.
                caller = await self._identified()
        except UpstreamError as error:
            FAILED.inc()
            return self._delay_after(error)
        self._failing_since = None
        changed = latest is None or state != latest.state
        (CHANGED if changed else UNCHANGED).inc()
        version = (latest.version if latest else 0) + changed
        self.latest = Reading(state, version, caller, self._timing.wall_clock())
        self.ended = self._source.is_final(state)
        self._slowdown = 1.0 if changed else min(MAX_SLOWDOWN, self._slowdown * SLOWDOWN)
        if changed:
            self._publish()
        return 0.0 if self.ended else self._interval()

    async def _identified(self) -> Caller:
        caller = await self._identify()
        self._expires_at = caller.expires_at
        return caller

    def _publish(self) -> None:
        self._attempted = True
        published, self._published = self._published, asyncio.Event()
        published.set()

    def _interval(self) -> float:
        seconds = max(self._timing.seconds, self._source.least_seconds) * self._slowdown
        return seconds * (1 + JITTER * self._timing.jitter())

    def _delay_after(self, error: UpstreamError) -> float:
        """Return the seconds to wait after a failure; raises it if that would last too long."""
        now = self._timing.clock()
        if self._failing_since is None:
            self._failing_since = now
        left = self._failing_since + FAILURE_SECONDS - now
        hint = (error.retry_after or 0.0) if isinstance(error, ThrottledError) else 0.0
        if left <= 0 or hint > left:
            raise error
        return min(max(self._interval(), hint), left)

    def _until_expiry(self, seconds: float) -> float:
        """Shorten an interval: credentials that expire are renewed, or the poll ends in time."""
        left = self._expires_in()
        # Clocks may differ so much that each new session seems to have expired.
        return min(seconds, left) if left > 0 else seconds

    def _expires_in(self) -> float:
        """Return the seconds until the credentials expire, as far as is known."""
        if self._expires_at is None:
            return math.inf
        return self._expires_at - self._timing.wall_clock()
