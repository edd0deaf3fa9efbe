"""Admission: how many requests are served at once, in all and of one caller."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from gateway.concurrency import FairScheduler
from gateway.errors import OverloadedError
from gateway.telemetry.metrics import IN_FLIGHT, WAITING

WAITING_SHARE = 4
"""For each four requests that are served one may wait for its turn: a slot that is given back must
not stay empty until its client has heard of it."""

WAIT_SECONDS = 0.5
"""Longer than that it is kinder to say no: the client, or its load balancer, can ask elsewhere."""

CALLER_SHARE = 4
"""One caller's requests take up a quarter of the room at most."""

REFUSALS_A_ROUND = 8
"""In each round of the event loop, so that those who are served get theirs too: clients who ask
again at once would have it say nothing but no."""

REJECTIONS = 100
REJECTIONS_SECONDS = 5.0
"""So many within as much time mean that requests are better sent elsewhere."""


class ConcurrencyLimiter:
    """Lets `most` requests in at once; a few more wait for a moment, the others are refused."""

    def __init__(self, most: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._most_waiting = max(1, most // WAITING_SHARE)
        self._most_of_caller = max(1, most // CALLER_SHARE)
        self._clock = clock
        self._room = asyncio.Semaphore(most)
        self._turns = FairScheduler()
        self._refusals = FairScheduler(REFUSALS_A_ROUND)
        self._waiting = 0
        self._of_caller: Counter[bytes] = Counter()
        self._rejected: deque[float] = deque(maxlen=REJECTIONS)
        self.in_flight = 0

    async def check(self) -> None:
        """Raise OverloadedError where there is no room, not even to wait."""
        if self._waiting >= self._most_waiting:
            raise await self._rejection()

    @asynccontextmanager
    async def admit(self, caller: bytes | None) -> AsyncIterator[None]:
        """Serve a request inside, of the caller with this fingerprint, or of nobody.

        Raises OverloadedError where there is no room, or none in time.
        """
        if caller is not None and self._of_caller[caller] >= self._most_of_caller:
            # No sign of want of room: one caller must not have everybody sent elsewhere.
            raise await self._refusal(
                f"The caller has {self._most_of_caller} requests under way, which is the most. "
                "Ask again in a moment."
            )
        self._of_caller[caller or b""] += 1
        try:
            await self._turns.take(caller or b"")
            await self._enter()
            self.in_flight += 1
            IN_FLIGHT.inc()
            try:
                yield
            finally:
                self.in_flight -= 1
                IN_FLIGHT.dec()
                self._room.release()
        finally:
            self._leave(caller or b"")

    @property
    def overloaded(self) -> bool:
        """Whether so many found no room lately that requests are better sent elsewhere."""
        oldest = self._rejected[0] if len(self._rejected) == REJECTIONS else None
        return oldest is not None and self._clock() - oldest < REJECTIONS_SECONDS

    async def _enter(self) -> None:
        if not self._room.locked():
            await self._room.acquire()  # at once: nothing else runs before
            return
        await self.check()
        self._waiting += 1
        WAITING.inc()
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._room.acquire()
        except TimeoutError:
            raise await self._rejection() from None
        finally:
            self._waiting -= 1
            WAITING.dec()

    def _leave(self, caller: bytes) -> None:
        self._of_caller[caller] -= 1
        if not self._of_caller[caller]:
            del self._of_caller[caller]

    async def _rejection(self) -> OverloadedError:
        self._rejected.append(self._clock())
        return await self._refusal("The gateway is busy. Ask again in a moment.")

    async def _refusal(self, message: str) -> OverloadedError:
        await self._refusals.take(b"")
        return OverloadedError(message)
