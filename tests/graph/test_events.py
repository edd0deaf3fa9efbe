"""The events of a subscription, which share the event loop with all other work."""

import asyncio
from collections.abc import Iterator
from typing import Any, cast

from gateway.cpu_scheduler import CpuScheduler
from gateway.graph.events import Event, EventStream
from gateway.watch.poll import Reading
from gateway.watch.watcher import Watch
from tests.watch.doubles import ADA

STEPS = 50


class OneReading:
    """A watch of something that does not change."""

    def __init__(self) -> None:
        self._readings = [Reading("state", 1, ADA, 0.0)]

    async def next(self) -> Reading[Any] | None:
        return self._readings.pop() if self._readings else None


def steps(reading: Reading[Any]) -> Iterator[Event | None]:
    for _ in range(STEPS):
        yield None
    yield Event("event", reading)


async def test_other_work_continues_while_the_changes_of_a_list_are_found() -> None:
    stream = EventStream(cast("Watch[Any]", OneReading()), steps)
    iterations = 0

    async def work() -> None:
        nonlocal iterations
        while True:
            iterations += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(work())
    try:
        event = await CpuScheduler().run(b"caller", stream.__anext__())
    finally:
        other.cancel()

    assert isinstance(event, Event)
    assert event.value == "event"
    assert iterations >= STEPS
    assert await anext(stream, None) is None
