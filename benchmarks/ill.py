"""An upstream that does not do its part, in a process of its own.

    python -m benchmarks.ill MANNER

Prints its URL. Manners: `hang` (never answers), `drip` (a byte of the body now and then), `fail`
(each call is a 500), `reset` (each call ends the connection). Counts the calls.
"""

import asyncio
import socket
import struct
import sys
from collections.abc import Callable
from typing import cast

import uvloop

from benchmarks.canned import page, reply
from benchmarks.client import HEAD_END

DRIP_SECONDS = 0.1
BACKLOG = 1000

FAILED = (
    b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\n"
    b"x-amzn-ErrorType: InternalServerException\r\n"
    b'Content-Length: 18\r\n\r\n{"message":"oops"}'
)


def hang(transport: asyncio.Transport) -> None:
    """Say nothing."""


def drip(transport: asyncio.Transport) -> None:
    """Send a page's head, then its body byte by byte."""
    head, _, body = page(0, 1).partition(HEAD_END)
    transport.write(head + HEAD_END)
    _drop(transport, body, 0)


def _drop(transport: asyncio.Transport, body: bytes, place: int) -> None:
    if not transport.is_closing():
        transport.write(body[place : place + 1])
        asyncio.get_running_loop().call_later(DRIP_SECONDS, _drop, transport, body, place + 1)


def fail(transport: asyncio.Transport) -> None:
    """Answer that it is our fault."""
    transport.write(FAILED)


def reset(transport: asyncio.Transport) -> None:
    """End the connection as a crash would."""
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


MANNERS: dict[str, Callable[[asyncio.Transport], None]] = {
    each.__name__: each for each in (hang, drip, fail, reset)
}


class Ill(asyncio.Protocol):
    """Meets each request head in one manner; counts them."""

    calls = 0

    def __init__(self, manner: Callable[[asyncio.Transport], None]) -> None:
        self.manner = manner
        self.read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to write."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Meet each whole head."""
        self.read += data
        while HEAD_END in self.read:
            head, self.read = self.read.split(HEAD_END, 1)
            if head.startswith(b"GET /_calls "):
                self.transport.write(reply(Ill.calls))
            else:
                Ill.calls += 1
                self.manner(self.transport)


async def main() -> None:
    """Serve until ended."""
    manner = MANNERS[sys.argv[1]]
    server = await asyncio.get_running_loop().create_server(
        lambda: Ill(manner), "127.0.0.1", 0, backlog=BACKLOG
    )
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
