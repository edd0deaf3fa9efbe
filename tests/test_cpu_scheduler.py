"""Turns of the CPU scheduler, by a clock that only the tests move."""

import asyncio
import gc
import inspect
import string
import types
import weakref
from collections.abc import Coroutine
from contextvars import Context, copy_context
from typing import Any, cast

import pytest

from gateway import cpu_scheduler
from gateway.cpu_scheduler import (
    BURST_SECONDS,
    ITERATION_SECONDS,
    CpuScheduler,
    NoTurnError,
    account_for_tasks,
    pause,
    take_turn_to_begin,
)
from tests.clock import Clock

LONG = 2 * BURST_SECONDS
"""More than a caller has in reserve."""
SHORT = ITERATION_SECONDS / 5


class Computer:
    """Tasks that compute, by a clock that only they move."""

    def __init__(self) -> None:
        self.clock = Clock(0.0)
        self.scheduler = CpuScheduler(clock=self.clock)
        self.log = ""

    async def compute(self, key: str, *slices: float) -> None:
        """Compute for the given seconds at each turn, and log the key each time."""
        for number, seconds in enumerate(slices):
            if number:
                await pause()
            self.log += key
            self.clock.now += seconds

    async def run(self, key: str, *slices: float) -> None:
        await self.scheduler.run(key.encode(), self.compute(key, *slices))


def waits(coroutine: Coroutine[Any, Any, None]) -> bool:
    """Return whether the first step of a coroutine does not complete it."""
    try:
        coroutine.send(None)
    except StopIteration:
        return False
    coroutine.close()
    return True


async def test_what_has_begun_goes_before_what_waits_to_begin() -> None:
    """So the requests of a caller are in memory one after the other."""
    computer = Computer()
    requests = [computer.compute(name, LONG, LONG, LONG) for name in "abc"]
    await asyncio.gather(*(computer.scheduler.run(b"caller", each) for each in requests))

    assert computer.log == "aaabbbccc"


async def test_a_busy_caller_delays_only_itself() -> None:
    computer = Computer()
    await asyncio.gather(*(computer.run(key, LONG) for key in "aaaabc"))

    assert computer.log == "abcaaa"


async def test_a_caller_who_computes_half_of_the_time_never_waits() -> None:
    """However long; one who always computes does."""
    computer = Computer()
    half_of_the_time = []
    for _ in range(100):
        half_of_the_time.append(waits(computer.run("a", BURST_SECONDS)))
        computer.clock.now += BURST_SECONDS
    always = [waits(computer.run("b", BURST_SECONDS)) for _ in range(3)]

    assert not any(half_of_the_time)
    assert always == [False, False, True]


async def test_who_has_computed_long_waits_until_that_is_granted() -> None:
    """Another caller has a turn in each iteration of the loop meanwhile."""
    computer = Computer()
    iterations = 40
    long = 2 * BURST_SECONDS + iterations * ITERATION_SECONDS  # half of it is always granted
    await asyncio.gather(
        computer.run("a", long), computer.run("a", long), computer.run("b", *[SHORT] * 100)
    )

    assert computer.log == "a" + "b" * (iterations + 1) + "a" + "b" * (99 - iterations)


async def test_callers_who_always_compute_have_equal_parts() -> None:
    """However many tasks each of them has, and however long their turns are."""
    computer = Computer()
    many = [computer.run("a", *[0.002] * 20) for _ in range(10)]
    await asyncio.gather(*many, computer.run("b", *[0.005] * 40))
    both = computer.log[: computer.log.rindex("b")]

    assert both.count("a") * 0.002 == pytest.approx(both.count("b") * 0.005, abs=0.01)


@pytest.mark.parametrize(("seconds", "iterations"), [(SHORT, 8), (LONG, 40)])
async def test_light_turns_share_an_iteration(seconds: float, iterations: int) -> None:
    """As many of them as it grants time for; each heavy one has an iteration of its own."""
    computer = Computer()
    await computer.run("-", LONG)
    turns = asyncio.gather(*(computer.run("-", seconds) for _ in range(40)))
    computer.log = ""
    while not turns.done():
        computer.log += " "
        await asyncio.sleep(0)

    assert computer.log.count("-") == 40
    assert len(computer.log.split()) == pytest.approx(iterations, abs=1)


async def test_woken_tasks_keep_their_order() -> None:
    """Also those for which no time was left, and behind one that goes on at its next turn."""
    computer = Computer()
    await computer.run("-", LONG)
    names = string.ascii_letters[:20]
    tasks = [computer.compute(name, SHORT, SHORT) for name in names]
    await asyncio.gather(*(computer.scheduler.run(b"-", task) for task in tasks))

    assert computer.log == "-" + "".join(name * 2 for name in names)


async def test_nobody_waits_for_ever_behind_others_with_short_turns() -> None:
    computer = Computer()
    await asyncio.gather(*(computer.run(key, *[SHORT] * 50) for key in "aabbccddeeff"))
    first_half = computer.log[: len(computer.log) // 2]
    counts = [first_half.count(key) for key in "abcdef"]

    assert max(counts) - min(counts) <= 5


async def test_the_memory_of_callers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_scheduler, "MAX_ACCOUNTS", 10)
    computer = Computer()
    await asyncio.gather(*(computer.run(f"caller {number}", LONG) for number in range(100)))

    assert len(computer.scheduler._accounts) == 10


async def test_tasks_are_charged_to_who_started_them() -> None:
    """Their own tasks too, and what they compute when they are cancelled."""
    computer = Computer()

    async def child() -> None:
        computer.clock.now += 0.001
        try:
            await asyncio.Event().wait()
        finally:
            computer.clock.now += 0.002

    async def parent() -> float:
        tasks = [asyncio.create_task(child()) for _ in range(3)]
        await asyncio.sleep(0)
        cancelled_unstarted = asyncio.create_task(child())
        cancelled_unstarted.cancel()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, cancelled_unstarted, return_exceptions=True)
        return computer.scheduler._accounts[b"a"].left

    with account_for_tasks():
        left = await computer.scheduler.run(b"a", parent())
        outside = asyncio.create_task(asyncio.sleep(0))

    assert BURST_SECONDS - left == pytest.approx(3 * 0.003)
    assert isinstance(outside.get_coro(), types.CoroutineType)
    await outside


async def test_a_task_in_another_context_is_charged_to_that_one() -> None:
    computer = Computer()
    contexts: list[Context] = []

    async def keep_context() -> None:
        contexts.append(copy_context())

    async def start() -> None:
        compute = computer.compute("b", 0.001)
        await asyncio.create_task(compute, context=contexts[0])

    with account_for_tasks():
        await computer.scheduler.run(b"b", keep_context())
        await computer.scheduler.run(b"a", start())
    left = {key: account.left for key, account in computer.scheduler._accounts.items()}

    assert left == {b"a": BURST_SECONDS, b"b": pytest.approx(BURST_SECONDS - 0.001)}


async def test_tasks_on_an_account_have_the_state_of_a_coroutine() -> None:
    """The library by which responses are streamed asks for it when it cancels them."""
    states: list[str] = []

    async def parent() -> None:
        task = asyncio.create_task(asyncio.sleep(60))
        for _ in range(2):
            states.append(inspect.getcoroutinestate(cast("Any", task.get_coro())))
            await asyncio.sleep(0)
        task.cancel()

    with account_for_tasks():
        await CpuScheduler().run(b"a", parent())

    assert states == [inspect.CORO_CREATED, inspect.CORO_SUSPENDED]


async def test_a_cancelled_turn_is_skipped() -> None:
    computer = Computer()
    tasks = [asyncio.create_task(computer.run("a", LONG)) for _ in range(4)]
    await asyncio.sleep(0)
    tasks[2].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert [result is None for result in results] == [True, True, False, True]
    assert computer.scheduler._waiting == {}


async def test_what_has_no_turn_by_its_deadline_never_begins() -> None:
    """Other tasks of the caller are served in their order."""
    computer = Computer()
    deadline = asyncio.get_running_loop().time()
    await computer.run("-", LONG)
    waiting = [computer.compute(name, SHORT) for name in "abc"]
    results = await asyncio.gather(
        computer.scheduler.run(b"-", waiting[0]),
        computer.scheduler.run(b"-", waiting[1], deadline=deadline),
        computer.scheduler.run(b"-", waiting[2], deadline=deadline + 3600),
        return_exceptions=True,
    )

    assert [type(each) for each in results] == [type(None), NoTurnError, type(None)]
    assert computer.log == "-ac"
    assert inspect.getcoroutinestate(waiting[1]) == inspect.CORO_CLOSED


async def test_nothing_is_granted_for_what_waits_no_longer() -> None:
    """The event loop would iterate without a pause until the caller has time again."""
    computer = Computer()
    await computer.run("-", 1000 * LONG)
    deadline = asyncio.get_running_loop().time()
    with pytest.raises(NoTurnError):
        await computer.scheduler.run(b"-", computer.compute("a", SHORT), deadline=deadline)

    assert computer.scheduler._waiting == {}


async def test_tasks_that_come_and_go_get_the_time_of_one_that_waits() -> None:
    computer = Computer()
    await computer.run("-", 1000 * LONG)
    granted = []
    for replaced in (False, True):
        waiting = asyncio.create_task(computer.run("-", SHORT))
        await asyncio.sleep(0)
        (account,) = computer.scheduler._accounts.values()
        before = account.left
        for _ in range(40):
            if replaced:
                waiting.cancel()
                waiting = asyncio.create_task(computer.run("-", SHORT))
            await asyncio.sleep(0)
        granted.append(account.left - before)
        waiting.cancel()
        await asyncio.wait([waiting])

    assert granted[1] == pytest.approx(granted[0], rel=0.1)


async def test_what_waits_to_begin_again_has_a_deadline_too() -> None:
    computer = Computer()
    deadline = asyncio.get_running_loop().time()

    async def compute_twice() -> None:
        await computer.compute("a", LONG)
        await asyncio.sleep(0)  # what a step takes is known after it
        with pytest.raises(NoTurnError):
            await take_turn_to_begin(deadline)

    await computer.scheduler.run(b"-", compute_twice(), deadline=deadline)


async def test_errors_and_cancellation_pass_through_the_scheduler() -> None:
    scheduler = CpuScheduler()

    async def fail() -> None:
        await asyncio.sleep(0)
        raise PermissionError

    async def wait() -> None:
        await asyncio.Event().wait()

    with pytest.raises(PermissionError):
        await scheduler.run(b"a", fail())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await scheduler.run(b"a", wait())


async def test_a_cancelled_task_is_freed_without_a_garbage_collection() -> None:
    class Held:
        """What the task has in memory."""

    references: list[weakref.ref[Held]] = []

    async def wait(held: Held) -> None:
        references.append(weakref.ref(held))
        await asyncio.Event().wait()

    async def request() -> None:
        watcher = asyncio.create_task(wait(Held()))
        await asyncio.sleep(0)
        watcher.cancel()
        await asyncio.wait([watcher])

    gc.disable()
    try:
        with account_for_tasks():
            await CpuScheduler().run(b"caller", request())
        assert [each() for each in references] == [None]
    finally:
        gc.enable()
