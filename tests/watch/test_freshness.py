"""An event shows nothing that is older than the reading that made it."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.auth.credentials import Caller
from gateway.errors import NotFoundError, UpstreamUnavailableError
from gateway.graph.events import Event
from gateway.upstream.cache.cached_client import CachedClient
from gateway.upstream.cache.memory import MemoryCache
from gateway.upstream.loader import (
    DETAIL_CALLS,
    PAGE_CALLS,
    CallBudget,
    RequestLoader,
)
from gateway.upstream.values import Item, PageRequest
from gateway.watch.poll import Reading
from gateway.watch.watcher import Watch
from tests.upstream.clients import PROJECTIONS
from tests.watch.doubles import ADA, LISTING, Upstream, Watching, get_request, job

SPRING = get_request("spring")
LINKED = get_request("linked")
"""An object that events show beside the one that is watched."""

LISTED = PageRequest(LISTING, None)


def new_loader(client: CachedClient, *, calls: int = 100) -> RequestLoader:
    return RequestLoader(
        client,
        ADA,
        fresh=False,
        deadline=asyncio.get_running_loop().time() + 30,
        page_budget=CallBudget(calls, PAGE_CALLS),
        item_budget=CallBudget(calls, DETAIL_CALLS),
    )


class World(Upstream):
    """An upstream that changes at will, and whose responses take as long as a test says.

    A response has the version of the moment at which the call was made.
    """

    def __init__(self) -> None:
        super().__init__()
        self.version = 0
        self.moment = 0
        self.takes = 1
        """The moments that the next calls take."""
        self._pending: list[tuple[int, asyncio.Future[None]]] = []

    async def call(
        self, caller: Caller, _: str, operation: str, parameters: Mapping[str, Any]
    ) -> dict[str, Any]:
        response = job("any") | {"description": str(self.version)}
        self.calls.append((caller, operation, dict(parameters)))
        arrival: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending.append((self.moment + self.takes, arrival))
        await arrival
        return response

    async def pass_moment(self) -> None:
        """Let the responses arrive that do so at the next moment."""
        self.moment += 1
        for due, arrival in self._pending:
            if due == self.moment and not arrival.done():
                arrival.set_result(None)
        await settle()


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def version_of(item: Item) -> int:
    return int(item["description"])


READING_BEGINS, READING_TAKES, EVENT = 3, 3, 8
MOMENTS = st.integers(0, EVENT)


class Scenario:
    """Queries of a caller for an object, and one reading of another, in a world that changes."""

    def __init__(
        self, queries: list[tuple[int, int]], changes: set[int], cache_seconds: float
    ) -> None:
        """Take of each query the moment at which it is made, and how many its call takes."""
        self.world = World()
        self._watching = Watching(self.world, cache_seconds=cache_seconds)
        self._query_calls, self._changes = queries, changes
        self._tasks: list[asyncio.Task[Any]] = []

    def _show(self, event: Event | None = None) -> asyncio.Task[Any]:
        """Read the object, for a query or for an event."""
        loader = new_loader(self._watching.client)
        if event is not None:
            event.prepare(loader)
        task = asyncio.create_task(loader.item(LINKED))
        self._tasks.append(task)
        return task

    async def read(self) -> Reading[Any]:
        """Let the time pass until the event of the reading, and return it."""
        reading: asyncio.Task[Watch[Any]] | None = None
        for moment in range(EVENT + 1):
            self._watching.time.now += 1
            await self.world.pass_moment()
            self.world.version += moment in self._changes
            if moment == READING_BEGINS:
                self.world.takes = READING_TAKES
                reading = asyncio.create_task(self._watching.watch_job())
                await settle()
            for made_at, takes in self._query_calls:
                if made_at == moment:
                    self.world.takes = takes
                    self._show()
                    await settle()
        assert reading is not None
        self._watch = await reading
        found = await self._watch.next()
        assert found is not None
        return found

    async def show(self, event: Event) -> list[int]:
        """Return the versions of the object that three subscribers to the event see."""
        self.world.takes = 1
        shown = [self._show(event) for _ in range(3)]
        await settle()
        while not all(task.done() for task in self._tasks):
            await self.world.pass_moment()
        self._watch.close()
        await settle()
        return [version_of(task.result()) for task in shown]


@given(
    st.lists(st.tuples(MOMENTS, st.integers(1, 9)), max_size=4),
    st.sets(MOMENTS, max_size=4),
    st.sampled_from([0.0, 60.0]),
)
@example([(0, 7)], {1}, 60.0)  # the result is cached after the reading
@example([(0, 9)], {1}, 0.0)  # the call is in progress
def test_what_an_event_shows_is_as_new_as_its_reading(
    queries: list[tuple[int, int]], changes: set[int], cache_seconds: float
) -> None:
    """Whatever calls of the caller's queries are in progress or cached, and when they end.

    All events of a reading share the calls that they need.
    """

    async def run() -> None:
        scenario = Scenario(queries, changes, cache_seconds)
        reading = await scenario.read()
        calls = len(scenario.world.calls)
        versions = await scenario.show(Event(None, reading))

        assert min(versions) >= version_of(reading.state.item)
        assert len(scenario.world.calls) - calls <= 1

    asyncio.run(run())


async def test_a_reading_does_not_wait_for_an_older_call() -> None:
    """It replaces a call of a query that is in progress, whose result is not cached then."""
    world = World()
    watching = Watching(world)
    world.takes = 2
    query = asyncio.create_task(new_loader(watching.client).item(SPRING))
    await settle()
    world.version, world.takes = 1, 1
    subscribing = asyncio.create_task(watching.watch_job())
    await settle()
    await world.pass_moment()
    watch = await subscribing
    assert not query.done()
    await world.pass_moment()
    found = await new_loader(watching.client, calls=0).item(SPRING)

    assert [version_of(await query), version_of(found)] == [0, 1]
    watch.close()


@pytest.mark.parametrize("request_", [SPRING, LISTED], ids=["object", "list"])
async def test_a_reading_refreshes_what_queries_find(request_: Any) -> None:
    """Without a call, until it is older than the cache allows."""
    upstream = Upstream([job("spring")])
    upstream.jobs["spring"] = job("spring")
    watching = Watching(upstream)
    client = watching.client
    watch: Watch[Any] = await (
        watching.watch_job() if request_ is SPRING else watching.watch_list()
    )
    for number in range(3):
        await watch.next()
        loader = new_loader(client, calls=0)
        found: Any = (
            await loader.item(SPRING)
            if request_ is SPRING
            else (await loader.page(LISTED)).items[0]
        )
        # What whole answers are made of, which are served again while it is current.
        (version,) = loader.versions
        assert version.current
        assert found["status"] == upstream.jobs["spring"]["status"]
        upstream.jobs["spring"]["status"] = upstream.pages[0][0]["status"] = f"STATUS_{number}"
        await watching.time.pass_sleep()
        await settle()
        assert not version.current
    watch.close()
    await settle()


async def test_a_job_that_a_reading_finds_gone_is_gone_for_queries() -> None:
    upstream = Upstream()
    upstream.jobs["spring"] = job("spring")
    watching = Watching(upstream)
    watch = await watching.watch_job()
    loader = new_loader(watching.client, calls=0)
    await loader.item(SPRING)
    del upstream.jobs["spring"]
    await watching.time.pass_sleep()
    await settle()

    assert not any(version.current for version in loader.versions)
    with pytest.raises(NotFoundError):
        await new_loader(watching.client).item(SPRING)
    watch.close()


async def test_without_a_cache_an_event_needs_no_second_call() -> None:
    upstream = Upstream()
    upstream.jobs["spring"] = job("spring")
    watching = Watching(upstream, cache_seconds=0)
    watch = await watching.watch_job()
    reading = await watch.next()
    assert reading is not None
    loader = new_loader(watching.client, calls=0)
    Event(None, reading, {SPRING: reading.state.stored}).prepare(loader)

    assert (await loader.item(SPRING))["status"] == "CREATE_IN_PROGRESS"
    assert len(upstream.calls) == 1
    watch.close()
    await settle()


@pytest.mark.parametrize("is_as_new", [True, False])
async def test_expired_results_are_shown_only_if_they_are_as_new(is_as_new: bool) -> None:  # noqa: FBT001  a case
    """While the upstream fails, queries get expired results."""
    upstream = Upstream()
    upstream.jobs["linked"] = job("linked")
    watching = Watching(upstream)
    client = CachedClient(
        upstream, MemoryCache(64_000), 5, PROJECTIONS, stale_seconds=60, clock=watching.time
    )
    read_at = watching.time.now
    await new_loader(client).item(LINKED)
    watching.time.now += 20
    upstream.failure = UpstreamUnavailableError("Clean Rooms ML failed.")
    loader = new_loader(client)
    loader.begin_at(read_at + (0 if is_as_new else 10), {}, {})

    assert await new_loader(client).item(LINKED)
    if is_as_new:
        assert await loader.item(LINKED)
        return
    with pytest.raises(UpstreamUnavailableError):
        await loader.item(LINKED)
    assert loader.stale == {}
