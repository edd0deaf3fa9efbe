"""Clients that disconnect before the end of the response."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import Receive


class ClientDisconnectedError(Exception):
    """The client disconnected before the end of the response."""


@asynccontextmanager
async def cancel_on_disconnect(receive: Receive) -> AsyncIterator[None]:
    """Cancel the block when the client disconnects; raises ClientDisconnectedError.

    The request's body must have been read. Upstream calls that other requests wait for go on:
    single flight shields them.
    """
    task = asyncio.current_task()
    assert task is not None  # noqa: S101  a request is served in a task
    disconnected = False

    async def watch() -> None:
        nonlocal disconnected
        while (await receive())["type"] != "http.disconnect":
            pass
        disconnected = True
        task.cancel()

    watcher = asyncio.create_task(watch())
    try:
        yield
    except asyncio.CancelledError:
        if not disconnected or task.uncancel():
            raise
        raise ClientDisconnectedError from None
    finally:
        watcher.cancel()
