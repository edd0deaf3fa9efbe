"""The rate limit on calls to AWS per caller."""

import time
from collections import OrderedDict
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from limits import RateLimitItem, RateLimitItemPerSecond
from limits.aio.storage import RedisStorage
from limits.aio.storage.base import SlidingWindowCounterSupport, Storage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from redis.asyncio import Redis

from gateway.errors import ThrottledError
from gateway.telemetry.metrics import REJECTIONS
from gateway.upstream.cache.redis import RedisClient
from gateway.upstream.resilience.callers import UNPROVED

WINDOW_SECONDS = 12
"""The rate is averaged over this window, so the calls of a whole window may come at once."""

REDIS_SECONDS = 0.1
MAX_CALLERS = 50_000
"""Counted in the process at once; some 200 bytes each."""

PREFIX = "audience-gateway:share:1"

Window = tuple[int, int, int]
"""Number of the current window, count of the previous one, count of the current one."""


class RateLimitedError(ThrottledError):
    """The caller exceeds the gateway's own rate limit: no call was made."""


class CallerRateLimiter:
    """Counts each caller's calls: in the Redis that replicas share, or in this process.

    While Redis is slow or down, each process counts for itself.
    """

    def __init__(self, calls_per_second: int, redis: RedisClient | None = None) -> None:
        """0 `calls_per_second` means no limit."""
        self._rate = calls_per_second
        self._limit = RateLimitItemPerSecond(
            calls_per_second * WINDOW_SECONDS or 1, WINDOW_SECONDS, namespace="caller"
        )
        self._local = SlidingWindowCounterRateLimiter(LruSlidingWindowStorage(MAX_CALLERS))
        self._redis = redis

    async def acquire(self, caller: bytes) -> None:
        """Count a call of the caller with this limit key.

        Raises RateLimitedError if it exceeds the limit.
        """
        if not self._rate:
            return
        # Equal in all replicas, and a digest, which reveals no fingerprint to readers of the Redis.
        key = sha256(caller).hexdigest()
        free_at: float | None = None
        if self._redis is not None:
            free_at = await self._redis.execute(
                REDIS_SECONDS,
                slot_key(self._limit, key),
                lambda node: self._hit(node.adapter(shared_rate_limiter), key),
            )
        if free_at is None:
            free_at = await self._hit(self._local, key)
        if free_at:
            unproved = caller == UNPROVED
            REJECTIONS.labels("unproved_rate" if unproved else "caller_rate").inc()
            raise self._rate_limited(free_at, unproved=unproved)

    async def _hit(self, limiter: SlidingWindowCounterRateLimiter, key: str) -> float:
        """Count a call and return 0, or the wall-clock time at which one will be allowed."""
        if await limiter.hit(self._limit, key):
            return 0.0
        return (await limiter.get_window_stats(self._limit, key)).reset_time

    def _rate_limited(self, free_at: float, *, unproved: bool) -> RateLimitedError:
        whose = " of all callers whose credentials AWS has not accepted recently"
        seconds = max(0.0, free_at - time.time())
        return RateLimitedError(
            f"Rate limit{whose if unproved else ''} exceeded: {self._rate} calls/s averaged over "
            f"{WINDOW_SECONDS} s "
            "(GATEWAY_CALLER_CALLS_PER_SECOND). Try again later.",
            retry_after=round(seconds + 0.05, 1),
        )


def slot_key(limit: RateLimitItem, key: str) -> str:
    """Return a key in the slot of the keys that `limits` uses for a window of this limit."""
    return f"{{{limit.key_for(key)}}}"


def shared_rate_limiter(client: Redis) -> SlidingWindowCounterRateLimiter:
    """Return a limiter that counts in the Redis that replicas share, by the scripts of `limits`."""
    pool: Any = client.connection_pool  # not among the types that `limits` declares
    # No address: the connections are those of the client.
    storage = RedisStorage(
        "async+redis://", implementation="redispy", key_prefix=PREFIX, connection_pool=pool
    )
    return SlidingWindowCounterRateLimiter(storage)


class LruSlidingWindowStorage(Storage, SlidingWindowCounterSupport):
    """The in-memory storage of `limits` for at most `capacity` keys, evicting the least recent.

    The library's own iterates over all keys on each hit, so thousands of made-up callers would slow
    down the event loop.
    """

    STORAGE_SCHEME = ["audience-gateway+memory"]  # noqa: RUF012  as `limits` declares it

    def __init__(self, capacity: int, *, clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self._capacity = capacity
        self._clock = clock
        self._windows: OrderedDict[str, Window] = OrderedDict()

    async def acquire_sliding_window_entry(
        self, key: str, limit: int, expiry: int, amount: int = 1
    ) -> bool:
        number, previous, current = self._window(key, expiry)
        share_of_previous = 1 - self._clock() / expiry % 1
        if int(previous * share_of_previous + current) + amount > limit:
            return False
        self._windows[key] = number, previous, current + amount
        self._windows.move_to_end(key)
        if len(self._windows) > self._capacity:
            self._windows.popitem(last=False)
        return True

    async def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        """Return count and remaining seconds of the previous window and of the current one."""
        _, previous, current = self._window(key, expiry)
        left = (1 - self._clock() / expiry % 1) * expiry
        return previous, left if previous else 0.0, current, left + expiry

    async def clear_sliding_window(self, key: str, expiry: int) -> None:  # noqa: ARG002
        self._windows.pop(key, None)

    def _window(self, key: str, expiry: int) -> Window:
        now = int(self._clock() / expiry)
        number, previous, current = self._windows.get(key, (now, 0, 0))
        if number == now:
            return number, previous, current
        return now, current if number == now - 1 else 0, 0

    @property
    def base_exceptions(self) -> type[Exception]:
        return OSError

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        raise NotImplementedError  # for fixed windows, which are not used

    async def get(self, key: str) -> int:
        raise NotImplementedError

    async def get_expiry(self, key: str) -> float:
        raise NotImplementedError

    async def clear(self, key: str) -> None:
        self._windows.pop(key, None)

    async def check(self) -> bool:
        return True

    async def reset(self) -> int:
        count = len(self._windows)
        self._windows.clear()
        return count
