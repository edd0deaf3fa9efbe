"""Shares: each caller has so many calls, by whichever replica, and nobody pays for another."""

import time
from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from limits import RateLimitItemPerSecond
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from gateway.auth.credentials import Caller
from gateway.errors import ThrottledError
from gateway.upstream.cache.redis import RedisClient
from gateway.upstream.resilience import rate_limit as shares_module
from gateway.upstream.resilience.circuit_breaker import CircuitBreaker
from gateway.upstream.resilience.rate_limit import (
    PREFIX,
    WINDOW_SECONDS,
    CallerRateLimiter,
    LruSlidingWindowStorage,
    RateLimitedError,
)
from tests.clock import Clock
from tests.redis_servers import RedisServer, running_redis
from tests.upstream.asking import caller

RATE = 2
AT_ONCE = RATE * WINDOW_SECONDS


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    """Run a Redis."""
    with running_redis() as server:
        yield server


@pytest.fixture
async def link(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[RedisClient]:
    """Reach a Redis, with all the time it wants on a busy machine."""
    monkeypatch.setattr(shares_module, "REDIS_SECONDS", 20)
    link = RedisClient(redis_server.url, breaker=CircuitBreaker(1, 3600))
    yield link
    await link.close()


def somebody() -> Caller:
    """Make a caller that nobody has seen."""
    return Caller.from_keys("ASIA", f"secret {time.monotonic_ns()}", "token")


async def taken(shares: CallerRateLimiter, who: Caller, tries: int) -> int:
    """Count how many of so many calls are allowed."""
    allowed = 0
    for _ in range(tries):
        try:
            await shares.acquire(who)
        except RateLimitedError:
            continue
        allowed += 1
    return allowed


async def test_a_caller_gets_a_burst_and_is_then_told_when_to_come_back() -> None:
    """The error names the setting; it is no failure of AWS, so none of its answers is shown."""
    shares = CallerRateLimiter(RATE)
    ada = caller("ada")
    assert await taken(shares, ada, AT_ONCE) == AT_ONCE
    with pytest.raises(ThrottledError, match="GATEWAY_CALLER_CALLS_PER_SECOND") as caught:
        await shares.acquire(ada)

    told = caught.value.extensions()
    assert (told["code"], "aws" in told) == ("THROTTLED", False)
    assert 0 < told["retryAfter"] <= WINDOW_SECONDS + 1


async def test_callers_have_shares_of_their_own() -> None:
    """Two of one account as well: nobody can spend what is another's."""
    shares = CallerRateLimiter(RATE)
    await taken(shares, caller("ada"), 10 * AT_ONCE)

    assert await taken(shares, caller("ada_again"), AT_ONCE) == AT_ONCE


async def test_zero_is_no_limit() -> None:
    """Nothing is counted."""
    assert await taken(CallerRateLimiter(0), caller("ada"), 5000) == 5000


async def test_replicas_that_share_a_redis_share_the_count(
    redis_server: RedisServer, link: RedisClient
) -> None:
    """A caller gains nothing by asking many of them."""
    who = somebody()
    other = RedisClient(redis_server.url, breaker=CircuitBreaker(1, 3600))
    one, two = CallerRateLimiter(RATE, link), CallerRateLimiter(RATE, other)
    first = await taken(one, who, AT_ONCE - 1)
    second = await taken(two, who, AT_ONCE)
    await other.close()

    assert (first, second) == (AT_ONCE - 1, 1)


async def test_a_redis_names_nobody(redis_server: RedisServer, link: RedisClient) -> None:
    """Its keys are digests, and end by themselves."""
    who = somebody()
    await CallerRateLimiter(RATE, link).acquire(who)
    with redis_server.client() as redis:
        keys = [key for key in redis.scan_iter() if key.startswith(PREFIX.encode())]
        lives = [redis.ttl(key) for key in keys]

    assert keys
    assert all(0 < life <= 2 * WINDOW_SECONDS for life in lives)
    assert not any(who.fingerprint.hex().encode() in key for key in keys)


async def test_without_its_redis_a_process_counts_for_itself() -> None:
    """The limit holds, and nobody is refused for the want of a Redis."""
    link = RedisClient("redis://127.0.0.1:1", breaker=CircuitBreaker(1, 3600))
    allowed = await taken(CallerRateLimiter(RATE, link), caller("ada"), 2 * AT_ONCE)
    await link.close()

    assert allowed == AT_ONCE


async def test_the_callers_that_are_known_are_bounded() -> None:
    """A hundred thousand who were made up leave no more than the table holds."""
    windows = LruSlidingWindowStorage(1000)
    counts = SlidingWindowCounterRateLimiter(windows)
    for number in range(100_000):
        assert await counts.hit(RateLimitItemPerSecond(1, 12), f"{number}")

    assert len(windows._windows) == 1000


@given(st.lists(st.floats(0, 2 * WINDOW_SECONDS), max_size=60), st.integers(1, 8))
async def test_no_window_ever_holds_more_than_twice_the_limit(
    pauses: list[float], limit: int
) -> None:
    """The count slides: what fits into two windows bounds any one, wherever it begins."""
    clock = Clock()
    counts = SlidingWindowCounterRateLimiter(LruSlidingWindowStorage(10, clock=clock))
    item = RateLimitItemPerSecond(limit, WINDOW_SECONDS)
    allowed: list[float] = []
    for pause in pauses:
        clock.now += pause
        free = await counts.test(item, "ada")
        assert await counts.hit(item, "ada") == free
        if free:
            allowed.append(clock.now)

    for moment in allowed:
        within = [each for each in allowed if moment <= each < moment + WINDOW_SECONDS]
        assert len(within) <= 2 * limit


async def test_after_two_windows_of_rest_all_is_forgotten() -> None:
    """And within them the share comes back bit by bit."""
    clock = Clock()
    counts = SlidingWindowCounterRateLimiter(LruSlidingWindowStorage(10, clock=clock))
    item = RateLimitItemPerSecond(AT_ONCE, WINDOW_SECONDS)

    async def burst() -> int:
        return sum([await counts.hit(item, "ada") for _ in range(2 * AT_ONCE)])

    bursts = [await burst()]
    for pause in (1.5 * WINDOW_SECONDS, 2 * WINDOW_SECONDS):
        clock.now += pause
        bursts.append(await burst())

    assert bursts == [AT_ONCE, AT_ONCE / 2, AT_ONCE]
