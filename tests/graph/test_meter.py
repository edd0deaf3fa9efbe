"""A meter lets other work continue, and ends an operation that computes for too long."""

import asyncio
import time
from types import SimpleNamespace

import pytest

from gateway.errors import UpstreamTimeoutError
from gateway.graph import meter as meter_module
from gateway.graph.meter import COMPUTING_SECONDS, SLICE_SECONDS, Meter, OperationEndedError
from gateway.settings import Settings
from tests.clock import Clock


def compute_for(seconds: float) -> None:
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        pass


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Give meters a clock that only the tests move."""
    clock = Clock(0.0)
    monkeypatch.setattr(meter_module, "time", SimpleNamespace(perf_counter=clock))
    return clock


async def meter_with(*, seconds_left: float) -> tuple[Meter, list[None]]:
    pauses: list[None] = []

    async def pause() -> None:
        pauses.append(None)

    deadline = asyncio.get_running_loop().time() + seconds_left
    return Meter(Settings(), deadline=deadline, pause=pause), pauses


async def test_an_operation_pauses_after_each_slice_of_computing(clock: Clock) -> None:
    meter, pauses = await meter_with(seconds_left=60)
    clock.now += SLICE_SECONDS
    await meter.pause()
    await meter.pause()
    assert len(pauses) == 1
    clock.now += SLICE_SECONDS
    await meter.pause()
    assert len(pauses) == 2


async def test_computing_may_continue_for_a_moment_after_the_deadline(clock: Clock) -> None:
    """What was read by then is still returned."""
    meter, pauses = await meter_with(seconds_left=-COMPUTING_SECONDS / 2)
    clock.now += SLICE_SECONDS
    await meter.pause()
    assert len(pauses) == 1


async def test_computing_ends_after_the_deadline(clock: Clock) -> None:
    meter, _ = await meter_with(seconds_left=-COMPUTING_SECONDS - 1)
    clock.now += SLICE_SECONDS
    with pytest.raises(OperationEndedError) as ended:
        await meter.pause()
    assert isinstance(ended.value.error, UpstreamTimeoutError)


async def test_fields_of_an_operation_share_its_slices() -> None:
    """Ten fields that compute at the same time take no more of an iteration than one."""
    pauses = 0

    async def pause() -> None:
        nonlocal pauses
        pauses += 1
        await asyncio.sleep(0)

    deadline = asyncio.get_running_loop().time() + 60
    meter = Meter(Settings(), deadline=deadline, pause=pause)

    async def compute() -> None:
        for _ in range(3):
            compute_for(SLICE_SECONDS)
            await meter.pause()

    await asyncio.gather(*(compute() for _ in range(10)))
    # Each of 30 computations fills a slice, and the other fields pause for it.
    assert pauses > 100
