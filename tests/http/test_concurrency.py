"""Admission: so many at once, a few more wait, and one caller is not everybody."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from gateway.errors import OverloadedError
from gateway.http import concurrency as admission_module
from gateway.http.concurrency import (
    REFUSALS_A_ROUND,
    REJECTIONS,
    REJECTIONS_SECONDS,
    ConcurrencyLimiter,
)
from gateway.http.health import Health
from tests.clock import Clock


async def filled(admission: ConcurrencyLimiter, number: int, stack: AsyncExitStack) -> None:
    """Let so many in, each another caller."""
    for each in range(number):
        await stack.enter_async_context(admission.admit(b"%d" % each))


async def test_as_many_as_there_is_room_for_are_in_at_once() -> None:
    """The next one waits, and is let in as soon as one has left."""
    admission = ConcurrencyLimiter(20)
    async with AsyncExitStack() as stack:
        await filled(admission, 20, stack)
        entered = asyncio.Event()

        async def come_late() -> None:
            async with admission.admit(b"late"):
                entered.set()

        late = asyncio.create_task(come_late())
        await asyncio.sleep(0)
        waited = not entered.is_set()
        await stack.aclose()
        await late

    assert waited
    assert admission.in_flight == 0


async def test_who_finds_no_place_to_wait_is_refused_at_once() -> None:
    """Also before anything of the request has been looked at."""
    admission = ConcurrencyLimiter(20)
    async with AsyncExitStack() as stack:
        await filled(admission, 20, stack)
        waiting = [asyncio.create_task(_visit(admission, b"w%d" % each)) for each in range(5)]
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError) as at_the_door:
            await admission.check()
        with pytest.raises(OverloadedError):
            await _visit(admission, b"one more")
        await stack.aclose()
        await asyncio.gather(*waiting)

    assert at_the_door.value.extensions() == {"code": "OVERLOADED", "retryAfter": 2}
    await admission.check()


async def _visit(admission: ConcurrencyLimiter, caller: bytes | None) -> None:
    async with admission.admit(caller):
        pass


async def test_who_waits_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """And leaves no trace in the queue."""
    monkeypatch.setattr(admission_module, "WAIT_SECONDS", 0)
    admission = ConcurrencyLimiter(1)
    async with admission.admit(b"a"):
        for _ in range(3):
            with pytest.raises(OverloadedError):
                await _visit(admission, b"b")
    await _visit(admission, b"b")


async def test_one_caller_takes_a_quarter_of_the_room_at_most() -> None:
    """The rest is for others, who notice nothing."""
    admission = ConcurrencyLimiter(20)
    async with AsyncExitStack() as stack:
        for _ in range(5):
            await stack.enter_async_context(admission.admit(b"flood"))
        with pytest.raises(OverloadedError, match="5 requests"):
            await _visit(admission, b"flood")
        for _ in range(15):
            await stack.enter_async_context(admission.admit(b"%d" % _))

    assert not admission._of_caller


async def test_one_caller_s_crowd_begins_one_by_one() -> None:
    """Somebody else who comes after it is in before it."""
    admission = ConcurrencyLimiter(40)
    entered: list[bytes] = []

    async def visit(caller: bytes) -> None:
        async with admission.admit(caller):
            entered.append(caller)

    await asyncio.gather(*(visit(caller) for caller in [b"a"] * 5 + [b"b"]))

    assert entered == [b"a", b"b", *[b"a"] * 4]


async def test_a_few_are_refused_in_a_round() -> None:
    """So that those who are served get their turns too."""
    admission = ConcurrencyLimiter(1)
    async with admission.admit(b"a"):
        crowd = [asyncio.create_task(_visit(admission, b"a")) for _ in range(2 * REFUSALS_A_ROUND)]
        await asyncio.sleep(0)
        at_first = sum(task.done() for task in crowd)
        results = await asyncio.gather(*crowd, return_exceptions=True)

    assert at_first == REFUSALS_A_ROUND
    assert {type(result) for result in results} == {OverloadedError}


async def test_nobody_s_requests_are_no_caller_s() -> None:
    """They need no data, so they share the whole room."""
    admission = ConcurrencyLimiter(20)
    async with AsyncExitStack() as stack:
        for _ in range(20):
            await stack.enter_async_context(admission.admit(None))

    assert admission.in_flight == 0


@pytest.mark.parametrize("inside", [True, False])
async def test_a_client_who_leaves_gives_the_place_back(inside: bool) -> None:  # noqa: FBT001 - a case
    """While being served, or while waiting."""
    admission = ConcurrencyLimiter(1)

    async def stay() -> None:
        async with admission.admit(b"a" if inside else b"b"):
            await asyncio.Event().wait()

    async with AsyncExitStack() as stack:
        if not inside:
            await stack.enter_async_context(admission.admit(b"a"))
        task = asyncio.create_task(stay())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    await _visit(admission, b"b")
    assert (admission.in_flight, admission._waiting) == (0, 0)


async def test_many_refusals_make_it_overloaded_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A hundred within five seconds; fewer are nothing to send everybody elsewhere for."""
    clock = Clock(100.0)
    admission = ConcurrencyLimiter(1, clock=clock)
    health = Health(admission, started=True)
    monkeypatch.setattr(admission_module, "WAIT_SECONDS", 0)
    async with admission.admit(b"a"):
        for _ in range(REJECTIONS - 1):
            with pytest.raises(OverloadedError):
                await _visit(admission, b"b")
        before = health.state
        with pytest.raises(OverloadedError):
            await _visit(admission, b"b")
        after = health.state
        clock.now += REJECTIONS_SECONDS
        later = health.state

    assert (before, after, later) == ("ready", "overloaded", "ready")


async def test_one_caller_s_refusals_do_not_make_it_overloaded() -> None:
    """There is room for others, who would find no replica if each that one floods fell out."""
    admission = ConcurrencyLimiter(8)
    health = Health(admission, started=True)
    async with admission.admit(b"flood"), admission.admit(b"flood"):
        for _ in range(2 * REJECTIONS):
            with pytest.raises(OverloadedError):
                await _visit(admission, b"flood")

    assert health.state == "ready"


def test_health_says_the_one_thing_that_matters_most() -> None:
    """Draining is for good, so it comes first."""
    health = Health(ConcurrencyLimiter(1))
    states = [health.state]
    health.started = True
    states.append(health.state)
    health.draining = True
    states.append(health.state)

    assert states == ["starting", "ready", "draining"]
