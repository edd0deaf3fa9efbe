"""asyncio primitives that several parts share: shared, bounded and fair work."""

import asyncio
import functools
import math
import time
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Hashable,
    Sequence,
)
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar

from graphql.pyutils import gather_with_cancel

from gateway.errors import drop_tracebacks

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


class SingleFlight(Generic[T]):
    """Merges concurrent calls under one key into one.

    The call runs in a task of its own, cancelled only when its last waiter is cancelled. Its
    exception reaches every waiter.
    """

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._tasks: dict[object, tuple[asyncio.Task[T], float]] = {}
        self._waiters: dict[asyncio.Task[T], int] = {}

    async def run(
        self, key: object, call: Callable[[], Coroutine[Any, Any, T]], *, since: float = -math.inf
    ) -> T:
        """Return the result of the current call for `key`, or of a new one.

        A call that began before `since` is replaced by a new one: its waiters still get its
        result, and later ones join the new call.

        `call` is invoked at once and in the context of this waiter. An exception that it raises
        itself, not its coroutine, reaches no other waiter.
        """
        task, began_at = self._tasks.get(key, (None, 0.0))
        if task is None or began_at < since:
            began_at, task = self._clock(), asyncio.create_task(call())
            self._tasks[key] = task, began_at
            self._waiters[task] = 0
            task.add_done_callback(functools.partial(self._finish, key))
        self._waiters[task] += 1
        try:
            return await asyncio.shield(task)
        finally:
            self._leave(key, task)

    def is_current(self, key: object) -> bool:
        """Return, inside a call, whether it is still the one that others join under `key`."""
        return self._current(key) is asyncio.current_task()

    def _current(self, key: object) -> "asyncio.Task[T] | None":
        return self._tasks.get(key, (None,))[0]

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
        if self._current(key) is task:
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
                drop_tracebacks(error)
                results[index] = error

    await run_together([work() for _ in range(min(concurrency, len(calls)))])
    return results


async def run_together(coroutines: Sequence[Coroutine[Any, Any, object]]) -> None:
    """Run coroutines at the same time, but one alone without a task, which would cost more than it.

    The first exception is raised, and cancels the others.
    """
    if len(coroutines) == 1:
        await coroutines[0]
    else:
        await gather_with_cancel(*coroutines)


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
