"""What every cache of responses promises, and the bounds of the one in memory."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.upstream.cache import redis as redis_module
from gateway.upstream.cache.memory import (
    ENTRY_OVERHEAD,
    FAIR_SHARE,
    LruStore,
    MemoryCache,
    ResponseCache,
)
from gateway.upstream.cache.redis import EncryptedRedisCache, RedisClient
from gateway.upstream.resilience.circuit_breaker import CircuitBreaker
from tests.clock import Clock
from tests.redis_servers import RedisServer
from tests.upstream.clients import caller

ADA, GRACE = caller("ada"), caller("grace")
KEY, OTHER_KEY = "a" * 64, "b" * 64
LONG_SECONDS = 15

CAPACITY = 12 * ENTRY_OVERHEAD
Name = tuple[str, str]
"""The namespace and the key of an entry."""
NAMESPACES = ["ada", "grace", "edith", "mary", "joan"]
NAMESPACE = st.sampled_from(NAMESPACES)
NAMES = st.tuples(NAMESPACE, st.sampled_from("abcdefgh"))
VALUES = st.sampled_from([0, 1, 50, 300, ENTRY_OVERHEAD, 3 * ENTRY_OVERHEAD, CAPACITY]).map(bytes)
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


def weight(name: Name, value: bytes) -> int:
    return len(name[1]) + len(value) + ENTRY_OVERHEAD


class StoreMachine(RuleBasedStateMachine):
    """Applies the same steps to the store and to a simple model, least recently used first."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = Clock(1000.0)
        self.store = LruStore(CAPACITY, clock=self.clock)
        self.model: OrderedDict[Name, tuple[bytes, float]] = OrderedDict()

    def teardown(self) -> None:
        self.loop.close()

    def run(self, operation: str, name: Name, *arguments: Any, **options: Any) -> Any:
        namespace, key = name
        method = getattr(self.store, operation)
        return self.loop.run_until_complete(method(key, *arguments, namespace=namespace, **options))

    def size_of(self, namespace: str) -> int:
        return sum(weight(n, v) for n, (v, _) in self.model.items() if n[0] == namespace)

    def expected(self, name: Name) -> bytes | None:
        if name in self.model and self.model[name][1] <= self.clock.now:
            del self.model[name]
        if name not in self.model:
            return None
        self.model.move_to_end(name)
        return self.model[name][0]

    def evict_from_model(self) -> None:
        """Evict the oldest entry if it has expired or no namespace is large, else a large one's."""
        oldest = next(iter(self.model))
        largest = max(map(self.size_of, NAMESPACES))
        if self.model[oldest][1] > self.clock.now and largest > FAIR_SHARE * CAPACITY:
            # Of several as large, the one that the store has chosen.
            candidates = [
                next(name for name in self.model if name[0] == each)
                for each in NAMESPACES
                if self.size_of(each) == largest
            ]
            oldest = min(candidates, key=lambda each: each in self.store._entries)
        del self.model[oldest]

    @rule(name=NAMES, value=VALUES, ttl=TTLS)
    def set(self, name: Name, value: bytes, ttl: float) -> None:
        stored = self.run("set", name, value, ttl=ttl)
        self.model.pop(name, None)
        if weight(name, value) <= CAPACITY:
            self.model[name] = (value, self.clock.now + ttl)
        before = OrderedDict(self.model)
        while sum(weight(n, v) for n, (v, _) in self.model.items()) > CAPACITY:
            self.evict_from_model()
        assert stored is (name in self.model)
        self.check_fairness(before)

    def check_fairness(self, before: OrderedDict[Name, tuple[bytes, float]]) -> None:
        """Others lose an entry that they can read only if no namespace has over its share."""
        after = self.model
        lost = {n[0] for n in before.keys() - after.keys() if before[n][1] > self.clock.now}
        self.model = before
        small = {each for each in NAMESPACES if self.size_of(each) <= FAIR_SHARE * CAPACITY}
        self.model = after
        if lost & small:
            assert all(self.size_of(each) <= FAIR_SHARE * CAPACITY for each in NAMESPACES)

    @rule(name=NAMES, value=VALUES, ttl=st.sampled_from([0, -1, -0.5, None]))
    def set_without_time_to_live(self, name: Name, value: bytes, ttl: float | None) -> None:
        self.run("set", name, value, ttl=ttl)
        self.model.pop(name, None)

    @rule(name=NAMES, value=VALUES)
    def set_with_the_default_time_to_live(self, name: Name, value: bytes) -> None:
        self.run("set", name, value)
        self.model.pop(name, None)

    @rule(name=NAMES)
    def get(self, name: Name) -> None:
        assert self.run("get", name) == self.expected(name)

    @rule(name=NAMES)
    def exists(self, name: Name) -> None:
        assert self.run("exists", name) == (self.expected(name) is not None)

    @rule(name=NAMES)
    def delete(self, name: Name) -> None:
        assert self.run("delete", name) == (self.model.pop(name, None) is not None)

    @precondition(lambda self: self.model)
    @rule(namespace=st.none() | NAMESPACE)
    def clear(self, namespace: str | None) -> None:
        self.loop.run_until_complete(self.store.clear(namespace=namespace))
        for name in [each for each in self.model if namespace in {None, each[0]}]:
            del self.model[name]

    @rule(seconds=st.sampled_from([0.0005, 0.5, 1, 30]))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @invariant()
    def is_bounded(self) -> None:
        assert self.store.size == sum(weight(n, v) for n, (v, _) in self.model.items())
        assert self.store.size <= CAPACITY
        assert list(self.store._entries) == list(self.model)
        assert self.store._namespaces.keys() == {name[0] for name in self.model}


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


async def fill(store: LruStore, namespace: str, entries: int) -> None:
    for number in range(entries):
        await store.set(f"{number:04}", b"", ttl=60, namespace=namespace)


def held(store: LruStore, namespace: str) -> int:
    """Count the entries of a namespace."""
    return sum(name[0] == namespace for name in store._entries)


@pytest.fixture
def large_store(clock: Clock) -> LruStore:
    """Create a store for forty small entries."""
    return LruStore(40 * (ENTRY_OVERHEAD + 4), clock=clock)


async def test_one_caller_alone_has_the_whole_store(large_store: LruStore) -> None:
    await fill(large_store, "ada", 100)

    assert held(large_store, "ada") == 40


async def test_a_caller_who_fills_the_store_evicts_only_own_entries(large_store: LruStore) -> None:
    """Others keep theirs, although they were used less recently."""
    for namespace in ("grace", "edith"):
        await fill(large_store, namespace, 10)
    await fill(large_store, "ada", 1000)

    assert [held(large_store, each) for each in ("grace", "edith", "ada")] == [10, 10, 20]
    assert await large_store.get("0999", namespace="ada") is not None


async def test_a_caller_who_filled_the_store_makes_room_for_others(large_store: LruStore) -> None:
    """Down to a quarter, and not below."""
    await fill(large_store, "ada", 40)
    shares = []
    for namespace in ("grace", "edith", "mary"):
        await fill(large_store, namespace, 10)
        shares.append(held(large_store, "ada"))
    await fill(large_store, "joan", 5)

    assert shares == [30, 20, 10]
    assert sum([held(large_store, each) for each in ("grace", "edith", "mary", "ada")]) == 35


async def test_entries_of_callers_who_are_gone_are_evicted_first(
    large_store: LruStore, clock: Clock
) -> None:
    """An expired entry is no use of the store."""
    await fill(large_store, "grace", 20)
    clock.now += 60
    await fill(large_store, "ada", 40)

    assert held(large_store, "ada") == 40


async def test_an_entry_of_over_a_quarter_is_not_stored_in_a_full_store(
    large_store: LruStore,
) -> None:
    """It would evict those of others."""
    for namespace in ("grace", "edith", "mary", "joan"):
        await fill(large_store, namespace, 10)
    size = large_store.size
    stored = await large_store.set("a", bytes(11 * ENTRY_OVERHEAD), ttl=60, namespace="ada")

    assert (stored, large_store.size) == (False, size)


@pytest.mark.parametrize("tokens", [1, 100])
async def test_the_cache_is_shared_out_by_caller(tokens: int) -> None:
    """All tokens of a subject are one caller."""
    cache = MemoryCache(40 * (ENTRY_OVERHEAD + 64))
    await cache.set(GRACE, KEY, b"", 60)
    for number in range(100):
        ada = replace(ADA, fingerprint=bytes([number % tokens]) * 32)
        await cache.set(ada, f"{number:064}", b"", 60)

    assert await cache.get(GRACE, KEY) == b""


async def test_many_entries_stay_within_the_capacity() -> None:
    store = LruStore(100 * ENTRY_OVERHEAD)
    for number in range(20_000):
        await store.set(str(number), b"value", ttl=3600)

    assert store.size <= store.capacity
    assert len(store._entries) < 100
