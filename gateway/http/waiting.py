"""Guards of what a request waits for, at no cost for requests that do not wait."""

import types
from collections.abc import Callable, Coroutine, Generator
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

T = TypeVar("T")


async def guard_waiting(
    coroutine: Coroutine[Any, Any, T], guard: Callable[[], AbstractAsyncContextManager[object]]
) -> T:
    """Return the result of a coroutine, which waits inside of a context manager if it has to wait.

    Most requests are served without waiting. A timer or a task that could end a wait would cost
    them more than they do themselves. The context manager must not wait when it is entered.
    """
    try:
        awaited = coroutine.send(None)
    except StopIteration as completed:
        result: T = completed.value
        return result
    async with guard():
        return await _resume(coroutine, awaited)


@types.coroutine
def _resume(coroutine: Coroutine[Any, Any, T], awaited: Any) -> Generator[Any, Any, T]:
    """Return the result of a coroutine that waits for what it has `awaited` last."""
    while True:
        try:
            try:
                yield awaited
            except BaseException as error:  # noqa: BLE001  it belongs to the coroutine
                awaited = coroutine.throw(error)
            else:
                awaited = coroutine.send(None)  # an event loop sends nothing else
        except StopIteration as completed:
            result: T = completed.value
            return result
