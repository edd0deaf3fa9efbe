"""What every place for answers promises, held against each there is."""

from collections.abc import AsyncIterator, Iterator

import pytest

from gateway.upstream.cache import encrypted_redis as sealed_module
from gateway.upstream.cache import redis_client as link_module
from gateway.upstream.cache.backend import AnswerCache, MemoryAnswers
from gateway.upstream.cache.encrypted_redis import EncryptedRedisCache
from gateway.upstream.cache.memory import BoundedMemoryCache
from gateway.upstream.cache.redis_client import RedisClient
from gateway.upstream.resilience.circuit_breaker import CircuitBreaker
from tests.redis_servers import RedisServer, running_redis
from tests.upstream.asking import caller

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
) -> AsyncIterator[AnswerCache]:
    """Give each of them, empty."""
    if request.param == "memory":
        cache: AnswerCache = MemoryAnswers(BoundedMemoryCache(64_000_000))
    else:
        server: RedisServer = request.getfixturevalue("shared_server")
        with server.client() as redis:
            redis.flushall()
        monkeypatch.setattr(sealed_module, "GET_SECONDS", PATIENCE_SECONDS)
        monkeypatch.setattr(sealed_module, "SET_SECONDS", PATIENCE_SECONDS)
        monkeypatch.setattr(link_module, "CONNECT_SECONDS", PATIENCE_SECONDS)
        cache = EncryptedRedisCache(RedisClient(server.url, breaker=CircuitBreaker(1, 3600)))
    yield cache
    await cache.close()


async def test_what_is_kept_is_found_as_it_was(cache: AnswerCache) -> None:
    """Any bytes, also none."""
    for value in (b"[]", b"", bytes(range(256)), bytes(1_000_000)):
        await cache.set(ADA, KEY, value, 60)
        assert await cache.get(ADA, KEY) == value


async def test_what_is_not_there_is_none(cache: AnswerCache) -> None:
    """Beside what is."""
    await cache.set(ADA, KEY, b"x", 60)

    assert await cache.get(ADA, OTHER_KEY) is None


async def test_the_newer_takes_the_place_of_the_older(cache: AnswerCache) -> None:
    """There is one value under a key."""
    await cache.set(ADA, KEY, b"older", 60)
    await cache.set(ADA, KEY, b"newer", 60)

    assert await cache.get(ADA, KEY) == b"newer"


@pytest.mark.parametrize("seconds", [0, -0.001, -1e9])
async def test_for_no_time_nothing_is_kept(cache: AnswerCache, seconds: float) -> None:
    """Zero is not for ever."""
    await cache.set(ADA, KEY, b"x", seconds)

    assert await cache.get(ADA, KEY) is None


async def test_callers_have_places_of_their_own(cache: AnswerCache) -> None:
    """Their keys differ, as their fingerprints do."""
    await cache.set(ADA, KEY, b"ada's", 60)
    await cache.set(GRACE, OTHER_KEY, b"grace's", 60)

    assert [await cache.get(ADA, KEY), await cache.get(GRACE, OTHER_KEY)] == [b"ada's", b"grace's"]


async def test_it_can_be_closed_twice(cache: AnswerCache) -> None:
    """And without ever having been used."""
    await cache.close()
    await cache.close()
