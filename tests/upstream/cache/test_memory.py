"""The memory cache against a model of it: bounded, fair, and forgetting in time."""

import asyncio
from collections import OrderedDict

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.upstream.cache.memory import ENTRY_OVERHEAD, LruStore
from tests.clock import Clock

CAPACITY = 4 * ENTRY_OVERHEAD
KEYS = st.sampled_from("abcdefgh")
VALUES = st.sampled_from([0, 1, 50, 300, ENTRY_OVERHEAD, 2 * ENTRY_OVERHEAD, CAPACITY]).map(bytes)
TTLS = st.sampled_from([0.001, 1, 5, 60])


def weight(key: str, value: bytes) -> int:
    """Give the bytes that an entry is counted with."""
    return len(key) + len(value) + ENTRY_OVERHEAD


class CacheMachine(RuleBasedStateMachine):
    """Does the same to the cache and to a plain model, least recently used first."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = Clock(1000.0)
        self.cache = LruStore(CAPACITY, clock=self.clock)
        self.model: OrderedDict[str, tuple[bytes, float]] = OrderedDict()

    def teardown(self) -> None:
        """Close what was opened."""
        self.loop.close()

    def expected(self, key: str) -> bytes | None:
        """Look a key up in the model, as a read does."""
        if key in self.model and self.model[key][1] <= self.clock.now:
            del self.model[key]
        if key not in self.model:
            return None
        self.model.move_to_end(key)
        return self.model[key][0]

    @rule(key=KEYS, value=VALUES, ttl=TTLS)
    def set(self, key: str, value: bytes, ttl: float) -> None:
        """Keep a value; the oldest make way, and it never has two places."""
        kept = self.loop.run_until_complete(self.cache.set(key, value, ttl=ttl))
        self.model.pop(key, None)
        fits = weight(key, value) <= CAPACITY
        if fits:
            self.model[key] = (value, self.clock.now + ttl)
        while sum(weight(k, v) for k, (v, _) in self.model.items()) > CAPACITY:
            self.model.popitem(last=False)
        assert kept is fits

    @rule(key=KEYS, value=VALUES, ttl=st.sampled_from([0, -1, -0.5, None]))
    def set_for_no_time(self, key: str, value: bytes, ttl: float | None) -> None:
        """Keep nothing for a time that is over, and forget what was there."""
        self.loop.run_until_complete(self.cache.set(key, value, ttl=ttl))
        self.model.pop(key, None)

    @rule(key=KEYS, value=VALUES)
    def set_without_a_time(self, key: str, value: bytes) -> None:
        """No time to live is not for ever."""
        self.loop.run_until_complete(self.cache.set(key, value))
        self.model.pop(key, None)

    @rule(key=KEYS)
    def get(self, key: str) -> None:
        """Read, which makes an entry the most recently used."""
        assert self.loop.run_until_complete(self.cache.get(key)) == self.expected(key)

    @rule(key=KEYS)
    def exists(self, key: str) -> None:
        """Ask for a key without its value."""
        found = self.loop.run_until_complete(self.cache.exists(key))
        assert found == (self.expected(key) is not None)

    @rule(key=KEYS)
    def delete(self, key: str) -> None:
        """Forget one key."""
        gone = self.loop.run_until_complete(self.cache.delete(key))
        assert gone == (self.model.pop(key, None) is not None)

    @precondition(lambda self: self.model)
    @rule()
    def clear(self) -> None:
        """Forget everything."""
        self.loop.run_until_complete(self.cache.clear())
        self.model.clear()
        assert self.cache.size == 0

    @rule(seconds=st.sampled_from([0.0005, 0.5, 1, 30]))
    def wait(self, seconds: float) -> None:
        """Let time go by."""
        self.clock.now += seconds

    @invariant()
    def is_bounded(self) -> None:
        """Count the bytes of the entries held, and never more than the capacity."""
        assert self.cache.size == sum(weight(k, v) for k, (v, _) in self.model.items())
        assert self.cache.size <= CAPACITY


CacheMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestCacheAgainstItsModel = CacheMachine.TestCase


@pytest.fixture
def clock() -> Clock:
    """Give a clock to be moved by hand."""
    return Clock(1000.0)


@pytest.fixture
def cache(clock: Clock) -> LruStore:
    """Give an empty cache with room for three small entries."""
    return LruStore(3 * (ENTRY_OVERHEAD + 2), clock=clock)


async def test_the_least_recently_used_goes_first(cache: LruStore) -> None:
    """A read counts as use, a look that finds nothing does not."""
    for key in "abc":
        await cache.set(key, b"1", ttl=5)
    await cache.get("a")
    await cache.get("z")
    await cache.set("d", b"1", ttl=5)

    assert [key for key in "abcd" if await cache.get(key)] == ["a", "c", "d"]


async def test_an_entry_ends_with_its_time(cache: LruStore, clock: Clock) -> None:
    """At the very moment, and its bytes are free again."""
    await cache.set("a", b"1", ttl=5)
    clock.now += 4.999
    before = await cache.get("a")
    clock.now += 0.001

    assert (before, await cache.get("a"), cache.size) == (b"1", None, 0)


async def test_reading_does_not_prolong(cache: LruStore, clock: Clock) -> None:
    """An entry that is asked for all the time ends all the same."""
    await cache.set("a", b"1", ttl=5)
    for _ in range(9):
        clock.now += 0.5
        assert await cache.get("a") == b"1"
    clock.now += 0.5

    assert await cache.get("a") is None


async def test_an_entry_too_large_to_keep_pushes_nobody_out(cache: LruStore) -> None:
    """It is not kept, and what it would have replaced is gone, for it is no longer true."""
    await cache.set("a", b"1", ttl=5)
    await cache.set("b", b"1", ttl=5)
    kept = await cache.set("b", bytes(cache.capacity), ttl=5)

    assert (kept, await cache.get("a"), await cache.get("b")) == (False, b"1", None)


async def test_no_capacity_is_no_cache() -> None:
    """Zero bytes are a way to switch it off."""
    cache = LruStore(0)

    assert await cache.set("a", b"", ttl=5) is False
    assert await cache.get("a") is None


async def test_clear_leaves_a_cache_that_works(cache: LruStore) -> None:
    """That is how aiocache empties one, with and without a namespace."""
    await cache.set("a", b"1", ttl=5)
    cleared = await cache.clear()
    await cache.set("b", b"1", ttl=5)
    await cache.clear(namespace="n")

    assert cleared
    assert cache.size == 0


async def test_many_keys_stay_within_bounds() -> None:
    """What nobody reads again makes way without being looked for."""
    cache = LruStore(100 * ENTRY_OVERHEAD)
    for number in range(20_000):
        await cache.set(str(number), b"value", ttl=3600)

    assert cache.size <= cache.capacity
    assert len(cache._entries) < 100
