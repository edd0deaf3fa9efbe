"""Single flight, guarded waits and keyed semaphore."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.concurrency import (
    KeyedSemaphore,
    SingleFlight,
)
from gateway.http.waiting import guard_waiting
from tests.clock import Clock

Flight = SingleFlight[int]


class Call:
    """A call that completes on command, and records how it ended."""

    def __init__(self, result: int = 1, failure: Exception | None = None) -> None:
        self.result = result
        self.failure = failure
        self.started = 0
        self.cancelled = 0
        self.running = asyncio.Event()
        self.complete = asyncio.Event()
        self.ended = asyncio.Event()

    async def __call__(self) -> int:
        self.started += 1
        self.running.set()
        try:
            await self.complete.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.ended.set()
        if self.failure is not None:
            raise self.failure
        return self.result


@pytest.fixture
async def flight() -> AsyncIterator[Flight]:
    """Check that the test leaves nothing in the flight, and no error to the event loop."""
    errors: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
    flight = Flight()
    yield flight
    gc.collect()
    await asyncio.sleep(0)
    assert errors == []
    assert (flight._tasks, flight._waiters) == ({}, {})


async def start_waiters(flight: Flight, call: Call, count: int) -> list[asyncio.Task[int]]:
    tasks = [asyncio.create_task(flight.run("key", call)) for _ in range(count)]
    await call.running.wait()
    return tasks


async def cancel(*tasks: asyncio.Task[int]) -> None:
    for task in tasks:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(result) for result in results} == {asyncio.CancelledError}


async def test_concurrent_runs_share_one_call(flight: Flight) -> None:
    call = Call(7)
    tasks = await start_waiters(flight, call, 500)
    call.complete.set()

    assert await asyncio.gather(*tasks) == [7] * 500
    assert call.started == 1


async def test_a_run_after_the_result_starts_a_new_call(flight: Flight) -> None:
    call = Call()
    call.complete.set()

    assert [await flight.run("key", call) for _ in range(3)] == [1, 1, 1]
    assert call.started == 3


async def test_other_keys_are_other_calls(flight: Flight) -> None:
    calls = [Call(number) for number in range(5)]
    tasks = [asyncio.create_task(flight.run(n, call)) for n, call in enumerate(calls)]
    for call in calls:
        call.complete.set()

    assert await asyncio.gather(*tasks) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("leaving", [slice(0, 1), slice(0, 9)], ids=["first", "all but the last"])
async def test_the_call_continues_for_the_waiters_that_remain(
    flight: Flight, leaving: slice
) -> None:
    call = Call()
    tasks = await start_waiters(flight, call, 10)
    await cancel(*tasks[leaving])
    call.complete.set()
    remaining = tasks[leaving.stop :]

    assert await asyncio.gather(*remaining) == [1] * len(remaining)
    assert (call.started, call.cancelled) == (1, 0)


async def test_the_call_is_cancelled_with_its_last_waiter(flight: Flight) -> None:
    call = Call()
    await cancel(*await start_waiters(flight, call, 10))
    await call.ended.wait()

    assert call.cancelled == 1


async def test_a_run_joins_no_call_that_began_too_early(flight: Flight) -> None:
    """That call's own waiters still get its result, and later runs join the new call."""
    clock = flight._clock = Clock(100.0)
    first, second = Call(1), Call(2)
    (early,) = await start_waiters(flight, first, 1)
    clock.now = 101.0
    joining = asyncio.create_task(flight.run("key", second, since=100.0))
    newer = asyncio.create_task(flight.run("key", second, since=100.5))
    later = asyncio.create_task(flight.run("key", Call(3), since=101.0))
    await second.running.wait()
    first.complete.set()
    second.complete.set()

    assert [await task for task in (early, joining, newer, later)] == [1, 1, 2, 2]
    assert (first.started, second.started) == (1, 1)


async def test_a_run_does_not_join_a_call_that_is_being_cancelled(flight: Flight) -> None:
    first, second = Call(1), Call(2)
    await cancel(*await start_waiters(flight, first, 1))
    (newcomer,) = await start_waiters(flight, second, 1)
    second.complete.set()

    assert await newcomer == 2
    await first.ended.wait()
    assert [first.cancelled, second.cancelled] == [1, 0]


async def test_the_late_end_of_a_cancelled_call_does_not_remove_its_successor(
    flight: Flight,
) -> None:
    started, cancelling, release = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def end_slowly() -> int:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelling.set()
            await release.wait()
        return 0

    only = asyncio.create_task(flight.run("key", end_slowly))
    await started.wait()
    ((old, _),) = flight._tasks.values()
    await cancel(only)
    await cancelling.wait()
    successor = Call(2)
    tasks = await start_waiters(flight, successor, 2)
    release.set()
    await asyncio.gather(old, return_exceptions=True)
    late = asyncio.create_task(flight.run("key", successor))
    await asyncio.sleep(0)
    successor.complete.set()

    assert await asyncio.gather(*tasks, late) == [2, 2, 2]
    assert successor.started == 1


async def test_an_exception_reaches_every_waiter_and_no_later_run(flight: Flight) -> None:
    call, after = Call(failure=RuntimeError("no")), Call(5)
    tasks = await start_waiters(flight, call, 50)
    call.complete.set()
    after.complete.set()

    assert await asyncio.gather(*tasks, return_exceptions=True) == [call.failure] * 50
    assert await flight.run("key", after) == 5


async def test_an_exception_during_cancellation_is_not_reported(flight: Flight) -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def fail_when_cancelled() -> int:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.set()
            raise RuntimeError("while cleaning up") from None
        return 0

    only = asyncio.create_task(flight.run("key", fail_when_cancelled))
    await started.wait()
    await cancel(only)
    await ended.wait()
    await asyncio.sleep(0)


async def test_an_exception_at_the_moment_all_waiters_leave_is_not_reported(
    flight: Flight,
) -> None:
    call = Call(failure=RuntimeError("no"))
    tasks = await start_waiters(flight, call, 3)
    call.complete.set()
    await cancel(*tasks)
    await call.ended.wait()
    del tasks


async def test_an_exception_before_the_coroutine_reaches_its_own_run_only(flight: Flight) -> None:
    call = Call()
    call.complete.set()

    def forbidden() -> Any:
        raise PermissionError("spent")

    rejected, completed = await asyncio.gather(
        flight.run("key", forbidden), flight.run("key", call), return_exceptions=True
    )

    assert isinstance(rejected, PermissionError)
    assert completed == 1


async def test_a_run_that_joins_does_not_start_its_own_call(flight: Flight) -> None:
    call = Call()
    (first,) = await start_waiters(flight, call, 1)

    def forbidden() -> Any:
        raise PermissionError("spent")

    joining = asyncio.create_task(flight.run("key", forbidden))
    await asyncio.sleep(0)
    call.complete.set()

    assert (await first, await joining) == (1, 1)


async def test_a_semaphore_admits_its_limit_per_key_in_order() -> None:
    semaphore: KeyedSemaphore[str] = KeyedSemaphore(2)
    entered: list[int] = []
    leave = [asyncio.Event() for _ in range(5)]

    async def hold(number: int) -> None:
        async with semaphore.acquire("a"):
            entered.append(number)
            await leave[number].wait()

    tasks = [asyncio.create_task(hold(number)) for number in range(5)]
    async with semaphore.acquire("b"):
        pass
    await asyncio.sleep(0)
    at_first = list(entered)
    for event in leave:
        event.set()
    await asyncio.gather(*tasks)

    assert at_first == [0, 1]
    assert entered == [0, 1, 2, 3, 4]


async def test_a_semaphore_forgets_a_key_with_its_last_user() -> None:
    """Cancelled users included, those that hold it and those that wait."""
    semaphore: KeyedSemaphore[int] = KeyedSemaphore(1)

    async def hold() -> int:
        async with semaphore.acquire(7):
            await asyncio.Event().wait()
        return 0

    tasks = [asyncio.create_task(hold()) for _ in range(3)]
    await asyncio.sleep(0)
    assert 7 in semaphore._semaphores
    await cancel(*tasks)

    assert (semaphore._semaphores, semaphore._users) == ({}, {})
    async with semaphore.acquire(7):
        pass


class Guard:
    """Counts how often it is entered, and records with what it is left."""

    def __init__(self) -> None:
        self.entered = 0
        self.left_with: list[type[BaseException] | None] = []

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[None]:
        self.entered += 1
        try:
            yield
        except BaseException as error:
            self.left_with.append(type(error))
            raise
        self.left_with.append(None)


async def computing() -> int:
    return 1


async def waiting() -> int:
    for _ in range(3):
        await asyncio.sleep(0)
    return await asyncio.wait_for(asyncio.shield(asyncio.create_task(computing())), 60)


async def failing(*, waits: bool) -> int:
    if waits:
        await asyncio.sleep(0)
    raise ZeroDivisionError


async def forgiving() -> int:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        await asyncio.sleep(0)
    return 2


async def test_only_what_waits_is_guarded() -> None:
    guard = Guard()
    assert await guard_waiting(computing(), guard) == 1
    assert guard.entered == 0

    assert await guard_waiting(waiting(), guard) == 1
    assert (guard.entered, guard.left_with) == (1, [None])


async def test_an_exception_passes_the_guard_of_what_has_waited() -> None:
    guard = Guard()
    with pytest.raises(ZeroDivisionError):
        await guard_waiting(failing(waits=False), guard)
    assert guard.entered == 0

    with pytest.raises(ZeroDivisionError):
        await guard_waiting(failing(waits=True), guard)
    assert guard.left_with == [ZeroDivisionError]


async def test_a_guard_ends_the_wait() -> None:
    call = Call()
    with pytest.raises(TimeoutError):
        await guard_waiting(call(), lambda: asyncio.timeout(0))
    assert call.cancelled == 1


async def test_cancellation_reaches_what_is_guarded() -> None:
    guard, call = Guard(), Call()
    task = asyncio.create_task(guard_waiting(call(), guard))
    await call.running.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (call.cancelled, guard.left_with) == (1, [asyncio.CancelledError])

    task = asyncio.create_task(guard_waiting(forgiving(), guard))
    await asyncio.sleep(0)
    task.cancel()
    assert await task == 2


async def test_what_is_guarded_is_closed_with_its_guard() -> None:
    """As an event loop that ends closes what still waits."""
    guard, call = Guard(), Call()
    guarded = guard_waiting(call(), guard)
    guarded.send(None)
    guarded.close()
    assert call.ended.is_set()
    assert guard.left_with == [GeneratorExit]
