"""Limits on concurrent requests, in total and per caller."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from gateway.concurrency import FairScheduler
from gateway.errors import OverloadedError
from gateway.telemetry.metrics import IN_FLIGHT, WAITING

IN_FLIGHT_PER_WAITING = 4
"""One request may wait for every four slots, so that a freed slot is not empty until the next
request arrives."""

WAIT_SECONDS = 0.5
"""A longer wait would be worse than a rejection, after which the client can retry elsewhere."""

CALLER_FRACTION = 4
"""One caller may occupy a quarter of the slots."""

REJECTIONS_PER_ITERATION = 8
"""Rejections per iteration of the event loop. Clients that retry at once would otherwise keep the
loop busy with rejections, and the admitted requests would starve."""

OVERLOAD_REJECTIONS = 100
OVERLOAD_SECONDS = 5.0
"""The gateway is overloaded, and load balancers should avoid it, while the last
OVERLOAD_REJECTIONS rejections are younger than this."""


class ConcurrencyLimiter:
    """Admits up to `max_in_flight` requests; a few more wait briefly, the others are rejected."""

    def __init__(self, max_in_flight: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_waiting = max(1, max_in_flight // IN_FLIGHT_PER_WAITING)
        self._max_per_caller = max(1, max_in_flight // CALLER_FRACTION)
        self._clock = clock
        self._slots = asyncio.Semaphore(max_in_flight)
        self._admissions = FairScheduler()
        self._rejections = FairScheduler(REJECTIONS_PER_ITERATION)
        self._waiting = 0
        self._per_caller: Counter[bytes] = Counter()
        self._rejected_at: deque[float] = deque(maxlen=OVERLOAD_REJECTIONS)
        self.in_flight = 0

    async def check(self) -> None:
        """Raise OverloadedError if the queue of waiting requests is full."""
        if self._waiting >= self._max_waiting:
            raise await self._rejection()

    @asynccontextmanager
    async def admit(self, caller: bytes | None) -> AsyncIterator[None]:
        """Hold a slot for a request; `caller` is a fingerprint, None for an anonymous request.

        Raises OverloadedError if there is no slot within `WAIT_SECONDS`.
        """
        if caller is not None and self._per_caller[caller] >= self._max_per_caller:
            # Not a sign of overload: one caller must not make the load balancer avoid this replica.
            raise await self._delayed(
                f"Too many concurrent requests of this caller. Accepted: {self._max_per_caller}. "
                "Try again later."
            )
        key = caller or b""
        self._per_caller[key] += 1
        try:
            await self._admissions.wait_turn(key)
            await self._acquire()
            self.in_flight += 1
            IN_FLIGHT.inc()
            try:
                yield
            finally:
                self.in_flight -= 1
                IN_FLIGHT.dec()
                self._slots.release()
        finally:
            self._per_caller[key] -= 1
            if not self._per_caller[key]:
                del self._per_caller[key]

    @property
    def overloaded(self) -> bool:
        oldest = self._rejected_at[0] if len(self._rejected_at) == OVERLOAD_REJECTIONS else None
        return oldest is not None and self._clock() - oldest < OVERLOAD_SECONDS

    async def _acquire(self) -> None:
        if not self._slots.locked():
            await self._slots.acquire()  # without suspending, so no other request comes between
            return
        await self.check()
        self._waiting += 1
        WAITING.inc()
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._slots.acquire()
        except TimeoutError:
            raise await self._rejection() from None
        finally:
            self._waiting -= 1
            WAITING.dec()

    async def _rejection(self) -> OverloadedError:
        self._rejected_at.append(self._clock())
        return await self._delayed("The gateway is busy. Try again later.")

    async def _delayed(self, message: str) -> OverloadedError:
        await self._rejections.wait_turn(b"")
        return OverloadedError(message)
