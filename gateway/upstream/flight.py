"""Single flight: whoever asks what is being asked already waits for that answer."""

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Concurrent calls under one key become one call in this process.

    The call runs in a task of its own, so a waiter who leaves takes nobody's answer away;
    when the last one has left, it is cancelled. Its exception reaches every waiter.
    """

    def __init__(self) -> None:
        self._tasks: dict[object, asyncio.Task[T]] = {}
        self._waiters: dict[asyncio.Task[T], int] = {}

    async def join(
        self, key: object, call: Callable[[], Coroutine[Any, Any, T]], *, anew: bool = False
    ) -> T:
        """Return the answer of the call under way for `key`, or of a new one.

        `anew` makes a new one in any case, which takes the place of the other: who has joined
        that still gets its answer, who comes from now on joins this.

        `call` runs up to its coroutine here, in the context and at the cost of whoever starts
        it: what it raises on the way there reaches nobody else.
        """
        task = None if anew else self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = asyncio.create_task(call())
            self._waiters[task] = 0
            task.add_done_callback(functools.partial(self._land, key))
        self._waiters[task] += 1
        try:
            return await asyncio.shield(task)
        finally:
            self._leave(key, task)

    def leads(self, key: object) -> bool:
        """Say, inside a call, whether it is still the one that others join under `key`."""
        return self._tasks.get(key) is asyncio.current_task()

    def busy(self, key: object) -> bool:
        """Say whether a call for `key` is under way."""
        return key in self._tasks

    def _leave(self, key: object, task: "asyncio.Task[T]") -> None:
        if task not in self._waiters:
            return
        self._waiters[task] -= 1
        if self._waiters[task] == 0:
            # Off the table at once: who comes now must not join a call that is being cancelled.
            self._land(key, task)
            task.cancel()

    def _land(self, key: object, task: "asyncio.Task[T]") -> None:
        self._waiters.pop(task, None)
        if self._tasks.get(key) is task:
            del self._tasks[key]
        if task.done() and not task.cancelled():
            task.exception()  # retrieved, also when no waiter is left to see it
