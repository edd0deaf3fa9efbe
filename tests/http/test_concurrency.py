import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from gateway.errors import OverloadedError
from gateway.http import concurrency
from gateway.http.concurrency import (
    ANONYMOUS,
    OVERLOAD_REJECTIONS,
    OVERLOAD_SECONDS,
    SHARED,
    ConcurrencyLimiter,
    RequestSlot,
)
from gateway.upstream.resilience.callers import UNPROVED
from tests.clock import Clock


@asynccontextmanager
async def slot(limiter: ConcurrencyLimiter, caller: bytes) -> AsyncIterator[RequestSlot]:
    request_slot = RequestSlot(limiter)
    try:
        await request_slot.acquire(caller)
        yield request_slot
    finally:
        request_slot.release()


async def fill(limiter: ConcurrencyLimiter, number: int, stack: AsyncExitStack) -> None:
    """Give slots to this many requests, each of another caller."""
    for each in range(number):
        await stack.enter_async_context(slot(limiter, b"%d" % each))


async def enter(limiter: ConcurrencyLimiter, caller: bytes) -> None:
    async with slot(limiter, caller):
        pass


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no request wait."""
    monkeypatch.setattr(concurrency, "WAIT_SECONDS", 0)


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
    limiter = ConcurrencyLimiter(20)
    async with AsyncExitStack() as stack:
        await fill(limiter, 20, stack)
        waiting = [asyncio.create_task(enter(limiter, b"w%d" % each)) for each in range(5)]
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError) as raised:
            await enter(limiter, b"one more")
        await stack.aclose()
        await asyncio.gather(*waiting)

    assert raised.value.extensions() == {"code": "OVERLOADED", "retryAfter": 2}
    await enter(limiter, b"one more")


async def test_one_caller_takes_a_quarter_of_the_queue_at_most() -> None:
    limiter = ConcurrencyLimiter(80)
    async with AsyncExitStack() as stack:
        await fill(limiter, 80, stack)
        waiting = [asyncio.create_task(enter(limiter, b"flood")) for _ in range(5)]
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError):
            await enter(limiter, b"flood")
        waiting += [asyncio.create_task(enter(limiter, b"w%d" % each)) for each in range(15)]
        await asyncio.sleep(0)
        await stack.aclose()
        await asyncio.gather(*waiting)


@pytest.mark.usefixtures("impatient")
async def test_waiting_too_long_is_rejected() -> None:
    limiter = ConcurrencyLimiter(1)
    async with slot(limiter, b"a"):
        for _ in range(3):  # a rejected request leaves the queue
            with pytest.raises(OverloadedError):
                await enter(limiter, b"b")
    await enter(limiter, b"b")


async def test_one_caller_takes_a_quarter_of_the_slots_at_most() -> None:
    limiter = ConcurrencyLimiter(20)
    async with AsyncExitStack() as stack:
        for _ in range(5):
            await stack.enter_async_context(slot(limiter, b"flood"))
        with pytest.raises(OverloadedError, match="Accepted: 5"):
            await enter(limiter, b"flood")
        await fill(limiter, 15, stack)

    assert not limiter._per_caller


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("key", SHARED)
async def test_all_without_proof_together_take_a_quarter_of_the_slots_at_most(key: bytes) -> None:
    limiter = ConcurrencyLimiter(20)
    async with AsyncExitStack() as stack:
        for _ in range(5):
            await stack.enter_async_context(slot(limiter, key))
        with pytest.raises(OverloadedError, match="without credentials that AWS has accepted"):
            await enter(limiter, key)
        await fill(limiter, 15, stack)


async def test_callers_without_proof_wait_for_each_other() -> None:
    """One of them may be an honest new caller with a single request."""
    limiter = ConcurrencyLimiter(20)
    async with AsyncExitStack() as stack:
        for _ in range(5):
            await stack.enter_async_context(slot(limiter, UNPROVED))
        late = asyncio.create_task(enter(limiter, UNPROVED))
        await asyncio.sleep(0)
        waited = not late.done()
        await stack.aclose()
        await late

    assert waited


async def test_a_slot_moves_to_the_part_of_the_caller_who_is_known_later() -> None:
    limiter = ConcurrencyLimiter(8)
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await (await stack.enter_async_context(slot(limiter, UNPROVED))).transfer(b"ada")
        others = [await stack.enter_async_context(slot(limiter, UNPROVED)) for _ in range(2)]
        with pytest.raises(OverloadedError, match="Accepted: 2"):
            await others[0].transfer(b"ada")
        await others[1].transfer(b"grace")
        in_flight = limiter.in_flight

    assert in_flight == 4
    assert not limiter._per_caller
    async with slot(limiter, UNPROVED), slot(limiter, UNPROVED):
        pass


@pytest.mark.parametrize("admitted", [True, False])
async def test_a_cancelled_request_frees_its_slot(*, admitted: bool) -> None:
    limiter = ConcurrencyLimiter(1)

    async def stay() -> None:
        async with slot(limiter, b"a" if admitted else b"b"):
            await asyncio.Event().wait()

    async with AsyncExitStack() as stack:
        if not admitted:
            await stack.enter_async_context(slot(limiter, b"a"))
        task = asyncio.create_task(stay())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    await enter(limiter, b"b")
    assert limiter.in_flight == 0
    assert not limiter._slots._waiting


async def test_a_request_that_is_cancelled_as_it_gets_its_slot_passes_it_on() -> None:
    limiter = ConcurrencyLimiter(1)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(slot(limiter, b"a"))
        cancelled = asyncio.create_task(enter(limiter, b"b"))
        await asyncio.sleep(0)
        await stack.aclose()
        cancelled.cancel()
        await asyncio.gather(cancelled, return_exceptions=True)

    assert cancelled.cancelled()
    await enter(limiter, b"c")
    assert limiter._slots._free == 1


@pytest.mark.usefixtures("impatient")
async def test_many_rejections_mean_overload_for_a_while() -> None:
    clock = Clock(100.0)
    limiter = ConcurrencyLimiter(1, clock=clock)
    overloaded = []
    async with slot(limiter, b"a"):
        for number in range(OVERLOAD_REJECTIONS):
            overloaded += [limiter.overloaded] * (number == OVERLOAD_REJECTIONS - 1)
            with pytest.raises(OverloadedError):
                await enter(limiter, b"b")
        overloaded.append(limiter.overloaded)
        clock.now += OVERLOAD_SECONDS
        overloaded.append(limiter.overloaded)

    assert overloaded == [False, True, False]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("flood", [b"one caller", UNPROVED, ANONYMOUS])
async def test_rejections_for_a_part_of_the_slots_are_not_overload(flood: bytes) -> None:
    """There are slots for others, who would find no replica if each one that is flooded left."""
    limiter = ConcurrencyLimiter(8)
    async with slot(limiter, flood), slot(limiter, flood):
        for _ in range(2 * OVERLOAD_REJECTIONS):
            with pytest.raises(OverloadedError):
                await enter(limiter, flood)

    assert not limiter.overloaded
