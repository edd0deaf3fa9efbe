"""An HTTP proxy whose tunnels all lead to a sandbox, or which refuses them."""

import asyncio
import contextlib
import socket
from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import dataclass
from http import HTTPStatus

Address = tuple[str, int]

_CHUNK_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class TunnelProxy:
    """Answers CONNECT requests for any name by a tunnel to one address."""

    to: Address
    refuse: int | None = None
    """The status of the response to each request instead."""
    login: str | None = None
    """`user:password` that clients must send."""

    async def serve(self, listener: socket.socket) -> None:
        """Serve until cancelled, which ends all tunnels."""
        async with asyncio.TaskGroup() as connections:

            def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                connections.create_task(self._handle(reader, writer))

            server = await asyncio.start_server(accept, sock=listener)
            try:
                # `serve_forever` would wait for clients to close their tunnels.
                await asyncio.Event().wait()
            finally:
                server.close()

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with closing(writer):
            head = await reader.readuntil(b"\r\n\r\n")
            status = self._refusal(head)
            if status is None:
                await tunnel(reader, writer, self.to)
            else:
                phrase = HTTPStatus(status).phrase
                writer.write(f"HTTP/1.1 {status} {phrase}\r\nContent-Length: 0\r\n\r\n".encode())
                await writer.drain()

    def _refusal(self, head: bytes) -> int | None:
        request_line, *headers = head.decode("latin-1").split("\r\n")
        if not request_line.startswith("CONNECT "):
            return HTTPStatus.METHOD_NOT_ALLOWED
        if self.login is not None and not _sends_login(headers, self.login):
            return HTTPStatus.PROXY_AUTHENTICATION_REQUIRED
        return self.refuse


def _sends_login(headers: list[str], login: str) -> bool:
    expected = f"Basic {b64encode(login.encode()).decode()}"
    pairs = (header.partition(":") for header in headers)
    return any(
        name.lower() == "proxy-authorization" and value.strip() == expected
        for name, _, value in pairs
    )


async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, to: Address) -> None:
    """Accept a CONNECT request, and copy bytes in both directions until one side closes."""
    target_reader, target_writer = await asyncio.open_connection(*to)
    async with closing(target_writer):
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(_copy(reader, target_writer), _copy(target_reader, writer))


@contextlib.asynccontextmanager
async def closing(writer: asyncio.StreamWriter) -> AsyncIterator[None]:
    """Close the connection at the end. That its other side closes it first is no error."""
    try:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            yield
    finally:
        writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    async with closing(writer):
        while data := await reader.read(_CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
