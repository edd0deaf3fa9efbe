"""Limits on concurrent requests, in total and per caller."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable

from gateway.errors import OverloadedError
from gateway.telemetry.metrics import IN_FLIGHT, REJECTIONS, WAITING, count
from gateway.upstream.resilience.callers import UNPROVED

ANONYMOUS = b"anonymous"
"""The limit key of all requests together that have no valid credentials."""

IN_FLIGHT_PER_WAITING = 4
"""One request may wait for every four slots, so that a freed slot is not empty until the next
request arrives."""

WAIT_SECONDS = 0.5
"""A longer wait would be worse than a rejection, after which the client can retry elsewhere."""

CALLER_FRACTION = 4
"""One caller may occupy a quarter of the slots, and of the queue for them."""

OVERLOAD_REJECTIONS = 100
OVERLOAD_SECONDS = 5.0
"""The gateway is overloaded, and load balancers should avoid it, while the last
OVERLOAD_REJECTIONS rejections are younger than this."""

SHARED = {UNPROVED: "unproved_concurrency", ANONYMOUS: "anonymous_concurrency"}
"""Key that many callers share -> the limit in the metric of rejections."""


class ConcurrencyLimiter:
    """Gives requests their slots, up to `max_in_flight`; a few more wait briefly.

    Callers are known by their limit keys. One of them may have a quarter of the slots. So may all
    together whose credentials nothing proves, and all anonymous requests together; some of these
    wait for each other, because one client does not know of the others.
    """

    def __init__(self, max_in_flight: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_per_caller = max(1, max_in_flight // CALLER_FRACTION)
        self._clock = clock
        self._slots = _Slots(max_in_flight, waiting_keys=CALLER_FRACTION)
        self._shared_slots = {key: _Slots(self._max_per_caller) for key in SHARED}
        self._per_caller: dict[bytes, int] = {}
        self._rejected_at: deque[float] = deque(maxlen=OVERLOAD_REJECTIONS)
        self.in_flight = 0

    @property
    def overloaded(self) -> bool:
        oldest = self._rejected_at[0] if len(self._rejected_at) == OVERLOAD_REJECTIONS else None
        return oldest is not None and self._clock() - oldest < OVERLOAD_SECONDS

    async def acquire(self, key: bytes) -> bool:
        """Take a slot in total; return whether it was waited for."""
        free = self._slots.take()
        if not (free or await self._slots.wait(key)):
            REJECTIONS.labels("concurrency").inc()
            self._rejected_at.append(self._clock())
            raise OverloadedError("The gateway is busy. Try again later.")
        self.in_flight += 1
        count(IN_FLIGHT)
        return not free

    def release(self) -> None:
        self.in_flight -= 1
        count(IN_FLIGHT, -1)
        self._slots.release()

    async def acquire_part(self, key: bytes) -> bool:
        """Take a slot from the caller's part; return whether it was waited for."""
        # Not a sign of overload: no caller, and nobody who invents credentials, must make the load
        # balancer avoid this replica.
        shared = self._shared_slots.get(key)
        if shared is not None:
            free = shared.take()
            if not (free or await shared.wait(key)):
                REJECTIONS.labels(SHARED[key]).inc()
                raise OverloadedError(
                    "Too many concurrent requests without credentials that AWS has accepted "
                    "recently. Try again later."
                )
            return not free
        taken = self._per_caller.get(key, 0)
        if taken >= self._max_per_caller:
            REJECTIONS.labels("caller_concurrency").inc()
            raise OverloadedError(
                f"Too many concurrent requests of this caller. Accepted: {self._max_per_caller}. "
                "Try again later."
            )
        self._per_caller[key] = taken + 1
        return False

    def release_part(self, key: bytes) -> None:
        if key in self._shared_slots:
            self._shared_slots[key].release()
            return
        self._per_caller[key] -= 1
        if not self._per_caller[key]:
            del self._per_caller[key]


class RequestSlot:
    """The slot of one request, from its head to the last byte of its response."""

    def __init__(self, limiter: ConcurrencyLimiter) -> None:
        self._limiter = limiter
        self._key: bytes | None = None
        self._acquired = False

    async def acquire(self, key: bytes) -> bool:
        """Take a slot for the caller with this limit key; return whether it was waited for.

        Raises OverloadedError if the caller has too many, or there is none within `WAIT_SECONDS`.
        """
        waited = await self._limiter.acquire_part(key)
        self._key = key
        waited = await self._limiter.acquire(key) or waited
        self._acquired = True
        return waited

    async def transfer(self, key: bytes) -> None:
        """Count the slot as another caller's; raises OverloadedError if that one has too many."""
        if self._key is not None and self._key != key:
            await self._limiter.acquire_part(key)
            self._limiter.release_part(self._key)
            self._key = key

    def release(self) -> None:
        if self._acquired:
            self._limiter.release()
            self._acquired = False
        if self._key is not None:
            self._limiter.release_part(self._key)
            self._key = None


class _Slots:
    """Slots, and a short queue for them."""

    def __init__(self, number: int, *, waiting_keys: int = 1) -> None:
        """Divide the queue by `waiting_keys`: one key may occupy one part of it."""
        self._free = number
        self._turns: deque[asyncio.Future[None]] = deque()
        """Of those who wait; none does while a slot is free."""
        self._max_waiting = max(1, number // IN_FLIGHT_PER_WAITING)
        self._max_waiting_per_key = max(1, self._max_waiting // waiting_keys)
        self._waiting: Counter[bytes] = Counter()

    def take(self) -> bool:
        """Take a slot; returns whether there is one."""
        if not self._free:
            return False
        self._free -= 1
        return True

    async def wait(self, key: bytes) -> bool:
        """Take a slot that becomes free within `WAIT_SECONDS`.

        Returns whether there is one, and room to wait for it.
        """
        waiting = self._waiting
        if waiting.total() >= self._max_waiting or waiting[key] >= self._max_waiting_per_key:
            return False
        waiting[key] += 1
        WAITING.inc()
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._wait_turn()
        except TimeoutError:
            return False
        finally:
            WAITING.dec()
            waiting[key] -= 1
            if not waiting[key]:
                del waiting[key]
        return True

    async def _wait_turn(self) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._turns.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self.release()  # the slot was handed over before
            raise

    def release(self) -> None:
        """Hand the slot over to the one who has waited longest, or free it."""
        while self._turns:
            turn = self._turns.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
