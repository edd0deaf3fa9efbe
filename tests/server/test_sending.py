"""A response is complete when its client has taken it, and a client that takes too long is left."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, cast

import pytest
from starlette.types import Message, Receive, Scope, Send

from gateway.server.protocol import HardenedProtocol
from tests.http.wire import (
    PATIENCE_SECONDS,
    ImpatientProtocol,
    connect,
    parse_responses,
    read_to_end,
)
from tests.serving import serve

SIZE = 8 * 1024 * 1024
"""More than the socket buffers of both sides hold."""

LARGE = b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
KEPT = b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n"
SMALL = b"GET /small HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


class Application:
    """Serves /large and /small; `done` is set when the first /large has been sent, or was left."""

    def __init__(self, *, parts: int = 1) -> None:
        self.done = threading.Event()
        self.disconnected = False
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        size = SIZE if scope["path"] == "/large" else 0
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-length", b"%d" % size)],
            }
        )
        watching = asyncio.ensure_future(_disconnect(receive))
        body = bytes(size // self._parts)
        for part in range(self._parts):
            await send(
                {
                    "type": "http.response.body",
                    "body": body,
                    "more_body": part + 1 < self._parts,
                }
            )
        if size:
            self.disconnected = watching.done()
            self.done.set()
        watching.cancel()


async def _disconnect(receive: Receive) -> Message:
    while (message := await receive())["type"] != "http.disconnect":
        pass
    return message


@contextmanager
def pending(application: Application, request: bytes = LARGE) -> Iterator[socket.socket]:
    """Give a connection whose client has taken only the head of a response."""
    with serve(application, http=HardenedProtocol) as url, connect(url) as connection:
        connection.sendall(request)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += connection.recv(1)
        with connect(url) as other:
            other.sendall(SMALL)
            assert read_to_end(other).startswith(b"HTTP/1.1 200 ")  # the server is idle by now
        yield connection


@pytest.mark.parametrize("parts", [1, 4])
@pytest.mark.parametrize("request_bytes", [LARGE, KEPT], ids=["close", "keep-alive"])
def test_a_response_is_pending_until_its_last_byte_is_taken(
    parts: int, request_bytes: bytes
) -> None:
    """By itself, uvicorn returns as soon as the bytes are in its own buffer."""
    application = Application(parts=parts)
    with pending(application, request_bytes) as connection:
        assert not application.done.is_set()
        with connection.makefile("rb") as stream:
            assert len(stream.read(SIZE)) == SIZE
        assert application.done.wait(PATIENCE_SECONDS)
    assert not application.disconnected


@pytest.mark.parametrize("request_bytes", [LARGE, KEPT + LARGE], ids=["one", "pipelined"])
def test_a_disconnect_ends_a_pending_response(request_bytes: bytes) -> None:
    """The application is told, also if another request waits behind the one being served."""
    application = Application()
    with pending(application, request_bytes) as connection:
        connection.close()
        assert application.done.wait(PATIENCE_SECONDS)
    assert application.disconnected


def test_pipelined_large_responses_arrive_in_order() -> None:
    application = Application()
    with pending(application, KEPT + SMALL) as connection:
        received = read_to_end(connection)
    body, following = received[:SIZE], received[SIZE:]
    assert len(body) == SIZE
    (response,) = parse_responses(following)
    assert response.status == 200


class CountingTransport:
    """Counts the writes that end in a system call each."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self.writes = 0

    def write(self, data: bytes) -> None:
        self.writes += bool(data)
        self._transport.write(data)

    def writelines(self, parts: list[bytes]) -> None:
        self.writes += 1
        self._transport.writelines(parts)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class CountingProtocol(HardenedProtocol):
    counted: ClassVar[list[CountingTransport]] = []

    def connection_made(self, transport: Any) -> None:
        self.counted.append(CountingTransport(transport))
        super().connection_made(cast("asyncio.Transport", self.counted[-1]))


def test_the_head_is_sent_with_the_first_part_of_the_body() -> None:
    application = Application(parts=4)
    with serve(application, http=CountingProtocol) as url, connect(url) as connection:
        connection.sendall(KEPT + SMALL)
        received = read_to_end(connection)

    assert received.count(b"HTTP/1.1 200 ") == 2
    assert CountingProtocol.counted[-1].writes == 4 + 1


def test_the_response_to_a_head_request_has_no_body() -> None:
    with serve(Application(), http=HardenedProtocol) as url, connect(url) as connection:
        connection.sendall(LARGE.replace(b"GET", b"HEAD"))
        received = read_to_end(connection)
    assert f"content-length: {SIZE}\r\n".encode() in received
    assert received.endswith(b"\r\n\r\n")


def test_a_client_that_takes_little_is_disconnected() -> None:
    """It keeps reading, but too slowly."""
    application = Application()
    taken = 0
    with serve(application, http=ImpatientProtocol) as url, connect(url) as connection:
        connection.sendall(LARGE)
        with contextlib.suppress(ConnectionError):
            while not application.done.wait(0.01):
                taken += len(connection.recv(10_000))
        assert application.done.wait(PATIENCE_SECONDS)
    assert application.disconnected
    assert taken < SIZE


class TwoConnectionsProtocol(HardenedProtocol):
    max_connections = 2


@pytest.mark.parametrize("more", [b"", KEPT, KEPT[:-2]])
def test_a_client_that_does_not_take_its_response_gives_way(more: bytes) -> None:
    """Otherwise a few could keep all others from connecting, such as health checks."""
    with (
        serve(Application(), http=TwoConnectionsProtocol) as url,
        connect(url) as first,
        connect(url) as second,
    ):
        for connection in (first, second):
            connection.sendall(KEPT)
            connection.recv(1)
            connection.sendall(more)
        for _ in range(3):
            with connect(url) as another:
                another.sendall(SMALL)
                (response,) = parse_responses(read_to_end(another))
                assert response.status == 200
        # Only one had to.
        assert len(read_exactly(second, SIZE)) == SIZE
        assert len(read_to_end(first)) < SIZE


def read_exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (part := connection.recv(size - len(data))):
        data += part
    return data
