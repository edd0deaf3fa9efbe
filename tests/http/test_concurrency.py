import asyncio
from contextlib import AsyncExitStack

import pytest

from gateway.errors import OverloadedError
from gateway.http import concurrency
from gateway.http.concurrency import (
    OVERLOAD_REJECTIONS,
    OVERLOAD_SECONDS,
    REJECTIONS_PER_ITERATION,
    ConcurrencyLimiter,
)
from tests.clock import Clock


async def fill(limiter: ConcurrencyLimiter, number: int, stack: AsyncExitStack) -> None:
    """Admit this many requests, each of another caller."""
    for each in range(number):
        await stack.enter_async_context(limiter.admit(b"%d" % each))


async def enter(limiter: ConcurrencyLimiter, caller: bytes | None) -> None:
    async with limiter.admit(caller):
        pass


async def test_one_request_too_many_waits_for_a_slot() -> None:
    limiter = ConcurrencyLimiter(20)
    async with AsyncExitStack() as stack:
        await fill(limiter, 20, stack)
        late = asyncio.create_task(enter(limiter, b"late"))
        await asyncio.sleep(0)
        waited = not late.done()
        await stack.aclose()
        await late

    assert waited
    assert limiter.in_flight == 0


async def test_a_full_queue_rejects_at_once() -> None:
    """So does the check before the request is read."""
    limiter = ConcurrencyLimiter(20)
    async with AsyncExitStack() as stack:
        await fill(limiter, 20, stack)
        waiting = [asyncio.create_task(enter(limiter, b"w%d" % each)) for each in range(5)]
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError) as raised:
            await limiter.check()
        with pytest.raises(OverloadedError):
            await enter(limiter, b"one more")
        await stack.aclose()
        await asyncio.gather(*waiting)

    assert raised.value.extensions() == {"code": "OVERLOADED", "retryAfter": 2}
    await limiter.check()


async def test_waiting_too_long_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concurrency, "WAIT_SECONDS", 0)
    limiter = ConcurrencyLimiter(1)
    async with limiter.admit(b"a"):
        for _ in range(3):  # a rejected request leaves the queue
            with pytest.raises(OverloadedError):
                await enter(limiter, b"b")
    await enter(limiter, b"b")


async def test_one_caller_takes_a_quarter_of_the_slots_at_most() -> None:
    limiter = ConcurrencyLimiter(20)
    async with AsyncExitStack() as stack:
        for _ in range(5):
            await stack.enter_async_context(limiter.admit(b"flood"))
        with pytest.raises(OverloadedError, match="Accepted: 5"):
            await enter(limiter, b"flood")
        await fill(limiter, 15, stack)

    assert not limiter._per_caller


async def test_anonymous_requests_may_take_all_slots() -> None:
    limiter = ConcurrencyLimiter(20)
    async with AsyncExitStack() as stack:
        for _ in range(20):
            await stack.enter_async_context(limiter.admit(None))

    assert limiter.in_flight == 0


async def test_requests_of_one_caller_are_admitted_one_by_one() -> None:
    """Another caller's request that arrives after them is admitted before the rest."""
    limiter = ConcurrencyLimiter(40)
    admitted: list[bytes] = []

    async def visit(caller: bytes) -> None:
        async with limiter.admit(caller):
            admitted.append(caller)

    await asyncio.gather(*(visit(caller) for caller in [b"a"] * 5 + [b"b"]))

    assert admitted == [b"a", b"b", *[b"a"] * 4]


async def test_rejections_are_spread_over_the_event_loop() -> None:
    limiter = ConcurrencyLimiter(1)
    async with limiter.admit(b"a"):
        tasks = [
            asyncio.create_task(enter(limiter, b"a")) for _ in range(2 * REJECTIONS_PER_ITERATION)
        ]
        await asyncio.sleep(0)
        done_at_once = sum(task.done() for task in tasks)
        results = await asyncio.gather(*tasks, return_exceptions=True)

    assert done_at_once == REJECTIONS_PER_ITERATION
    assert {type(result) for result in results} == {OverloadedError}


@pytest.mark.parametrize("admitted", [True, False])
async def test_a_cancelled_request_frees_its_slot(*, admitted: bool) -> None:
    limiter = ConcurrencyLimiter(1)

    async def stay() -> None:
        async with limiter.admit(b"a" if admitted else b"b"):
            await asyncio.Event().wait()

    async with AsyncExitStack() as stack:
        if not admitted:
            await stack.enter_async_context(limiter.admit(b"a"))
        task = asyncio.create_task(stay())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    await enter(limiter, b"b")
    assert (limiter.in_flight, limiter._waiting) == (0, 0)


async def test_many_rejections_mean_overload_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(100.0)
    limiter = ConcurrencyLimiter(1, clock=clock)
    monkeypatch.setattr(concurrency, "WAIT_SECONDS", 0)
    overloaded = []
    async with limiter.admit(b"a"):
        for number in range(OVERLOAD_REJECTIONS):
            overloaded += [limiter.overloaded] * (number == OVERLOAD_REJECTIONS - 1)
            with pytest.raises(OverloadedError):
                await enter(limiter, b"b")
        overloaded.append(limiter.overloaded)
        clock.now += OVERLOAD_SECONDS
        overloaded.append(limiter.overloaded)

    assert overloaded == [False, True, False]


async def test_rejections_of_one_caller_are_not_overload() -> None:
    """There are slots for others, who would find no replica if each one that is flooded left."""
    limiter = ConcurrencyLimiter(8)
    async with limiter.admit(b"flood"), limiter.admit(b"flood"):
        for _ in range(2 * OVERLOAD_REJECTIONS):
            with pytest.raises(OverloadedError):
                await enter(limiter, b"flood")

    assert not limiter.overloaded
