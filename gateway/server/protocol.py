"""The connection: uvicorn's HTTP/1.1, with the limits on time, bytes and numbers that it lacks."""

import socket
import sys
from asyncio import BaseTransport, TimerHandle, Transport
from contextlib import suppress
from typing import Any, ClassVar, cast
from uuid import uuid4

import httptools
from structlog.contextvars import bound_contextvars
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from gateway.http.middleware import MAX_HEAD_BYTES
from gateway.http.responses import HttpError
from gateway.server import raw_response
from gateway.server.open_files import most_connections

READ_SECONDS = 10
"""In which a request, head and body, must have arrived."""

WRITE_SECONDS = 30
"""In which a client must take something of an answer that waits for it."""

MAX_PIPELINED = 16
"""Requests that wait on one connection. Browsers and load balancers send the next one after the
answer to the last; each that is read ahead takes a hundred times its bytes."""

VERSIONS = frozenset({"1.0", "1.1"})


class _Refused(Exception):  # noqa: N818  it says what the answer is
    """Ends the parsing of a request."""

    def __init__(self, problem: HttpError) -> None:
        super().__init__(problem.error.message)
        self.problem = problem


class BoundedProtocol(HttpToolsProtocol):
    """One client's connection.

    A request must arrive within `read_seconds` of its first byte, and the head of the first one
    within as much of the connection. Between requests the keep-alive timeout counts.
    """

    read_seconds: ClassVar[float] = READ_SECONDS
    write_seconds: ClassVar[float] = WRITE_SECONDS
    max_connections: ClassVar[int] = most_connections()

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._since = 0.0  # when what is being read began; 0 between requests
        self._began = 0.0  # when the first byte of the request came; 0 before it
        self._in_body = False
        self._unused = 0  # bytes of which nothing has come yet: no head, no body
        self._deaf = False  # nothing more is read
        self._deadline: TimerHandle | None = None
        self._serving: RequestResponseCycle | None = None

    def connection_made(self, transport: BaseTransport) -> None:
        """Serve a client, if there is room."""
        if len(self.connections) >= self.max_connections:
            self.transport = cast("Transport", transport)
            self._deaf = True
            self._close(raw_response.NO_ROOM)
            return
        super().connection_made(cast("Transport", transport))
        _give_up_after(self.write_seconds, transport.get_extra_info("socket"))
        self._since = self.loop.time()
        self._deadline = self.loop.call_later(self.read_seconds, self._check_deadline)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the client."""
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read what came. The deadline is armed only for what did not come in one piece."""
        if self._deaf:
            return
        self._unset_keepalive_if_required()
        self._since = self._since or self.loop.time()
        self._unused += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # What follows would be in a protocol that is not spoken here.
            self._deaf, self.cycle.keep_alive = True, False
        except httptools.HttpParserError as error:
            ours = error.__context__
            self._refuse(ours.problem if isinstance(ours, _Refused) else raw_response.MALFORMED)
        else:
            self._check_progress()

    def _check_progress(self) -> None:
        if not self._since:
            if self.cycle.response_complete and self.timeout_keep_alive_task is None:
                # The rest of a body that nobody waited for; uvicorn would keep the socket for ever.
                self.timeout_keep_alive_task = self.loop.call_later(
                    self.timeout_keep_alive, self.timeout_keep_alive_handler
                )
        elif self._unused > MAX_HEAD_BYTES:
            self._refuse(raw_response.HEAD_TOO_LARGE)
        elif self._deadline is None:
            self._deadline = self.loop.call_later(self.read_seconds, self._check_deadline)

    def _check_deadline(self) -> None:
        self._deadline = None
        if not self._since or self.transport.is_closing():
            return
        now = self.loop.time()
        if self.flow.read_paused:
            self._since, self._began = now, self._began and now  # it is us who are slow
        left = self._since + self.read_seconds - now
        if left > 0:
            self._deadline = self.loop.call_later(left, self._check_deadline)
        elif self._began:
            self._refuse(raw_response.TOO_SLOW)
        else:
            # Nothing was asked. Load balancers take an answer for that of their next request.
            self.transport.close()

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection on which nothing is asked any more."""
        if not self._since:
            super().timeout_keep_alive_handler()

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._began = self.loop.time()
        self._since = self._since or self._began

    def on_headers_complete(self) -> None:
        """Serve the request while its body arrives."""
        if self.parser.get_http_version() not in VERSIONS:
            raise _Refused(raw_response.MALFORMED)
        if len(self.pipeline) >= MAX_PIPELINED:
            raise _Refused(raw_response.TOO_MANY_AT_ONCE)
        super().on_headers_complete()
        self.headers = []  # uvicorn would add the trailers to the headers of the running request
        self._since, self._unused, self._in_body = self._began, 0, True

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._unused = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request."""
        super().on_message_complete()
        self._since = self._began = 0.0
        self._unused, self._in_body = 0, False

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._serving = cycle
        super()._start_asgi_task(cycle, app)

    def _refuse(self, problem: HttpError) -> None:
        """Answer what is being read in the application's place, if it has not, and close."""
        self._deaf, self._since = True, 0.0
        serving, read = self._serving, self.cycle if self._in_body else None
        if serving not in (None, read) and not serving.response_complete:
            # The client would take our answer for that of an earlier request.
            serving.keep_alive = False
            self.pipeline.clear()
            self.logger.warning(problem.error.message)
            return
        if read is not None:
            read.disconnected = True
            read.message_event.set()
        self._close(problem, answered=read is not None and read.response_started)

    def _close(self, problem: HttpError, *, answered: bool = False) -> None:
        request_id = uuid4().hex
        with bound_contextvars(request_id=request_id):
            self.logger.warning(problem.error.message)
        if not answered:
            headers = self.server_state.default_headers
            self.transport.write(raw_response.as_bytes(problem, request_id, headers))
        self.transport.close()


def _give_up_after(seconds: float, connection: socket.socket | None) -> None:
    """Let the kernel end a connection whose client takes nothing; uvicorn would wait for ever."""
    if sys.platform == "linux" and connection and connection.family != socket.AF_UNIX:
        milliseconds = int(seconds * 1000)
        with suppress(OSError):  # it has ended already
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
