"""The store of the memory cache keeps to its capacity, and is shared out by namespace."""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.upstream.cache.lru import ENTRY_OVERHEAD, FAIR_SHARE, LruStore
from tests.clock import Clock

CAPACITY = 12 * ENTRY_OVERHEAD
Name = tuple[str, str]
"""The namespace and the key of an entry."""
NAMESPACES = ["ada", "grace", "edith", "mary", "joan"]
NAMESPACE = st.sampled_from(NAMESPACES)
NAMES = st.tuples(NAMESPACE, st.sampled_from("abcdefgh"))
TTLS = st.sampled_from([0.001, 1, 5, 60])


@dataclass(eq=False)
class Value:
    """A value that counts how often the store has dropped it."""

    weight: int = 0
    drops: int = 0

    def on_drop(self) -> None:
        self.drops += 1


VALUES = st.sampled_from([0, 1, 50, 300, ENTRY_OVERHEAD, 3 * ENTRY_OVERHEAD, CAPACITY]).map(Value)


@dataclass
class Expected:
    """An entry of the model."""

    value: Value
    expires: float
    weight: int


class StoreMachine(RuleBasedStateMachine):
    """Applies the same steps to the store and to a simple model, least recently used first."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = Clock(1000.0)
        self.store = LruStore(CAPACITY, clock=self.clock)
        self.model: OrderedDict[Name, Expected] = OrderedDict()
        self.dropped: list[Value] = []
        """Values that the model has had."""

    def teardown(self) -> None:
        self.loop.close()

    def run(self, operation: str, name: Name, *arguments: Any, **options: Any) -> Any:
        namespace, key = name
        method = getattr(self.store, operation)
        return self.loop.run_until_complete(method(key, *arguments, namespace=namespace, **options))

    def size_of(self, namespace: str) -> int:
        return sum(each.weight for name, each in self.model.items() if name[0] == namespace)

    def drop(self, name: Name) -> bool:
        entry = self.model.pop(name, None)
        if entry is not None:
            self.dropped.append(entry.value)
        return entry is not None

    def expected(self, name: Name) -> Value | None:
        if name in self.model and self.model[name].expires <= self.clock.now:
            self.drop(name)
        if name not in self.model:
            return None
        self.model.move_to_end(name)
        return self.model[name].value

    def evict_from_model(self) -> None:
        """Evict as long as it is too large, and check that callers are treated fairly."""
        before = OrderedDict(self.model)
        while sum(each.weight for each in self.model.values()) > CAPACITY:
            self.evict_one()
        self.check_fairness(before)

    def evict_one(self) -> None:
        """Evict the oldest entry if it has expired or no namespace is large, else a large one's."""
        oldest = next(iter(self.model))
        largest = max(map(self.size_of, NAMESPACES))
        if self.model[oldest].expires > self.clock.now and largest > FAIR_SHARE * CAPACITY:
            # Of several as large, the one that the store has chosen.
            candidates = [
                next(name for name in self.model if name[0] == each)
                for each in NAMESPACES
                if self.size_of(each) == largest
            ]
            oldest = min(candidates, key=lambda each: each in self.store._entries)
        self.drop(oldest)

    def check_fairness(self, before: OrderedDict[Name, Expected]) -> None:
        """Others lose an entry that they can read only if no namespace has over its share."""
        after = self.model
        lost = {n[0] for n in before.keys() - after.keys() if before[n].expires > self.clock.now}
        self.model = before
        small = {each for each in NAMESPACES if self.size_of(each) <= FAIR_SHARE * CAPACITY}
        self.model = after
        if lost & small:
            assert all(self.size_of(each) <= FAIR_SHARE * CAPACITY for each in NAMESPACES)

    @rule(name=NAMES, value=VALUES, ttl=TTLS)
    def set(self, name: Name, value: Value, ttl: float) -> None:
        stored = self.run("set", name, value, ttl=ttl)
        self.drop(name)
        weight = len(name[1]) + value.weight + ENTRY_OVERHEAD
        if weight <= CAPACITY:
            self.model[name] = Expected(value, self.clock.now + ttl, weight)
        self.evict_from_model()
        assert stored is (name in self.model)

    @rule(name=NAMES, change=st.sampled_from([-40, 0, 1, 500, 4 * ENTRY_OVERHEAD, CAPACITY]))
    def grow(self, name: Name, change: int) -> None:
        self.store.grow(name[1], name[0], change)
        if name in self.model:
            self.model[name].weight += change
        self.evict_from_model()

    @rule(name=NAMES, value=VALUES, ttl=st.sampled_from([0, -1, -0.5, None]))
    def set_without_time_to_live(self, name: Name, value: Value, ttl: float | None) -> None:
        self.run("set", name, value, ttl=ttl)
        self.drop(name)

    @rule(name=NAMES, value=VALUES)
    def set_with_the_default_time_to_live(self, name: Name, value: Value) -> None:
        self.run("set", name, value)
        self.drop(name)

    @rule(name=NAMES)
    def get(self, name: Name) -> None:
        assert self.run("get", name) is self.expected(name)

    @rule(name=NAMES)
    def find(self, name: Name) -> None:
        assert self.store.find(name[1], name[0]) is self.expected(name)

    @rule(name=NAMES)
    def exists(self, name: Name) -> None:
        assert self.run("exists", name) == (self.expected(name) is not None)

    @rule(name=NAMES)
    def delete(self, name: Name) -> None:
        assert self.run("delete", name) == self.drop(name)

    @precondition(lambda self: self.model)
    @rule(namespace=st.none() | NAMESPACE)
    def clear(self, namespace: str | None) -> None:
        self.loop.run_until_complete(self.store.clear(namespace=namespace))
        for name in [each for each in self.model if namespace in {None, each[0]}]:
            self.drop(name)

    @rule(seconds=st.sampled_from([0.0005, 0.5, 1, 30]))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @invariant()
    def is_bounded(self) -> None:
        assert self.store.size == sum(each.weight for each in self.model.values())
        assert self.store.size <= CAPACITY
        assert list(self.store._entries) == list(self.model)
        assert self.store._namespaces.keys() == {name[0] for name in self.model}

    @invariant()
    def values_know_whether_they_are_stored(self) -> None:
        assert {each.drops for each in self.dropped} <= {1}
        assert not any(each.value.drops for each in self.model.values())


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
        await store.set(key, Value(1), ttl=5)
    await store.get("a")
    await store.get("z")
    await store.set("d", Value(1), ttl=5)

    assert [key for key in "abcd" if await store.get(key)] == ["a", "c", "d"]


async def test_an_entry_expires_however_often_it_is_read(store: LruStore, clock: Clock) -> None:
    """It expires at the exact moment, and its bytes are free again."""
    value = Value(1)
    await store.set("a", value, ttl=5)
    for pause in [0.5] * 9 + [0.499]:
        clock.now += pause
        assert await store.get("a") is value
    clock.now += 0.001

    assert (await store.get("a"), store.size, value.drops) == (None, 0, 1)


async def test_an_entry_larger_than_the_capacity_evicts_nothing(store: LruStore) -> None:
    """It is not stored, and the entry that it would replace is gone: that is out of date."""
    kept = Value(1)
    await store.set("a", kept, ttl=5)
    await store.set("b", Value(1), ttl=5)
    stored = await store.set("b", Value(store.capacity), ttl=5)

    assert (stored, await store.get("a"), await store.get("b")) == (False, kept, None)


async def test_zero_capacity_disables_the_store() -> None:
    store = LruStore(0)

    assert await store.set("a", Value(), ttl=5) is False
    assert await store.get("a") is None


async def test_an_entry_that_grows_evicts_others_and_then_itself(store: LruStore) -> None:
    """What another one under its key grows by is that one's."""
    values = {key: Value(1) for key in "abc"}
    for key, value in values.items():
        await store.set(key, value, ttl=5)
    store.grow("c", None, 1)
    assert [values[key].drops for key in "abc"] == [1, 0, 0]
    store.grow("c", None, 2 * ENTRY_OVERHEAD)
    assert [values[key].drops for key in "abc"] == [1, 1, 0]
    store.grow("c", None, ENTRY_OVERHEAD)
    store.grow("c", None, ENTRY_OVERHEAD)

    assert [values[key].drops for key in "abc"] == [1, 1, 1]
    assert store.size == 0


async def fill(store: LruStore, namespace: str, entries: int) -> None:
    for number in range(entries):
        await store.set(f"{number:04}", Value(), ttl=60, namespace=namespace)


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


async def test_a_caller_whose_entries_grow_evicts_only_own_entries(large_store: LruStore) -> None:
    for namespace in ("ada", "grace", "edith"):
        await fill(large_store, namespace, 10)
    for _ in range(2):
        large_store.grow("0009", "ada", 10 * ENTRY_OVERHEAD)

    assert [held(large_store, each) for each in ("grace", "edith", "ada")] == [10, 10, 0]


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
    stored = await large_store.set("a", Value(11 * ENTRY_OVERHEAD), ttl=60, namespace="ada")

    assert (stored, large_store.size) == (False, size)


async def test_many_entries_stay_within_the_capacity() -> None:
    store = LruStore(100 * ENTRY_OVERHEAD)
    for number in range(20_000):
        await store.set(str(number), Value(5), ttl=3600)

    assert store.size <= store.capacity
    assert len(store._entries) < 100
