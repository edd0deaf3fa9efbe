"""A watch on the event loop: by how much it is late, and how many tasks it has."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.telemetry.metrics import LOOP_LAG_SECONDS, TASKS

EVERY_SECONDS = 0.5


class LoopWatch:
    """Looks at the running loop twice a second."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._begin()

    def stop(self) -> None:
        """Look no more."""
        self._timer.cancel()

    def _begin(self) -> None:
        self._due = self._loop.time() + EVERY_SECONDS
        self._timer = self._loop.call_at(self._due, self._look)

    def _look(self) -> None:
        LOOP_LAG_SECONDS.observe(max(0.0, self._loop.time() - self._due))
        TASKS.set(len(asyncio.all_tasks(self._loop)))
        self._begin()


@contextmanager
def watched_loop() -> Iterator[None]:
    """Watch the running loop inside."""
    watch = LoopWatch()
    try:
        yield
    finally:
        watch.stop()
