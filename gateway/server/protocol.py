"""uvicorn's HTTP/1.1 protocol with the limits on time, bytes and connections that it lacks."""

import resource
import socket
import sys
from asyncio import BaseTransport, TimerHandle, Transport
from collections import OrderedDict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, cast
from weakref import WeakKeyDictionary

import httptools
from uvicorn._types import ASGISendEvent, HTTPResponseBodyEvent
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)
from uvicorn.server import ServerState

from gateway.errors import LimitExceededError, OverloadedError
from gateway.http.middleware import (
    HEAD_TOO_LARGE,
    MAX_HEAD_BYTES,
    REQUEST_ID,
    new_request_id,
)
from gateway.http.responses import HttpError, bad_request, error_response
from gateway.server.framing import frame_body, header_line, start_response
from gateway.server.sending import UnsentResponses
from gateway.telemetry.logging import LogContext
from gateway.telemetry.metrics import REJECTIONS

READ_SECONDS = 10
"""Deadline for a request, head and body, to arrive."""

WRITE_SECONDS = 30
"""Deadline for a client to take the next MIN_TAKEN_BYTES of a response, or the rest of it."""

LINGER_SECONDS = 5
LINGER_BYTES = 4 * 1024 * 1024
"""How much of a rejected request is still read, and discarded, before its connection is closed."""

MAX_PIPELINED = 16
"""Requests that may wait on one connection. Browsers and load balancers do not pipeline, and each
request read ahead takes a hundred times its size in memory."""

MAX_CONNECTIONS = 10_000

RESERVED_FILES = 512
"""File descriptors kept free for connections to AWS and Redis, for files and for the event loop."""

HTTP_VERSIONS = frozenset({"1.0", "1.1"})

MALFORMED = bad_request("The request is malformed. Accepted: HTTP/1.1.")

FRAGMENT = bad_request("The request target is malformed. Accepted: a path without a fragment (#).")

TOO_SLOW = HttpError(408, LimitExceededError("The request took too long to arrive."))

TOO_MANY_PIPELINED = HttpError(
    400, LimitExceededError("Too many pipelined requests. Accepted: one request at a time.")
)

TOO_MANY_CONNECTIONS = HttpError(
    503,
    OverloadedError("Too many connections. Try again later."),
    {"Retry-After": str(OverloadedError.retry_after)},
)


def connection_limit() -> int:
    """Return how many clients may be connected, given the current limit of open files."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return min(MAX_CONNECTIONS, max(files - RESERVED_FILES, files // 2))


def raw_response(
    http_error: HttpError, request_id: str, headers: Iterable[tuple[bytes, bytes]]
) -> bytes:
    """Return an error response as bytes; the connection is closed after it."""
    response = error_response(http_error)
    lines = [
        *headers,
        *response.raw_headers,
        (REQUEST_ID, request_id.encode()),
        (b"connection", b"close"),
    ]
    head = b"".join(header_line(*line) for line in lines)
    return STATUS_LINE[response.status_code] + head + b"\r\n" + bytes(response.body)


class _RejectedError(Exception):
    """Stops the parser with the error to respond with."""

    def __init__(self, http_error: HttpError) -> None:
        super().__init__(http_error.error.message)
        self.http_error = http_error


@dataclass(slots=True)
class _Shared:
    """What the connections of a server share, beside uvicorn's ServerState."""

    unsent: UnsentResponses = field(default_factory=UnsentResponses)
    awaiting_client: "OrderedDict[HardenedProtocol, None]" = field(default_factory=OrderedDict)
    """Connections that are idle, or whose client has not sent a request or not taken a response
    completely. The longest waiting is first."""


_shared: WeakKeyDictionary[ServerState, _Shared] = WeakKeyDictionary()


class HardenedProtocol(HttpToolsProtocol):
    """One client connection.

    A request must arrive within `read_seconds` of its first byte, and the first head within
    `read_seconds` of the connection. Between requests the keep-alive timeout applies. Beyond
    `max_connections` a new connection takes the place of the one that awaits its client longest.
    """

    # With more than 30 in all, Python keeps the names of attributes for each connection: 1 KB.
    __slots__ = (
        "_awaiting_client",
        "_deadline",
        "_head",
        "_ignores_input",
        "_in_body",
        "_linger_bytes",
        "_pending_bytes",
        "_reading_since",
        "_request_since",
        "_serving",
        "_unsent",
    )

    read_seconds: ClassVar[float] = READ_SECONDS
    write_seconds: ClassVar[float] = WRITE_SECONDS
    linger_seconds: ClassVar[float] = LINGER_SECONDS
    max_connections: ClassVar[int] = connection_limit()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        shared = _shared.setdefault(self.server_state, _Shared())
        self._unsent, self._awaiting_client = shared.unsent, shared.awaiting_client
        self._linger_bytes = LINGER_BYTES
        self._reading_since = 0.0  # start of what is being read; 0 between requests
        self._request_since = 0.0  # first byte of the request; 0 before it
        self._in_body = False
        self._pending_bytes = 0  # received since the last complete head or part of a body
        self._ignores_input = False
        self._deadline: TimerHandle | None = None
        self._serving: RequestResponseCycle | None = None
        self._head = b""  # of its response, until it is sent with the first part of the body

    def connection_made(self, transport: BaseTransport) -> None:
        if len(self.connections) >= self.max_connections:
            REJECTIONS.labels("connections").inc()
            if not self._awaiting_client:
                self.transport = cast("Transport", transport)
                self._ignores_input = True
                self._respond(TOO_MANY_CONNECTIONS)
                self.transport.close()
                return
            next(iter(self._awaiting_client)).give_way()
        super().connection_made(cast("Transport", transport))
        self.transport.set_write_buffer_limits(0)  # writing pauses while any byte is unsent
        _set_write_timeout(self.write_seconds, transport.get_extra_info("socket"))
        self._reading_since = self.loop.time()
        self._deadline = self.loop.call_later(self.read_seconds, self._check_deadline)
        self._awaiting_client[self] = None

    def give_way(self) -> None:
        """Close the connection at once, for a new one.

        Without a response, which a load balancer would take for that to its next request.
        """
        self._awaiting_client.pop(self, None)
        self.connections.discard(self)
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._awaiting_client.pop(self, None)
        if self._serving is not None and not self._serving.response_complete:
            # uvicorn tells the request that was read last, which may be a later one.
            self._serving.disconnected = True
            self._serving.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        # The deadline is armed only for a request that does not arrive in one piece.
        if self._ignores_input:
            self._linger_bytes -= len(data)
            if self._linger_bytes < 0:
                self.transport.abort()
            return
        self._unset_keepalive_if_required()
        self._reading_since = self._reading_since or self.loop.time()
        self._pending_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            # Clients offer h2c with ordinary requests. The parser stops at the end of such a head,
            # and takes its body for the other protocol. MAX_PIPELINED bounds the recursion.
            self.data_received(self._restart_without_offer() + data[offer.args[0] :])
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._reject(cause.http_error if isinstance(cause, _RejectedError) else MALFORMED)
        else:
            self._check_progress()

    def _restart_without_offer(self) -> bytes:
        """Return the head that was parsed last, without its offer to upgrade, for a new parser."""
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        # Not by header_line, which would keep the credentials among them.
        headers = [b"%b: %b\r\n" % each for each in self.headers if each[0] != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        return b"%b %b HTTP/%b\r\n%b\r\n" % (method, self.url, version, b"".join(headers))

    def _check_progress(self) -> None:
        if not self._reading_since:
            if self.cycle.response_complete and self.timeout_keep_alive_task is None:
                # The rest of a body arrived after its response. uvicorn would keep the connection
                # open forever.
                self.timeout_keep_alive_task = self.loop.call_later(
                    self.timeout_keep_alive, self.timeout_keep_alive_handler
                )
        elif self._pending_bytes > MAX_HEAD_BYTES:
            self._reject(HEAD_TOO_LARGE)
        elif self._deadline is None:
            self._deadline = self.loop.call_later(self.read_seconds, self._check_deadline)
            if self in self._awaiting_client:
                self._awaiting_client.move_to_end(self)

    def _check_deadline(self) -> None:
        self._deadline = None
        if not self._reading_since or self.transport.is_closing():
            return
        now = self.loop.time()
        if self.flow.read_paused:  # the gateway is slow, not the client
            self._reading_since, self._request_since = now, self._request_since and now
        left = self._reading_since + self.read_seconds - now
        if left > 0:
            self._deadline = self.loop.call_later(left, self._check_deadline)
        elif self._request_since:
            self._reject(TOO_SLOW)
        else:
            # Without a response, which a load balancer would take for that to its next request.
            self.transport.close()

    def timeout_keep_alive_handler(self) -> None:
        if not self._reading_since:
            super().timeout_keep_alive_handler()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._request_since = self._request_since or self.loop.time()
        self._reading_since = self._reading_since or self._request_since

    def on_headers_complete(self) -> None:
        if self.parser.get_http_version() not in HTTP_VERSIONS:
            raise _RejectedError(MALFORMED)
        if b"#" in self.url:
            raise _RejectedError(FRAGMENT)
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise _RejectedError(MALFORMED)
            return
        if len(self.pipeline) >= MAX_PIPELINED:
            raise _RejectedError(TOO_MANY_PIPELINED)
        super().on_headers_complete()
        self.headers = []  # uvicorn would add trailers to the headers of the running request
        self._reading_since, self._pending_bytes = self._request_since, 0
        self._in_body = True

    def on_body(self, body: bytes) -> None:
        self._pending_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        super().on_message_complete()
        self._reading_since = self._request_since = 0.0
        self._pending_bytes, self._in_body = 0, False
        if not self.cycle.response_complete and not self.flow.write_paused:
            self._awaiting_client.pop(self, None)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._serving = cycle
        send = partial(self._send, cycle)
        super()._start_asgi_task(cycle, lambda scope, receive, _: app(scope, receive, send))

    async def _send(self, cycle: RequestResponseCycle, message: ASGISendEvent) -> None:
        """Send a part of a response; returns when the kernel has all of it.

        The head is sent with the first part of the body.
        """
        if cycle.disconnected:
            return
        if message["type"] == "http.response.start":
            self._head = start_response(cycle, message)
            return
        message = cast("HTTPResponseBodyEvent", message)  # others are for uvicorn's extensions
        if parts := [each for each in (self._head, *frame_body(cycle, message)) if each]:
            self.transport.writelines(parts)
        self._head = b""
        if self.flow.write_paused:
            size = len(message.get("body", b"")) + cycle.expected_content_length
            self._awaiting_client[self] = None
            try:
                await self._unsent.wait(self.transport, self.flow, size, self.write_seconds)
            finally:
                self._awaiting_client.pop(self, None)
        if not message.get("more_body", False) and not cycle.disconnected:
            self._complete(cycle)

    def _complete(self, cycle: RequestResponseCycle) -> None:
        cycle.response_complete = True
        cycle.message_event.set()
        lingers = cycle.more_body or self._ignores_input
        if not cycle.keep_alive and not lingers:
            self.transport.close()
        cycle.on_response()
        if not cycle.keep_alive and lingers:
            self._linger()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._serving is None or self._serving.response_complete:
            self._awaiting_client[self] = None
            self._awaiting_client.move_to_end(self)

    def _reject(self, http_error: HttpError) -> None:
        """Close the connection, after responding to the request being read if nothing has."""
        self._ignores_input, self._reading_since = True, 0.0
        serving, reading = self._serving, self.cycle if self._in_body else None
        if serving not in (None, reading) and not serving.response_complete:
            # The client would take this response for that of the earlier request.
            serving.keep_alive = False
            self.pipeline.clear()
            self.logger.warning(http_error.error.message)
            return
        if reading is not None:
            reading.disconnected = True
            reading.waiting_for_100_continue = False
            reading.message_event.set()
        if reading is None or not reading.response_started:
            self._respond(http_error)
        self._linger()

    def _respond(self, http_error: HttpError) -> None:
        request_id = new_request_id()
        with LogContext(request_id=request_id):
            self.logger.warning(http_error.error.message)
        headers = self.server_state.default_headers
        self.transport.write(raw_response(http_error, request_id, headers))

    def _linger(self) -> None:
        """Close the connection once the client has closed it too, or after a while.

        If it were closed with bytes unread, the kernel would reset it, and the client might lose
        the response. Source: RFC 9112, section 9.6.
        """
        if self.transport.is_closing():
            return
        self._ignores_input, self._reading_since = True, 0.0
        self._unset_keepalive_if_required()
        if self._deadline is not None:
            self._deadline.cancel()
        self.flow.resume_reading()
        self.transport.write_eof()
        self._deadline = self.loop.call_later(self.linger_seconds, self.transport.abort)
        self._awaiting_client[self] = None


def _set_write_timeout(seconds: float, connection: socket.socket | None) -> None:
    """Let the kernel end a connection whose client reads nothing; uvicorn would wait forever."""
    if sys.platform == "linux" and connection and connection.family != socket.AF_UNIX:
        milliseconds = int(seconds * 1000)
        with suppress(OSError):  # the connection has ended already
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
