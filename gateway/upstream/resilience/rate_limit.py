"""Shares: how many calls to AWS each caller may cause, however many requests they send."""

import time
from hashlib import sha256
from typing import Any

from limits import RateLimitItemPerSecond
from limits.aio.storage import RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from gateway.auth.credentials import Caller
from gateway.errors import ThrottledError
from gateway.telemetry.metrics import RATE_LIMITED_CALLS
from gateway.upstream.cache.redis_client import RedisClient
from gateway.upstream.resilience.sliding_windows import LruSlidingWindowStorage

WINDOW_SECONDS = 12
"""Over which the rate holds; so as many calls may come at once as these seconds have."""

REDIS_SECONDS = 0.1
MAX_CALLERS = 50_000
"""Known at once in the process; some 200 bytes each."""

PREFIX = "audience-gateway:share:1"


class RateLimitedError(ThrottledError):
    """The caller has had their share of the upstream: the gateway says so, not AWS."""


class CallerRateLimiter:
    """Counts each caller's calls: in the Redis that replicas share, or in this process.

    While the Redis is slow or down, each process counts for itself.
    """

    def __init__(self, calls_per_second: int, link: RedisClient | None = None) -> None:
        """`calls_per_second` 0 is without a limit."""
        self._rate = calls_per_second
        self._limit = RateLimitItemPerSecond(
            calls_per_second * WINDOW_SECONDS or 1, WINDOW_SECONDS, namespace="caller"
        )
        self._own = SlidingWindowCounterRateLimiter(LruSlidingWindowStorage(MAX_CALLERS))
        self._link = link
        # Without a link it is not asked.
        self._shared = shared_counts(link) if link else self._own

    async def take(self, caller: Caller) -> None:
        """Count one call of the caller; raises RateLimitedError if it is one too many."""
        if not self._rate:
            return
        # Replicas agree on it, and it tells whoever reads the Redis nothing.
        name = sha256(caller.fingerprint).hexdigest()
        free_at = await self._free_at_shared(name) if self._link else None
        if free_at is None:
            free_at = await self._free_at(self._own, name)
        if free_at:
            RATE_LIMITED_CALLS.inc()
            raise self._spent(free_at)

    async def _free_at_shared(self, name: str) -> float | None:
        """Ask the Redis; None if it does not say."""
        assert self._link is not None  # noqa: S101  asked where there is one
        answer: float | None = await self._link.execute(
            REDIS_SECONDS, self._free_at, self._shared, name
        )
        return answer

    async def _free_at(self, counts: SlidingWindowCounterRateLimiter, name: str) -> float:
        """Count a call and return 0, or when there will be room for one, by the wall's clock."""
        if await counts.hit(self._limit, name):
            return 0.0
        return (await counts.get_window_stats(self._limit, name)).reset_time

    def _spent(self, free_at: float) -> RateLimitedError:
        seconds = max(0.0, free_at - time.time())
        return RateLimitedError(
            f"The caller has had their share of the upstream: {self._rate} calls a second over "
            f"{WINDOW_SECONDS} seconds (GATEWAY_CALLER_CALLS_PER_SECOND). Ask again later.",
            retry_after=round(seconds + 0.05, 1),
        )


def shared_counts(link: RedisClient) -> SlidingWindowCounterRateLimiter:
    """Count in the Redis that replicas share, by its scripts."""
    pool: Any = link.client.connection_pool  # the library's types know no pools
    # No address: the connections are the link's own.
    storage = RedisStorage(
        "async+redis://", implementation="redispy", key_prefix=PREFIX, connection_pool=pool
    )
    return SlidingWindowCounterRateLimiter(storage)
