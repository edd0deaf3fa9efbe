"""What every cache of responses promises, and how the one in memory keeps decoded results."""

import tracemalloc
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import Any

import orjson
import pytest

from gateway.upstream.cache import redis as redis_module
from gateway.upstream.cache.lru import ENTRY_OVERHEAD
from gateway.upstream.cache.memory import MemoryCache, ResponseCache, size_of
from gateway.upstream.cache.redis import EncryptedRedisCache, RedisClient
from gateway.upstream.resilience.circuit_breaker import CircuitBreaker
from tests.clock import Clock
from tests.redis_servers import RedisServer
from tests.upstream.cache.entries import put, take
from tests.upstream.clients import caller, row

ADA, GRACE = caller("ada"), caller("grace")
KEY, OTHER_KEY = "a" * 64, "b" * 64
LONG_SECONDS = 60


@pytest.fixture(params=["memory", "redis"])
async def cache(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[ResponseCache]:
    """Create each kind of cache, empty."""
    if request.param == "memory":
        cache: ResponseCache = MemoryCache(64_000_000)
    else:
        server: RedisServer = request.getfixturevalue("empty_redis")
        for name in ("GET_SECONDS", "SET_SECONDS", "CONNECT_SECONDS"):
            monkeypatch.setattr(redis_module, name, LONG_SECONDS)
        cache = EncryptedRedisCache(RedisClient(server.url, breaker=CircuitBreaker(1, 3600)))
    yield cache
    await cache.close()


async def test_a_value_is_returned_as_it_was_stored(cache: ResponseCache) -> None:
    for value in ({}, {"a": None, "é": ["\u20ac", {"b": 1.5}]}, {"a": "x" * 1_000_000}):
        await put(cache, ADA, KEY, value, 60)
        assert await take(cache, ADA, KEY) == value
    assert await take(cache, ADA, OTHER_KEY) is None


async def test_a_value_replaces_the_older_one(cache: ResponseCache) -> None:
    await put(cache, ADA, KEY, "older", 60)
    await put(cache, ADA, KEY, "newer", 60)

    assert await take(cache, ADA, KEY) == "newer"


async def test_a_value_is_deleted_for_its_caller(cache: ResponseCache) -> None:
    await put(cache, ADA, KEY, "own", 60)
    await put(cache, ADA, OTHER_KEY, "other", 60)
    for key in (KEY, "c" * 64):  # there need not be one
        await cache.delete(ADA, key)

    assert await take(cache, ADA, KEY) is None
    assert await take(cache, ADA, OTHER_KEY) == "other"


@pytest.mark.parametrize("seconds", [0, -0.001, -1e9])
async def test_a_value_without_time_to_live_is_not_stored(
    cache: ResponseCache, seconds: float
) -> None:
    """A time of 0 does not mean unlimited."""
    version = await put(cache, ADA, KEY, "x", seconds)

    assert await take(cache, ADA, KEY) is None
    assert not version.current


async def test_callers_have_entries_of_their_own(cache: ResponseCache) -> None:
    await put(cache, ADA, KEY, "ada's", 60)
    await put(cache, GRACE, OTHER_KEY, "grace's", 60)

    assert await take(cache, ADA, KEY) == "ada's"
    assert await take(cache, GRACE, OTHER_KEY) == "grace's"


async def test_a_cache_can_be_closed_twice_and_unused(cache: ResponseCache) -> None:
    await cache.close()
    await cache.close()


@pytest.mark.parametrize("tokens", [1, 100])
async def test_the_cache_is_shared_out_by_caller(tokens: int) -> None:
    """All tokens of a subject are one caller."""
    cache = MemoryCache(40 * (ENTRY_OVERHEAD + 64 + size_of("")))
    await put(cache, GRACE, KEY, "", 60)
    for number in range(100):
        ada = replace(ADA, fingerprint=bytes([number % tokens]) * 32)
        await put(cache, ada, f"{number:064}", "", 60)

    assert await take(cache, GRACE, KEY) == ""


async def test_a_version_is_current_while_the_memory_cache_has_its_result() -> None:
    """Not after it was replaced, evicted or found to have expired."""
    clock = Clock()
    cache = MemoryCache(3 * ENTRY_OVERHEAD, clock=clock)
    first = await put(cache, ADA, KEY, "x", 60)
    assert first.current
    second = await put(cache, ADA, KEY, "x", 60)
    assert (first.current, second.current) == (False, True)
    too_large = await put(cache, ADA, KEY, "x" * 3 * ENTRY_OVERHEAD, 60)
    assert (second.current, too_large.current) == (False, False)
    evicted, expired, _ = [await put(cache, ADA, str(n), "x", 60) for n in range(3)]
    assert (evicted.current, expired.current) == (False, True)
    clock.now += 60
    await take(cache, ADA, "1")

    assert not expired.current


async def test_a_version_in_redis_is_never_current(empty_redis: RedisServer) -> None:
    """Another replica may replace it."""
    cache = EncryptedRedisCache(RedisClient(empty_redis.url))
    version = await put(cache, ADA, KEY, "x", 60)
    await cache.close()

    assert not version.current


@dataclass(eq=False)
class GrowingResult:
    """A result that keeps what is computed of it."""

    on_growth: Callable[[int], None] | None = None


def reports(*results: GrowingResult) -> list[bool]:
    """Tell which of the results report what they keep."""
    return [each.on_growth is not None for each in results]


async def test_what_is_computed_of_a_result_counts_while_it_is_cached() -> None:
    cache = MemoryCache(100 * ENTRY_OVERHEAD)
    result, newer = GrowingResult(), GrowingResult()
    await put(cache, ADA, KEY, result, 60)
    size = cache.store.size
    assert result.on_growth
    result.on_growth(1000)
    assert cache.store.size == size + 1000
    result.on_growth(-400)
    assert cache.store.size == size + 600
    await put(cache, ADA, KEY, newer, 60)

    assert reports(result, newer) == [False, True]
    assert cache.store.size == size


async def test_a_result_that_grows_too_large_is_evicted() -> None:
    cache = MemoryCache(10 * ENTRY_OVERHEAD)
    result = GrowingResult()
    version = await put(cache, ADA, KEY, result, 60)
    assert result.on_growth
    result.on_growth(10 * ENTRY_OVERHEAD)

    assert (reports(result), version.current, cache.store.size) == ([False], False, 0)


async def test_a_result_that_is_not_stored_reports_nothing() -> None:
    result = GrowingResult()
    await put(MemoryCache(0), ADA, KEY, result, 60)

    assert reports(result) == [False]


PLAIN_ROWS = [row(f"a name of some length {number}") for number in range(100)]
NESTED_ROWS = [{**each, "tags": {"a": "é" * 50, "b": ["c" * 60, 1.5, None]}} for each in PLAIN_ROWS]


@pytest.mark.parametrize(
    "value",
    [PLAIN_ROWS, NESTED_ROWS, {"sql": "\u20ac" * 50_000}, {"emoji": "x" * 50_000 + "\U0001f600"}],
    ids=["rows", "nested rows", "long text", "text of four bytes a character"],
)
def test_the_size_of_a_value_is_what_it_takes_in_memory(value: Any) -> None:
    text = orjson.dumps(value)
    orjson.loads(text)  # the names of members are in orjson's own cache from now on
    copies = []
    tracemalloc.start()
    try:
        copies += [orjson.loads(text) for _ in range(20)]
        taken = tracemalloc.get_traced_memory()[0] / 20
    finally:
        tracemalloc.stop()

    assert size_of(copies[0]) == pytest.approx(taken, rel=0.1)


def test_the_size_of_a_deep_value_is_found() -> None:
    deep: Any = "x"
    for _ in range(100_000):
        deep = [deep]

    assert size_of(deep) > 100_000 * size_of([])
