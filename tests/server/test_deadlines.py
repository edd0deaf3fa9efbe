"""Exact deadlines of a connection, on a fake event loop."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
from uvicorn.server import ServerState

from gateway.server.protocol import (
    LINGER_BYTES,
    LINGER_SECONDS,
    READ_SECONDS,
    HardenedProtocol,
)

KEEP_ALIVE_SECONDS = 75
GET = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n"


@dataclass(eq=False)
class Timer:
    at: float
    callback: Callable[[], None]

    def cancel(self) -> None:
        self.callback = lambda: None


@dataclass(eq=False)
class FakeLoop:
    """An event loop with a manual clock, which runs no tasks."""

    now: float = 1000.0
    timers: list[Timer] = field(default_factory=list)

    def time(self) -> float:
        return self.now

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        self.timers.append(Timer(self.now + seconds, callback))
        return self.timers[-1]

    def create_task(self, coroutine: Coroutine[Any, Any, None]) -> Any:
        coroutine.close()
        return self

    def add_done_callback(self, _: Any) -> None:
        pass

    def advance(self, seconds: float) -> None:
        until = self.now + seconds
        while due := [timer for timer in self.timers if timer.at <= until]:
            timer = min(due, key=lambda each: each.at)
            self.timers.remove(timer)
            self.now = timer.at
            timer.callback()
        self.now = until


class FakeTransport:
    def __init__(self) -> None:
        self.written = b""
        self.half_closed = False
        self.closed = False
        self.paused = False

    def get_extra_info(self, _: str) -> None:
        pass

    def write(self, data: bytes) -> None:
        self.written += data

    def set_write_buffer_limits(self, high: int) -> None:
        pass

    def write_eof(self) -> None:
        self.half_closed = True

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


async def unused_app(scope: Scope, receive: Receive, send: Send) -> None:
    raise NotImplementedError


class Connection:
    def __init__(self) -> None:
        config = Config(unused_app, ws="none", log_config=None)
        config.timeout_keep_alive = KEEP_ALIVE_SECONDS
        self.loop, self.transport = FakeLoop(), FakeTransport()
        self.protocol = HardenedProtocol(config, ServerState(), {}, _loop=self.loop)
        self.protocol.connection_made(self.transport)  # type: ignore[arg-type]

    def after(self, seconds: float, *, receive: bytes = b"") -> bytes:
        """Advance the clock, receive bytes, and return everything written so far."""
        self.loop.advance(seconds)
        if receive:
            self.protocol.data_received(receive)
        return self.transport.written

    async def respond(self, cycle: RequestResponseCycle | None = None) -> None:
        cycle = cycle or self.protocol.cycle
        headers = [(b"content-length", b"0")]
        await cycle.send({"type": "http.response.start", "status": 200, "headers": headers})
        await cycle.send({"type": "http.response.body", "body": b"", "more_body": False})


@pytest.fixture
def connection() -> Connection:
    return Connection()


def test_the_first_head_is_due_from_the_connection_on(connection: Connection) -> None:
    connection.after(READ_SECONDS - 1, receive=GET[:-2])
    assert connection.after(0.9) == b""
    assert connection.after(0.1).startswith(b"HTTP/1.1 408 ")
    assert connection.transport.half_closed


def test_a_client_that_does_not_close_is_disconnected(connection: Connection) -> None:
    """The gateway has closed its side after the response, and reads the rest for a while."""
    connection.after(0, receive=GET[:-2])
    connection.after(READ_SECONDS)
    connection.after(LINGER_SECONDS - 0.1, receive=GET)
    assert not connection.transport.is_closing()
    connection.after(0.1)
    assert connection.transport.is_closing()


def test_a_client_that_continues_to_send_is_disconnected(connection: Connection) -> None:
    connection.after(0, receive=b"nonsense")
    connection.after(0, receive=bytes(LINGER_BYTES))
    assert not connection.transport.is_closing()
    connection.after(0, receive=b"x")
    assert connection.transport.is_closing()


def test_a_request_is_due_from_its_first_byte_on(connection: Connection) -> None:
    """The deadline includes its body, and not the time that the connection was idle before."""
    connection.after(READ_SECONDS - 1, receive=POST)
    assert connection.after(READ_SECONDS - 0.1) == b""
    assert connection.after(0.1).startswith(b"HTTP/1.1 408 ")


async def test_the_next_request_has_a_deadline_of_its_own(connection: Connection) -> None:
    connection.after(0, receive=POST)
    connection.after(1, receive=b"{}")
    await connection.respond()
    connection.after(6, receive=POST)
    assert b"408" not in connection.after(READ_SECONDS - 0.1)
    assert b"HTTP/1.1 408 " in connection.after(0.1)


async def test_between_requests_only_the_keep_alive_timeout_applies(connection: Connection) -> None:
    connection.after(0, receive=GET)
    await connection.respond()
    connection.after(KEEP_ALIVE_SECONDS - 0.1)
    assert not connection.transport.is_closing()
    connection.after(0.1)
    assert connection.transport.is_closing()
    assert b"408" not in connection.transport.written


async def test_an_empty_line_between_requests_is_ignored(connection: Connection) -> None:
    """It keeps no connection open, and gets no response."""
    connection.after(0, receive=GET)
    await connection.respond()
    connection.after(1, receive=b"\r\n")
    connection.after(READ_SECONDS)
    assert connection.transport.is_closing()
    assert b"408" not in connection.transport.written


async def test_the_keep_alive_timeout_does_not_interrupt_a_request(connection: Connection) -> None:
    """The request may start before the response to the one before it."""
    connection.protocol.timeout_keep_alive = 5
    connection.after(0, receive=GET + POST[:-2])
    await connection.respond()
    connection.after(6)
    assert not connection.transport.is_closing()
    assert b"HTTP/1.1 408 " in connection.after(READ_SECONDS)


def test_paused_reading_extends_the_deadline(connection: Connection) -> None:
    connection.after(0, receive=POST)
    connection.protocol.flow.pause_reading()
    assert connection.after(3 * READ_SECONDS) == b""
    connection.protocol.flow.resume_reading()
    assert connection.after(READ_SECONDS).startswith(b"HTTP/1.1 408 ")


async def test_a_rejected_request_gets_no_second_response(connection: Connection) -> None:
    """The application receives a disconnect, and what it sends is dropped."""
    connection.after(0, receive=POST)
    waiting = asyncio.ensure_future(connection.protocol.cycle.receive())
    await asyncio.sleep(0)  # it starts to wait
    rejected = connection.after(READ_SECONDS)
    assert await asyncio.wait_for(waiting, READ_SECONDS) == {"type": "http.disconnect"}
    await connection.respond()
    assert connection.transport.written == rejected
    assert connection.after(1, receive=GET) == rejected


async def test_earlier_requests_get_responses_before_the_close(
    connection: Connection,
) -> None:
    """Requests that wait behind the malformed one, or arrive later, are not served."""
    connection.after(0, receive=GET)
    first = connection.protocol.cycle
    connection.after(0, receive=GET + b"nonsense\r\n\r\n")
    connection.after(0, receive=GET)
    assert connection.transport.written == b""
    await connection.respond(first)
    assert connection.transport.written.count(b"HTTP/1.1 200 ") == 1
    assert b"connection: close" in connection.transport.written
    assert connection.transport.is_closing()
    assert not connection.protocol.pipeline


def test_an_offer_to_upgrade_does_not_extend_the_deadline(connection: Connection) -> None:
    """Although its head is parsed twice."""
    connection.after(0, receive=POST[:-2] + b"Connection: Upgrade\r\nUpgrade: h2c\r\n")
    assert connection.after(READ_SECONDS - 1, receive=b"\r\n") == b""
    assert connection.after(1).startswith(b"HTTP/1.1 408 ")
