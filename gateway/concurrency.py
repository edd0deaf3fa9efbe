"""asyncio primitives that several parts share: single flight, keyed semaphore, fair scheduler."""

import asyncio
import functools
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Hashable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar

from graphql.pyutils import gather_with_cancel

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


class SingleFlight(Generic[T]):
    """Merges concurrent calls under one key into one.

    The call runs in a task of its own, cancelled only when its last waiter is cancelled. Its
    exception reaches every waiter.
    """

    def __init__(self) -> None:
        self._tasks: dict[object, asyncio.Task[T]] = {}
        self._waiters: dict[asyncio.Task[T], int] = {}

    async def run(
        self, key: object, call: Callable[[], Coroutine[Any, Any, T]], *, replace: bool = False
    ) -> T:
        """Return the result of the current call for `key`, or of a new one.

        With `replace` a new one starts in any case: the waiters of the current call still get its
        result, and later ones join the new call.

        `call` is invoked at once and in the context of this waiter. An exception that it raises
        itself, not its coroutine, reaches no other waiter.
        """
        task = None if replace else self._tasks.get(key)
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
        """Return, inside a call, whether it is still the one that others join under `key`."""
        return self._tasks.get(key) is asyncio.current_task()

    def is_running(self, key: object) -> bool:
        return key in self._tasks

    def _leave(self, key: object, task: "asyncio.Task[T]") -> None:
        if task not in self._waiters:
            return
        self._waiters[task] -= 1
        if self._waiters[task] == 0:
            # First, because nothing may join a call that is being cancelled.
            self._finish(key, task)
            task.cancel()

    def _finish(self, key: object, task: "asyncio.Task[T]") -> None:
        self._waiters.pop(task, None)
        if self._tasks.get(key) is task:
            del self._tasks[key]
        if task.done() and not task.cancelled():
            task.exception()  # marks it as retrieved, even if no waiter is left


async def settle(
    calls: Sequence[Callable[[], Awaitable[T]]],
    *,
    concurrency: int,
    errors: type[Exception] | tuple[type[Exception], ...],
) -> list[T | Exception]:
    """Run the calls, `concurrency` at a time; return the result or the error of each, in order.

    Another exception than one of `errors` cancels all, and is raised.
    """
    results: list[Any] = [None] * len(calls)
    pending = iter(range(len(calls)))

    async def work() -> None:
        for index in pending:
            try:
                results[index] = await calls[index]()
            except errors as error:
                results[index] = error

    await gather_with_cancel(*(work() for _ in range(min(concurrency, len(calls)))))
    return results


class KeyedSemaphore(Generic[K]):
    """A semaphore per key, kept only while it is held or waited for."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._semaphores: dict[K, asyncio.Semaphore] = {}
        self._users: dict[K, int] = {}

    @asynccontextmanager
    async def acquire(self, key: K) -> AsyncIterator[None]:
        semaphore = self._semaphores.get(key)
        if semaphore is None:
            semaphore = self._semaphores[key] = asyncio.Semaphore(self._limit)
        self._users[key] = self._users.get(key, 0) + 1
        try:
            async with semaphore:
                yield
        finally:
            self._users[key] -= 1
            if not self._users[key]:
                del self._users[key], self._semaphores[key]


class FairScheduler:
    """Lets `per_iteration` tasks of each key continue per iteration of the event loop, in order.

    Otherwise one iteration would continue all tasks of a busy caller, and everything else would
    wait for them. A task waits only if others of its key have used up the iteration.
    """

    def __init__(self, per_iteration: int = 1) -> None:
        self._per_iteration = per_iteration
        self._queues: dict[bytes, _Queue] = {}

    async def wait_turn(self, key: bytes) -> None:
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = _Queue(self._per_iteration)
            asyncio.get_running_loop().call_soon(self._next_iteration, key)
        if queue.left:
            queue.left -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.waiting.append(turn)
        await turn

    def _next_iteration(self, key: bytes) -> None:
        queue = self._queues[key]
        queue.left = self._per_iteration
        while queue.waiting and queue.left:
            turn = queue.waiting.popleft()
            if not turn.done():  # otherwise cancelled
                turn.set_result(None)
                queue.left -= 1
        if queue.left == self._per_iteration:
            del self._queues[key]
        else:
            asyncio.get_running_loop().call_soon(self._next_iteration, key)


class _Queue:
    """The waiters of a key, and how many more may continue in this iteration."""

    __slots__ = ("left", "waiting")

    def __init__(self, left: int) -> None:
        self.left = left
        self.waiting: deque[asyncio.Future[None]] = deque()
