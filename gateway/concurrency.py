"""asyncio primitives that several parts share: single flight, keyed semaphores, fair turns."""

import asyncio
import functools
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Hashable
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


class SingleFlight(Generic[T]):
    """Concurrent calls under one key become one call in this process.

    The call runs in a task of its own, so a waiter who leaves takes nobody's answer away;
    when the last one has left, it is cancelled. Its exception reaches every waiter.
    """

    def __init__(self) -> None:
        self._tasks: dict[object, asyncio.Task[T]] = {}
        self._waiters: dict[asyncio.Task[T], int] = {}

    async def run(
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
            task.add_done_callback(functools.partial(self._finish, key))
        self._waiters[task] += 1
        try:
            return await asyncio.shield(task)
        finally:
            self._leave(key, task)

    def is_current(self, key: object) -> bool:
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
            self._finish(key, task)
            task.cancel()

    def _finish(self, key: object, task: "asyncio.Task[T]") -> None:
        self._waiters.pop(task, None)
        if self._tasks.get(key) is task:
            del self._tasks[key]
        if task.done() and not task.cancelled():
            task.exception()  # retrieved, also when no waiter is left to see it


class KeyedSemaphore(Generic[K]):
    """Lets `number` in at once under each key; who comes then waits, in order.

    A key is known for as long as somebody is in, or waits.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._doors: dict[K, asyncio.Semaphore] = {}
        self._present: dict[K, int] = {}

    @asynccontextmanager
    async def one_of(self, key: K) -> AsyncIterator[None]:
        """Wait for a slot, and hold it."""
        door = self._doors.get(key)
        if door is None:
            door = self._doors[key] = asyncio.Semaphore(self._number)
        self._present[key] = self._present.get(key, 0) + 1
        try:
            async with door:
                yield
        finally:
            self._present[key] -= 1
            if not self._present[key]:
                del self._present[key], self._doors[key]


class FairScheduler:
    """Lets so many begin in a round of the event loop under each key; the others follow, in order.

    Without it a round has as many requests of one kind in it as there are connections, and
    everybody else's next step comes after all of these. It takes no time where nobody waits.
    """

    def __init__(self, number: int = 1) -> None:
        self._number = number
        self._lines: dict[bytes, _Queue] = {}

    async def take(self, key: bytes) -> None:
        """Return when it is one's turn."""
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = _Queue(self._number)
            asyncio.get_running_loop().call_soon(self._next_round, key)
        if line.left:
            line.left -= 1
            return
        called: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line.waiting.append(called)
        await called

    def _next_round(self, key: bytes) -> None:
        line = self._lines[key]
        line.left = self._number
        while line.waiting and line.left:
            called = line.waiting.popleft()
            if not called.done():  # else it has left
                called.set_result(None)
                line.left -= 1
        if line.left == self._number:
            del self._lines[key]
        else:
            asyncio.get_running_loop().call_soon(self._next_round, key)


class _Queue:
    """Those who wait under a key, and how many may still begin in this round."""

    __slots__ = ("left", "waiting")

    def __init__(self, left: int) -> None:
        self.left = left
        self.waiting: deque[asyncio.Future[None]] = deque()
