"""What every place for answers promises, held against each there is."""

from collections.abc import AsyncIterator, Iterator

import pytest

from gateway.upstream.cache import redis as redis_module
from gateway.upstream.cache.memory import MemoryCache, ResponseCache
from gateway.upstream.cache.redis import EncryptedRedisCache, RedisClient
from gateway.upstream.resilience.circuit_breaker import CircuitBreaker
from tests.redis_servers import RedisServer, running_redis
from tests.upstream.clients import caller

ADA, GRACE = caller("ada"), caller("grace")
KEY, OTHER_KEY = "a" * 64, "b" * 64
PATIENCE_SECONDS = 15


@pytest.fixture(scope="module")
def shared_server() -> Iterator[RedisServer]:
    """Run a Redis."""
    with running_redis() as server:
        yield server


@pytest.fixture(params=["memory", "redis"])
async def cache(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[ResponseCache]:
    """Give each of them, empty."""
    if request.param == "memory":
        cache: ResponseCache = MemoryCache(64_000_000)
    else:
        server: RedisServer = request.getfixturevalue("shared_server")
        with server.client() as redis:
            redis.flushall()
        monkeypatch.setattr(redis_module, "GET_SECONDS", PATIENCE_SECONDS)
        monkeypatch.setattr(redis_module, "SET_SECONDS", PATIENCE_SECONDS)
        monkeypatch.setattr(redis_module, "CONNECT_SECONDS", PATIENCE_SECONDS)
        cache = EncryptedRedisCache(RedisClient(server.url, breaker=CircuitBreaker(1, 3600)))
    yield cache
    await cache.close()


async def test_what_is_kept_is_found_as_it_was(cache: ResponseCache) -> None:
    """Any bytes, also none."""
    for value in (b"[]", b"", bytes(range(256)), bytes(1_000_000)):
        await cache.set(ADA, KEY, value, 60)
        assert await cache.get(ADA, KEY) == value


async def test_what_is_not_there_is_none(cache: ResponseCache) -> None:
    """Beside what is."""
    await cache.set(ADA, KEY, b"x", 60)

    assert await cache.get(ADA, OTHER_KEY) is None


async def test_the_newer_takes_the_place_of_the_older(cache: ResponseCache) -> None:
    """There is one value under a key."""
    await cache.set(ADA, KEY, b"older", 60)
    await cache.set(ADA, KEY, b"newer", 60)

    assert await cache.get(ADA, KEY) == b"newer"


@pytest.mark.parametrize("seconds", [0, -0.001, -1e9])
async def test_for_no_time_nothing_is_kept(cache: ResponseCache, seconds: float) -> None:
    """Zero is not for ever."""
    await cache.set(ADA, KEY, b"x", seconds)

    assert await cache.get(ADA, KEY) is None


async def test_callers_have_places_of_their_own(cache: ResponseCache) -> None:
    """Their keys differ, as their fingerprints do."""
    await cache.set(ADA, KEY, b"ada's", 60)
    await cache.set(GRACE, OTHER_KEY, b"grace's", 60)

    assert [await cache.get(ADA, KEY), await cache.get(GRACE, OTHER_KEY)] == [b"ada's", b"grace's"]


async def test_it_can_be_closed_twice(cache: ResponseCache) -> None:
    """And without ever having been used."""
    await cache.close()
    await cache.close()
