"""Each caller has a rate limit across all replicas, and nobody uses up another's."""

import hashlib
import time
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from limits import RateLimitItemPerSecond
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from redis.crc import key_slot

from gateway.errors import ThrottledError
from gateway.upstream.cache.redis import RedisClient
from gateway.upstream.resilience import rate_limit
from gateway.upstream.resilience.circuit_breaker import CircuitBreaker
from gateway.upstream.resilience.rate_limit import (
    PREFIX,
    WINDOW_SECONDS,
    CallerRateLimiter,
    LruSlidingWindowStorage,
    RateLimitedError,
    slot_key,
)
from tests.clock import Clock
from tests.redis_servers import RedisServer

RATE = 2
BURST = RATE * WINDOW_SECONDS


@pytest.fixture
async def redis_client(
    empty_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[RedisClient]:
    """Connect without the short time limits, which a busy machine may exceed."""
    monkeypatch.setattr(rate_limit, "REDIS_SECONDS", 20)
    client = RedisClient(empty_redis.url, breaker=CircuitBreaker(1, 3600))
    yield client
    await client.close()


def new_caller() -> bytes:
    return hashlib.sha256(b"%d" % time.monotonic_ns()).digest()


async def count_allowed(limiter: CallerRateLimiter, caller: bytes, calls: int) -> int:
    allowed = 0
    for _ in range(calls):
        try:
            await limiter.acquire(caller)
        except RateLimitedError:
            continue
        allowed += 1
    return allowed


async def test_a_caller_gets_a_burst_and_then_an_error_with_retry_after() -> None:
    """The error names the setting, and has no `aws`: AWS was not called."""
    limiter = CallerRateLimiter(RATE)
    ada = b"ada"
    assert await count_allowed(limiter, ada, BURST) == BURST
    with pytest.raises(ThrottledError) as caught:
        await limiter.acquire(ada)

    assert caught.value.message == (
        "Rate limit exceeded: 2 calls/s averaged over 12 s (GATEWAY_CALLER_CALLS_PER_SECOND). "
        "Try again later."
    )
    extensions = caught.value.extensions()
    assert (extensions["code"], "aws" in extensions) == ("THROTTLED", False)
    assert 0 < extensions["retryAfter"] <= WINDOW_SECONDS + 1


async def test_callers_are_limited_separately() -> None:
    limiter = CallerRateLimiter(RATE)
    await count_allowed(limiter, b"ada", 10 * BURST)

    assert await count_allowed(limiter, b"ada_again", BURST) == BURST


async def test_zero_is_no_limit() -> None:
    assert await count_allowed(CallerRateLimiter(0), b"ada", 5000) == 5000


async def test_replicas_that_share_a_redis_share_the_count(
    empty_redis: RedisServer, redis_client: RedisClient
) -> None:
    caller = new_caller()
    other = RedisClient(empty_redis.url, breaker=CircuitBreaker(1, 3600))
    first = await count_allowed(CallerRateLimiter(RATE, redis_client), caller, BURST - 1)
    second = await count_allowed(CallerRateLimiter(RATE, other), caller, BURST)
    await other.close()

    assert (first, second) == (BURST - 1, 1)


async def test_keys_in_redis_are_digests_and_expire(
    empty_redis: RedisServer, redis_client: RedisClient
) -> None:
    caller = new_caller()
    await CallerRateLimiter(RATE, redis_client).acquire(caller)
    with empty_redis.client() as redis:
        keys = [key for key in redis.scan_iter() if key.startswith(PREFIX.encode())]
        ttls = [redis.ttl(key) for key in keys]

    assert keys
    assert all(0 < ttl <= 2 * WINDOW_SECONDS for ttl in ttls)
    assert not any(caller.hex().encode() in key for key in keys)


async def test_the_keys_of_a_caller_are_in_the_slot_that_is_asked(
    empty_redis: RedisServer, redis_client: RedisClient
) -> None:
    """Otherwise each call would be sent to one node of a cluster, and redirected to another."""
    caller, limiter = new_caller(), CallerRateLimiter(RATE, redis_client)
    await limiter.acquire(caller)
    with empty_redis.client() as redis:
        slots = {key_slot(key) for key in redis.scan_iter()}

    key = slot_key(limiter._limit, hashlib.sha256(caller).hexdigest())
    assert slots == {key_slot(key.encode())}


async def test_without_its_redis_a_process_counts_for_itself() -> None:
    redis = RedisClient("redis://127.0.0.1:1", breaker=CircuitBreaker(1, 3600))
    allowed = await count_allowed(CallerRateLimiter(RATE, redis), b"ada", 2 * BURST)
    await redis.close()

    assert allowed == BURST


async def test_the_storage_is_bounded() -> None:
    storage = LruSlidingWindowStorage(1000)
    limiter = SlidingWindowCounterRateLimiter(storage)
    for number in range(100_000):
        assert await limiter.hit(RateLimitItemPerSecond(1, 12), f"{number}")

    assert len(storage._windows) == 1000


@given(st.lists(st.floats(0, 2 * WINDOW_SECONDS), max_size=60), st.integers(1, 8))
async def test_no_window_ever_has_more_than_twice_the_limit(
    pauses: list[float], limit: int
) -> None:
    """Any window overlaps at most two of those that are counted."""
    clock = Clock()
    limiter = SlidingWindowCounterRateLimiter(LruSlidingWindowStorage(10, clock=clock))
    item = RateLimitItemPerSecond(limit, WINDOW_SECONDS)
    hits: list[float] = []
    for pause in pauses:
        clock.now += pause
        allowed = await limiter.test(item, "ada")
        assert await limiter.hit(item, "ada") == allowed
        if allowed:
            hits.append(clock.now)

    for start in hits:
        assert len([hit for hit in hits if start <= hit < start + WINDOW_SECONDS]) <= 2 * limit


async def test_the_limit_recovers_gradually_over_two_windows() -> None:
    clock = Clock()
    limiter = SlidingWindowCounterRateLimiter(LruSlidingWindowStorage(10, clock=clock))
    item = RateLimitItemPerSecond(BURST, WINDOW_SECONDS)

    async def burst() -> int:
        return sum([await limiter.hit(item, "ada") for _ in range(2 * BURST)])

    bursts = [await burst()]
    for pause in (1.5 * WINDOW_SECONDS, 2 * WINDOW_SECONDS):
        clock.now += pause
        bursts.append(await burst())

    assert bursts == [BURST, BURST / 2, BURST]
