"""A client that costs next to nothing: one request at a time on a kept connection."""

import asyncio
import re
import socket
import struct
from dataclasses import dataclass
from typing import cast

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
RETRY_AFTER = re.compile(rb"\r\nretry-after: *(\d+)", re.IGNORECASE)
HEAD_END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Answer:
    head: bytes
    body: bytes

    @property
    def status(self) -> int:
        return int(self.head[9:12])

    @property
    def retry_after(self) -> float:
        """The seconds in Retry-After, or 0."""
        found = RETRY_AFTER.search(self.head)
        return float(found[1]) if found else 0.0


class Connection(asyncio.Protocol):
    """One connection to a server, with one request at a time."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._missing: int | None = None
        self._answer: asyncio.Future[Answer] | None = None

    @classmethod
    async def to(cls, port: int) -> "Connection":
        """Connect to a port of this machine."""
        _, connection = await asyncio.get_running_loop().create_connection(cls, "127.0.0.1", port)
        return connection

    async def ask(self, request: bytes) -> bytes:
        """Send a whole request and return the body of its answer, which must be a 200."""
        answer = await self.exchange(request)
        assert answer.status == 200, f"{answer.head.decode()}: {answer.body[:500].decode()}"
        return answer.body

    async def exchange(self, request: bytes) -> Answer:
        """Send a whole request and return its answer."""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        self._transport.close()

    def write(self, data: bytes) -> None:
        """Send bytes that need not be a whole request."""
        self._transport.write(data)

    def abort(self) -> None:
        """Close the connection with a reset."""
        linger = struct.pack("ii", 1, 0)
        connection = self._transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._parts.append(data)
        if self._missing is None:
            read = b"".join(self._parts)
            end = read.find(HEAD_END)
            if end < 0:
                return
            length = LENGTH.search(read, 0, end)
            assert length is not None, "a response without a Content-Length"
            self._parts = [read]
            self._missing = end + len(HEAD_END) + int(length[1]) - len(read)
        else:
            self._missing -= len(data)
        if self._missing == 0:
            self._done()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionError("the server closed the connection"))

    def _done(self) -> None:
        head, _, body = b"".join(self._parts).partition(HEAD_END)
        self._parts, self._missing = [], None
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(Answer(head, body))


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


def post(
    path: str, body: bytes, headers: dict[str, str], *, accept: str = "application/json"
) -> bytes:
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: 127.0.0.1",
        "Content-Type: application/json",
        f"Accept: {accept}",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join(lines).encode() + HEAD_END + body
