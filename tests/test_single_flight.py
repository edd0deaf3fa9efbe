"""Single flight: one call for all who wait, whoever of them comes and goes."""

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.concurrency import SingleFlight

Flight = SingleFlight[int]


class Call:
    """A call that lands when it is told to, and remembers what became of it."""

    def __init__(self, answer: int = 1) -> None:
        self.answer = answer
        self.started = 0
        self.cancelled = 0
        self.under_way = asyncio.Event()
        self.land = asyncio.Event()
        self.ended = asyncio.Event()
        self.failure: Exception | None = None

    async def __call__(self) -> int:
        """Make the call."""
        self.started += 1
        self.under_way.set()
        try:
            await self.land.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.ended.set()
        if self.failure is not None:
            raise self.failure
        return self.answer


@pytest.fixture
async def complaints() -> AsyncIterator[list[dict[str, Any]]]:
    """Collect what the event loop complains about; at the end there must be nothing."""
    heard: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: heard.append(context))
    yield heard
    gc.collect()
    await asyncio.sleep(0)
    assert heard == []


@pytest.fixture
def flight() -> Flight:
    """Give a single flight of which nothing may be left after the test."""
    return SingleFlight()


def is_empty(flight: Flight) -> bool:
    """Say whether nothing is remembered, so that nothing leaks."""
    return not flight._tasks and not flight._waiters


async def waiting(flight: Flight, call: Call, count: int) -> list[asyncio.Task[int]]:
    """Let so many wait for the call, which is under way when this returns."""
    tasks = [asyncio.create_task(flight.run("key", call)) for _ in range(count)]
    await call.under_way.wait()
    return tasks


@pytest.mark.usefixtures("complaints")
async def test_five_hundred_who_ask_at_once_are_one_call(flight: Flight) -> None:
    """All get its answer, and nothing is remembered afterwards."""
    call = Call(7)
    tasks = await waiting(flight, call, 500)
    call.land.set()

    assert await asyncio.gather(*tasks) == [7] * 500
    assert call.started == 1
    assert is_empty(flight)


@pytest.mark.usefixtures("complaints")
async def test_who_asks_after_the_answer_asks_anew(flight: Flight) -> None:
    """A flight is no cache."""
    call = Call()
    call.land.set()

    assert [await flight.run("key", call) for _ in range(3)] == [1, 1, 1]
    assert call.started == 3


@pytest.mark.usefixtures("complaints")
async def test_other_keys_are_other_calls(flight: Flight) -> None:
    """Nobody waits for an answer to somebody else's question."""
    calls = [Call(number) for number in range(5)]
    tasks = [asyncio.create_task(flight.run(n, call)) for n, call in enumerate(calls)]
    for call in calls:
        call.land.set()

    assert await asyncio.gather(*tasks) == [0, 1, 2, 3, 4]


@pytest.mark.usefixtures("complaints")
async def test_the_one_who_began_may_leave(flight: Flight) -> None:
    """The others get the answer of the same call."""
    call = Call()
    leader, *followers = await waiting(flight, call, 10)
    leader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leader
    call.land.set()

    assert await asyncio.gather(*followers) == [1] * 9
    assert (call.started, call.cancelled) == (1, 0)
    assert is_empty(flight)


@pytest.mark.usefixtures("complaints")
async def test_all_but_the_last_may_leave(flight: Flight) -> None:
    """One who still waits is enough to keep the call going."""
    call = Call()
    *leavers, last = await waiting(flight, call, 10)
    for task in leavers:
        task.cancel()
    await asyncio.gather(*leavers, return_exceptions=True)
    call.land.set()

    assert await last == 1
    assert (call.started, call.cancelled) == (1, 0)


@pytest.mark.usefixtures("complaints")
async def test_when_all_have_left_the_call_is_cancelled(flight: Flight) -> None:
    """Nobody would see its answer."""
    call = Call()
    tasks = await waiting(flight, call, 10)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await call.ended.wait()

    assert call.cancelled == 1
    assert is_empty(flight)


@pytest.mark.usefixtures("complaints")
async def test_a_newcomer_does_not_join_a_call_that_is_being_cancelled(flight: Flight) -> None:
    """Who comes in the very moment in which the last has left starts a call of their own."""
    first, second = Call(1), Call(2)
    (only,) = await waiting(flight, first, 1)
    only.cancel()
    with pytest.raises(asyncio.CancelledError):
        await only
    newcomer = asyncio.create_task(flight.run("key", second))
    await second.under_way.wait()
    second.land.set()

    assert await newcomer == 2
    await first.ended.wait()
    assert [first.cancelled, second.cancelled] == [1, 0]
    assert is_empty(flight)


@pytest.mark.usefixtures("complaints")
async def test_the_end_of_a_cancelled_call_does_not_unseat_its_successor(flight: Flight) -> None:
    """A call that takes long to be cancelled leaves the new one in its place."""
    started, lingering, release = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def stubborn() -> int:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            lingering.set()
            await release.wait()
        return 0

    only = asyncio.create_task(flight.run("key", stubborn))
    await started.wait()
    (old,) = flight._tasks.values()
    only.cancel()
    await asyncio.gather(only, return_exceptions=True)
    await lingering.wait()
    successor = Call(2)
    tasks = await waiting(flight, successor, 2)
    release.set()
    await asyncio.gather(old, return_exceptions=True)
    late = asyncio.create_task(flight.run("key", successor))
    await asyncio.sleep(0)
    successor.land.set()

    assert await asyncio.gather(*tasks, late) == [2, 2, 2]
    assert successor.started == 1


@pytest.mark.usefixtures("complaints")
async def test_an_exception_reaches_everybody_who_waits(flight: Flight) -> None:
    """Each sees it, and the next question is asked anew."""
    call = Call()
    call.failure = RuntimeError("no")
    tasks = await waiting(flight, call, 50)
    call.land.set()
    errors = await asyncio.gather(*tasks, return_exceptions=True)
    again = Call(5)
    again.land.set()

    assert errors == [call.failure] * 50
    assert await flight.run("key", again) == 5
    assert is_empty(flight)


@pytest.mark.usefixtures("complaints")
async def test_an_exception_that_nobody_waits_for_is_no_complaint(flight: Flight) -> None:
    """A call that fails after its last waiter has left ends in silence."""

    async def fail_when_cancelled() -> int:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.set()
            raise RuntimeError("while cleaning up") from None
        return 0

    started, ended = asyncio.Event(), asyncio.Event()
    only = asyncio.create_task(flight.run("key", fail_when_cancelled))
    await started.wait()
    only.cancel()
    with pytest.raises(asyncio.CancelledError):
        await only
    await ended.wait()
    await asyncio.sleep(0)

    assert is_empty(flight)


@pytest.mark.usefixtures("complaints")
async def test_an_exception_while_everybody_leaves_is_no_complaint(flight: Flight) -> None:
    """Failure and cancellation in the same moment are in nobody's log."""
    call = Call()
    call.failure = RuntimeError("no")
    tasks = await waiting(flight, call, 3)
    call.land.set()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await call.ended.wait()
    del tasks

    assert is_empty(flight)


@pytest.mark.usefixtures("complaints")
async def test_what_stops_a_call_from_starting_reaches_its_starter_only(flight: Flight) -> None:
    """A spent budget is one caller's own; the next one starts the call."""
    call = Call()
    call.land.set()

    def forbidden() -> Any:
        raise PermissionError("spent")

    refused, answered = await asyncio.gather(
        flight.run("key", forbidden), flight.run("key", call), return_exceptions=True
    )

    assert isinstance(refused, PermissionError)
    assert answered == 1
    assert is_empty(flight)


@pytest.mark.usefixtures("complaints")
async def test_who_joins_is_not_asked_to_start(flight: Flight) -> None:
    """A follower's own budget is not touched."""
    call = Call()
    (leader,) = await waiting(flight, call, 1)

    def forbidden() -> Any:
        raise PermissionError("spent")

    follower = asyncio.create_task(flight.run("key", forbidden))
    await asyncio.sleep(0)
    call.land.set()

    assert (await leader, await follower) == (1, 1)
