"""Turns by which callers share the CPU time of the event loop."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from heapq import nlargest
from inspect import CORO_CREATED, getcoroutinelocals, getcoroutinestate, iscoroutine
from operator import attrgetter
from typing import Any, TypeVar

T = TypeVar("T")

ITERATION_SECONDS = 0.0005
"""CPU time that an iteration of the event loop grants to all callers who wait for a turn, in equal
parts. It is short against a turn, so that other callers' tasks continue several times between two
turns of a busy caller."""

BURST_SECONDS = 0.001
"""CPU time that a caller may have in reserve."""

UNCONTENDED_SHARE = 0.5
"""A caller who computes for a smaller part of the time than this never waits for a turn."""

CALLERS_PER_ITERATION = 2
"""Waiting callers who get turns in an iteration of the event loop."""

TURNS_PER_CALLER = 8
"""Tasks of such a caller that are woken for a turn. They take it while the caller has time left."""

MAX_ACCOUNTS = 1000
"""Callers whose use of CPU time is known, some 300 bytes each."""


class NoTurnError(Exception):
    """A deadline has passed before a task had its turn."""


_account: ContextVar["_Account | None"] = ContextVar("CPU account of the task", default=None)


class CpuScheduler:
    """Shares the CPU time of the event loop between callers, who are known by keys.

    Tasks take turns before they compute. While a caller has time left, the caller's tasks take
    them at once. Otherwise they wait, in order, for iterations of the event loop that grant more,
    equally to all who wait. So what a caller's tasks cost delays the caller's own next turns, and
    others hardly wait.
    """

    def __init__(self, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self.clock = clock
        self._accounts: OrderedDict[bytes, _Account] = OrderedDict()
        self._waiting: dict[_Account, None] = {}
        self._iterates = False

    async def run(
        self, key: bytes, coroutine: Coroutine[Any, Any, T], *, deadline: float | None = None
    ) -> T:
        """Return the result of a coroutine, computed at a turn of `key` and on its account.

        With `account_for_tasks`, tasks that it starts are on the same account. Raises NoTurnError
        if it has not begun at the deadline, a time of the event loop's clock.
        """
        account = self._account_of(key)
        token = _account.set(account)
        accounted = _AccountedCoroutine(account, coroutine)
        try:
            if not account.has_turn():
                await account.wait_to_begin(deadline)
            result: T = await accounted
            return result
        finally:
            accounted.close()
            _account.reset(token)

    def _account_of(self, key: bytes) -> "_Account":
        account = self._accounts.get(key)
        if account is None:
            account = self._accounts[key] = _Account(self)
            if len(self._accounts) > MAX_ACCOUNTS:
                self._accounts.popitem(last=False)
        else:
            self._accounts.move_to_end(key)
        return account

    def add_waiting(self, account: "_Account") -> None:
        self._waiting[account] = None
        self._iterate()

    def remove_waiting(self, account: "_Account") -> None:
        """Grant no more to an account, none of whose tasks waits any longer."""
        self._waiting.pop(account, None)

    def _iterate(self) -> None:
        if self._waiting and not self._iterates:
            self._iterates = True
            asyncio.get_running_loop().call_soon(self._next_iteration)

    def _next_iteration(self) -> None:
        self._iterates = False
        if not self._waiting:
            return
        share = ITERATION_SECONDS / len(self._waiting)
        for account in self._waiting:
            # As `grant` does; calling it would take most of the time here.
            account.left = min(account.left + share, BURST_SECONDS)
        for account in nlargest(CALLERS_PER_ITERATION, self._waiting, key=attrgetter("left")):
            if account.left > 0:
                del self._waiting[account]
                if account.give_turns():
                    self._waiting[account] = None  # behind those with equal time
        self._iterate()


class _Account:
    """The CPU seconds that a caller has left, and the caller's tasks that wait for more."""

    __slots__ = ("_refilled_at", "_scheduler", "clock", "left", "waiting")

    def __init__(self, scheduler: CpuScheduler) -> None:
        self._scheduler = scheduler
        self.clock = clock = scheduler.clock
        self._refilled_at = clock()
        self.left = BURST_SECONDS
        self.waiting: OrderedDict[object, asyncio.Future[None]] = OrderedDict()
        """Task -> its turn, in their order."""

    def grant(self, seconds: float) -> None:
        self.left = min(self.left + seconds, BURST_SECONDS)

    def has_turn(self) -> bool:
        """Return whether the caller has time left, and no task of theirs waits for more."""
        now = self.clock()
        self.grant((now - self._refilled_at) * UNCONTENDED_SHARE)
        self._refilled_at = now
        return self.left > 0 and not self.waiting

    async def wait_to_begin(self, deadline: float | None) -> None:
        """Begin at a turn in a later iteration; raises NoTurnError at the deadline, if any."""
        try:
            async with asyncio.timeout_at(deadline):
                await self.wait_turn(begun=False)
        except TimeoutError:
            raise NoTurnError from None

    async def wait_turn(self, *, begun: bool) -> None:
        """Continue at a turn in a later iteration.

        What has `begun` goes first: it is in memory, which what waits to begin does not need yet.
        """
        loop, task = asyncio.get_running_loop(), object()
        try:
            while True:
                turn = self.waiting[task] = loop.create_future()
                if begun:
                    self.waiting.move_to_end(task, last=False)
                self._scheduler.add_waiting(self)
                await turn
                # Those before may have used up the time, or have gone on and wait again.
                if self.left > 0 and next(iter(self.waiting)) is task:
                    return
                begun = False
        finally:
            del self.waiting[task]
            if not self.waiting:
                self._scheduler.remove_waiting(self)

    def give_turns(self) -> bool:
        """Wake the first tasks that wait; return whether there are others."""
        for number, turn in enumerate(self.waiting.values()):
            if number == TURNS_PER_CALLER:
                return True
            if not turn.done():  # otherwise cancelled
                turn.set_result(None)
        return False


class _AccountedCoroutine(Coroutine[Any, Any, T]):
    """A coroutine whose steps are charged to an account.

    Not a coroutine function around the other: one that is cancelled before its first step would
    leave the other one behind, never awaited.
    """

    __slots__ = ("_account", "_coroutine")

    def __init__(self, account: _Account, coroutine: Coroutine[Any, Any, T]) -> None:
        self._account = account
        self._coroutine = coroutine

    def __next__(self) -> Any:
        account = self._account
        started = account.clock()
        try:
            return self._coroutine.send(None)  # an event loop sends nothing else
        finally:
            account.left -= account.clock() - started

    def send(self, _: Any) -> Any:
        return next(self)

    def throw(self, *error: Any) -> Any:
        account = self._account
        started = account.clock()
        close_arguments(self._coroutine)
        try:
            return self._coroutine.throw(*error)
        finally:
            # The error's traceback has this frame: the cycle would keep what the coroutine has in
            # memory until the next garbage collection.
            del error
            account.left -= account.clock() - started

    def close(self) -> None:
        close_arguments(self._coroutine)
        self._coroutine.close()

    def __await__(self) -> "_AccountedCoroutine[T]":
        return self

    def __getattr__(self, name: str) -> Any:
        # The state of a coroutine, such as `cr_running`, which anyio reads of tasks.
        return getattr(self._coroutine, name)

    def __iter__(self) -> "_AccountedCoroutine[T]":
        return self


def close_arguments(coroutine: Coroutine[Any, Any, object]) -> None:
    """Close what a coroutine that has not started would have awaited: its arguments.

    Call it before the coroutine ends, or Python warns that they were never awaited.
    """
    if iscoroutine(coroutine) and getcoroutinestate(coroutine) == CORO_CREATED:
        for argument in getcoroutinelocals(coroutine).values():
            if iscoroutine(argument):
                close_arguments(argument)
                argument.close()


async def take_turn() -> None:
    """Let other tasks of the current account continue first if it is their turn."""
    account = _account.get()
    if account is not None and not account.has_turn():
        await account.wait_turn(begun=True)


async def take_turn_to_begin(deadline: float | None = None) -> None:
    """Let other tasks of the current account continue first, and all those that have begun.

    Raises NoTurnError at the deadline, if any: a time of the event loop's clock.
    """
    account = _account.get()
    if account is not None and not account.has_turn():
        await account.wait_to_begin(deadline)


async def pause() -> None:
    """Give the event loop back, and continue at a later turn of the current account."""
    account = _account.get()
    await (asyncio.sleep(0) if account is None else account.wait_turn(begun=True))


@contextmanager
def account_for_tasks() -> Iterator[None]:
    """Charge what tasks compute to the account of the task that started them.

    On the running event loop, until the block ends.
    """
    loop = asyncio.get_running_loop()
    previous = loop.get_task_factory()
    loop.set_task_factory(_create_task)
    try:
        yield
    finally:
        loop.set_task_factory(previous)


def _create_task(
    loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any
) -> "asyncio.Task[Any]":
    context = options.get("context")
    account = _account.get() if context is None else context.get(_account)
    if account is not None:
        coroutine = _AccountedCoroutine(account, coroutine)
    return asyncio.Task(coroutine, loop=loop, **options)
