"""A client who leaves: what is done for nobody is ended."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import Receive


class ClientGoneError(Exception):
    """Nobody waits for the answer any more."""


@asynccontextmanager
async def until_disconnect(receive: Receive) -> AsyncIterator[None]:
    """Cancel the work inside when the client closes the connection; raises ClientGoneError.

    The request's body must have been read. What others wait for too goes on: single flight
    shields it.
    """
    work = asyncio.current_task()
    assert work is not None  # noqa: S101  a request is served in a task
    gone = False

    async def watch() -> None:
        nonlocal gone
        while (await receive())["type"] != "http.disconnect":
            pass
        gone = True
        work.cancel()

    watcher = asyncio.create_task(watch())
    try:
        yield
    except asyncio.CancelledError:
        if not gone or work.uncancel():
            raise
        raise ClientGoneError from None
    finally:
        watcher.cancel()
