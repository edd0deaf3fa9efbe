"""What every cache of responses promises, and the bounds of the one in memory."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.upstream.cache import redis as redis_module
from gateway.upstream.cache.memory import ENTRY_OVERHEAD, LruStore, MemoryCache, ResponseCache
from gateway.upstream.cache.redis import EncryptedRedisCache, RedisClient
from gateway.upstream.resilience.circuit_breaker import CircuitBreaker
from tests.clock import Clock
from tests.redis_servers import RedisServer
from tests.upstream.clients import caller

ADA, GRACE = caller("ada"), caller("grace")
KEY, OTHER_KEY = "a" * 64, "b" * 64
LONG_SECONDS = 15

CAPACITY = 4 * ENTRY_OVERHEAD
KEYS = st.sampled_from("abcdefgh")
VALUES = st.sampled_from([0, 1, 50, 300, ENTRY_OVERHEAD, 2 * ENTRY_OVERHEAD, CAPACITY]).map(bytes)
TTLS = st.sampled_from([0.001, 1, 5, 60])


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
    for value in (b"[]", b"", bytes(range(256)), bytes(1_000_000)):
        await cache.set(ADA, KEY, value, 60)
        assert await cache.get(ADA, KEY) == value
    assert await cache.get(ADA, OTHER_KEY) is None


async def test_a_value_replaces_the_older_one(cache: ResponseCache) -> None:
    await cache.set(ADA, KEY, b"older", 60)
    await cache.set(ADA, KEY, b"newer", 60)

    assert await cache.get(ADA, KEY) == b"newer"


@pytest.mark.parametrize("seconds", [0, -0.001, -1e9])
async def test_a_value_without_time_to_live_is_not_stored(
    cache: ResponseCache, seconds: float
) -> None:
    """A time of 0 does not mean unlimited."""
    await cache.set(ADA, KEY, b"x", seconds)

    assert await cache.get(ADA, KEY) is None


async def test_callers_have_entries_of_their_own(cache: ResponseCache) -> None:
    await cache.set(ADA, KEY, b"ada's", 60)
    await cache.set(GRACE, OTHER_KEY, b"grace's", 60)

    assert [await cache.get(ADA, KEY), await cache.get(GRACE, OTHER_KEY)] == [b"ada's", b"grace's"]


async def test_a_cache_can_be_closed_twice_and_unused(cache: ResponseCache) -> None:
    await cache.close()
    await cache.close()


def weight(key: str, value: bytes) -> int:
    return len(key) + len(value) + ENTRY_OVERHEAD


class StoreMachine(RuleBasedStateMachine):
    """Applies the same steps to the store and to a simple model, least recently used first."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = Clock(1000.0)
        self.store = LruStore(CAPACITY, clock=self.clock)
        self.model: OrderedDict[str, tuple[bytes, float]] = OrderedDict()

    def teardown(self) -> None:
        self.loop.close()

    def expected(self, key: str) -> bytes | None:
        if key in self.model and self.model[key][1] <= self.clock.now:
            del self.model[key]
        if key not in self.model:
            return None
        self.model.move_to_end(key)
        return self.model[key][0]

    @rule(key=KEYS, value=VALUES, ttl=TTLS)
    def set(self, key: str, value: bytes, ttl: float) -> None:
        stored = self.loop.run_until_complete(self.store.set(key, value, ttl=ttl))
        self.model.pop(key, None)
        fits = weight(key, value) <= CAPACITY
        if fits:
            self.model[key] = (value, self.clock.now + ttl)
        while sum(weight(k, v) for k, (v, _) in self.model.items()) > CAPACITY:
            self.model.popitem(last=False)
        assert stored is fits

    @rule(key=KEYS, value=VALUES, ttl=st.sampled_from([0, -1, -0.5, None]))
    def set_without_time_to_live(self, key: str, value: bytes, ttl: float | None) -> None:
        self.loop.run_until_complete(self.store.set(key, value, ttl=ttl))
        self.model.pop(key, None)

    @rule(key=KEYS, value=VALUES)
    def set_with_the_default_time_to_live(self, key: str, value: bytes) -> None:
        self.loop.run_until_complete(self.store.set(key, value))
        self.model.pop(key, None)

    @rule(key=KEYS)
    def get(self, key: str) -> None:
        assert self.loop.run_until_complete(self.store.get(key)) == self.expected(key)

    @rule(key=KEYS)
    def exists(self, key: str) -> None:
        exists = self.loop.run_until_complete(self.store.exists(key))
        assert exists == (self.expected(key) is not None)

    @rule(key=KEYS)
    def delete(self, key: str) -> None:
        deleted = self.loop.run_until_complete(self.store.delete(key))
        assert deleted == (self.model.pop(key, None) is not None)

    @precondition(lambda self: self.model)
    @rule()
    def clear(self) -> None:
        self.loop.run_until_complete(self.store.clear())
        self.model.clear()
        assert self.store.size == 0

    @rule(seconds=st.sampled_from([0.0005, 0.5, 1, 30]))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @invariant()
    def is_bounded(self) -> None:
        assert self.store.size == sum(weight(k, v) for k, (v, _) in self.model.items())
        assert self.store.size <= CAPACITY


StoreMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestStoreAgainstItsModel = StoreMachine.TestCase


@pytest.fixture
def clock() -> Clock:
    return Clock(1000.0)


@pytest.fixture
def store(clock: Clock) -> LruStore:
    """Create a store for three small entries."""
    return LruStore(3 * (ENTRY_OVERHEAD + 2), clock=clock)


async def test_the_least_recently_used_entry_is_evicted(store: LruStore) -> None:
    """A hit counts as use, a miss does not."""
    for key in "abc":
        await store.set(key, b"1", ttl=5)
    await store.get("a")
    await store.get("z")
    await store.set("d", b"1", ttl=5)

    assert [key for key in "abcd" if await store.get(key)] == ["a", "c", "d"]


async def test_an_entry_expires_however_often_it_is_read(store: LruStore, clock: Clock) -> None:
    """It expires at the exact moment, and its bytes are free again."""
    await store.set("a", b"1", ttl=5)
    for pause in [0.5] * 9 + [0.499]:
        clock.now += pause
        assert await store.get("a") == b"1"
    clock.now += 0.001

    assert (await store.get("a"), store.size) == (None, 0)


async def test_an_entry_larger_than_the_capacity_evicts_nothing(store: LruStore) -> None:
    """It is not stored, and the entry that it would replace is gone: that is out of date."""
    await store.set("a", b"1", ttl=5)
    await store.set("b", b"1", ttl=5)
    stored = await store.set("b", bytes(store.capacity), ttl=5)

    assert (stored, await store.get("a"), await store.get("b")) == (False, b"1", None)


async def test_zero_capacity_disables_the_store() -> None:
    store = LruStore(0)

    assert await store.set("a", b"", ttl=5) is False
    assert await store.get("a") is None


async def test_clear_empties_the_store_with_and_without_a_namespace(store: LruStore) -> None:
    await store.set("a", b"1", ttl=5)
    cleared = await store.clear()
    await store.set("b", b"1", ttl=5)
    await store.clear(namespace="n")

    assert cleared
    assert store.size == 0


async def test_many_entries_stay_within_the_capacity() -> None:
    store = LruStore(100 * ENTRY_OVERHEAD)
    for number in range(20_000):
        await store.set(str(number), b"value", ttl=3600)

    assert store.size <= store.capacity
    assert len(store._entries) < 100
