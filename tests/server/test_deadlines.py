"""When exactly a connection ends: on a clock that the tests turn."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
from uvicorn.server import ServerState

from gateway.server.protocol import READ_SECONDS, HardenedProtocol

KEEP_ALIVE_SECONDS = 75
GET = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n"


@dataclass(eq=False)
class Timer:
    """Something to be done later."""

    at: float
    act: Callable[[], None]

    def cancel(self) -> None:
        """Do nothing then."""
        self.act = lambda: None


@dataclass(eq=False)
class Clock:
    """An event loop whose time is turned by hand, and in which no request is worked on."""

    now: float = 1000.0
    timers: list[Timer] = field(default_factory=list)

    def time(self) -> float:
        """Tell the time."""
        return self.now

    def call_later(self, seconds: float, act: Callable[[], None]) -> Timer:
        """Set a timer."""
        self.timers.append(Timer(self.now + seconds, act))
        return self.timers[-1]

    def create_task(self, work: Coroutine[Any, Any, None]) -> Any:
        """Leave the work undone."""
        work.close()
        return self

    def add_done_callback(self, _: Any) -> None:
        """Never call it."""

    def turn(self, seconds: float) -> None:
        """Let time pass."""
        until = self.now + seconds
        while due := [timer for timer in self.timers if timer.at <= until]:
            timer = min(due, key=lambda each: each.at)
            self.timers.remove(timer)
            self.now = timer.at
            timer.act()
        self.now = until


class Line:
    """A transport that remembers."""

    def __init__(self) -> None:
        self.written = b""
        self.closed = False
        self.paused = False

    def get_extra_info(self, _: str) -> None:
        """Know nothing of the client."""

    def write(self, data: bytes) -> None:
        """Take a part of an answer."""
        self.written += data

    def close(self) -> None:
        """End."""
        self.closed = True

    def is_closing(self) -> bool:
        """Whether it has ended."""
        return self.closed

    def pause_reading(self) -> None:
        """Read no more for now."""
        self.paused = True

    def resume_reading(self) -> None:
        """Read on."""
        self.paused = False


async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """Never run."""


class Connection:
    """A connection under test."""

    def __init__(self) -> None:
        config = Config(nothing, ws="none", log_config=None)
        config.timeout_keep_alive = KEEP_ALIVE_SECONDS
        self.clock, self.line = Clock(), Line()
        self.protocol = HardenedProtocol(config, ServerState(), {}, _loop=self.clock)
        self.protocol.connection_made(self.line)  # type: ignore[arg-type]

    def after(self, seconds: float, *, comes: bytes = b"") -> bytes:
        """Let time pass, then bytes come; tell what has been answered so far."""
        self.clock.turn(seconds)
        if comes:
            self.protocol.data_received(comes)
        return self.line.written

    async def answer(self, cycle: RequestResponseCycle | None = None) -> None:
        """Do what an application does."""
        cycle = cycle or self.protocol.cycle
        headers = [(b"content-length", b"0")]
        await cycle.send({"type": "http.response.start", "status": 200, "headers": headers})
        await cycle.send({"type": "http.response.body", "body": b"", "more_body": False})


@pytest.fixture
def connection() -> Connection:
    """Open one."""
    return Connection()


def test_the_first_head_has_its_time_from_the_connection_on(connection: Connection) -> None:
    """Whoever connects and waits has less of it left."""
    connection.after(READ_SECONDS - 1, comes=GET[:-2])
    assert connection.after(0.9) == b""
    assert connection.after(0.1).startswith(b"HTTP/1.1 408 ")
    assert connection.line.is_closing()


def test_a_request_has_its_time_from_its_first_byte_on(connection: Connection) -> None:
    """Its body too, however late in the connection it began."""
    connection.after(READ_SECONDS - 1, comes=POST)
    assert connection.after(READ_SECONDS - 0.1) == b""
    assert connection.after(0.1).startswith(b"HTTP/1.1 408 ")


async def test_so_has_the_next_one(connection: Connection) -> None:
    """A timer that was set for the one before does not count."""
    connection.after(0, comes=POST)
    connection.after(1, comes=b"{}")
    await connection.answer()
    connection.after(6, comes=POST)
    assert b"408" not in connection.after(READ_SECONDS - 0.1)
    assert b"HTTP/1.1 408 " in connection.after(0.1)


async def test_between_requests_the_keep_alive_timeout_counts(connection: Connection) -> None:
    """And that alone."""
    connection.after(0, comes=GET)
    await connection.answer()
    connection.after(KEEP_ALIVE_SECONDS - 0.1)
    assert not connection.line.is_closing()
    connection.after(0.1)
    assert connection.line.is_closing()
    assert b"408" not in connection.line.written


async def test_a_line_end_between_requests_is_none(connection: Connection) -> None:
    """It keeps no connection open, and is not answered."""
    connection.after(0, comes=GET)
    await connection.answer()
    connection.after(1, comes=b"\r\n")
    connection.after(READ_SECONDS)
    assert connection.line.is_closing()
    assert b"408" not in connection.line.written


async def test_the_keep_alive_timeout_does_not_end_a_request(connection: Connection) -> None:
    """One that began before the answer to the one before it."""
    connection.protocol.timeout_keep_alive = 5
    connection.after(0, comes=GET + POST[:-2])
    await connection.answer()
    connection.after(6)
    assert not connection.line.is_closing()
    assert b"HTTP/1.1 408 " in connection.after(READ_SECONDS)


def test_it_is_not_the_client_who_is_slow_while_we_do_not_read(connection: Connection) -> None:
    """Its time begins anew when we go on."""
    connection.after(0, comes=POST)
    connection.protocol.flow.pause_reading()
    assert connection.after(3 * READ_SECONDS) == b""
    connection.protocol.flow.resume_reading()
    assert connection.after(READ_SECONDS).startswith(b"HTTP/1.1 408 ")


async def test_what_is_refused_is_not_answered_again(connection: Connection) -> None:
    """The application hears that its client is gone, and is not heard any more."""
    connection.after(0, comes=POST)
    waiting = asyncio.ensure_future(connection.protocol.cycle.receive())
    await asyncio.sleep(0)  # it begins to wait
    refused = connection.after(READ_SECONDS)
    assert await asyncio.wait_for(waiting, READ_SECONDS) == {"type": "http.disconnect"}
    await connection.answer()
    assert connection.line.written == refused
    assert connection.after(1, comes=GET) == refused


async def test_what_was_asked_before_is_answered_first(connection: Connection) -> None:
    """Then the connection ends; what waits behind it, and what comes, is not served."""
    connection.after(0, comes=GET)
    first = connection.protocol.cycle
    connection.after(0, comes=GET + b"nonsense\r\n\r\n")
    connection.after(0, comes=GET)
    assert connection.line.written == b""
    await connection.answer(first)
    assert connection.line.written.count(b"HTTP/1.1 200 ") == 1
    assert b"connection: close" in connection.line.written
    assert connection.line.is_closing()
    assert not connection.protocol.pipeline


def test_behind_an_upgrade_nothing_is_read(connection: Connection) -> None:
    """It would be in another protocol."""
    upgrade = GET[:-2] + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    connection.after(0, comes=upgrade)
    cycle = connection.protocol.cycle
    assert connection.after(0, comes=GET) == b""
    assert connection.protocol.cycle is cycle
    assert not cycle.keep_alive
