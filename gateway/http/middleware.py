"""Middleware: request id, access log, metrics and tracing."""

import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import InternalError, LimitExceededError
from gateway.graph.execution.engine import MASKED
from gateway.http.paths import GRAPHQL_PATH, PROBE_PATHS
from gateway.http.responses import HttpError, bad_request, error_response
from gateway.telemetry.logging import LogContext, event_writer, exception_fields
from gateway.telemetry.metrics import (
    OK,
    PERSISTED_DOCUMENTS,
    count,
    count_request,
    operation_label,
)
from gateway.telemetry.tracing import OUTCOME, SPAN, Attributes, Tracer
from gateway.upstream.values import RequestCost

log = structlog.get_logger()

REQUEST_LOG: Final = "audience-gateway.request_log"
"""Key of the RequestLog in an ASGI scope."""

FROM_CACHE = "cache"
"""Logged of a response that was not made for this request."""

MAX_LOGGED_PATH = 200

MAX_OPERATION_NAME = 64
"""Characters logged of an operation's name, which the caller chooses."""

CLIENT_DISCONNECTED = "CLIENT_GONE"
"""Outcome of a request whose client disconnected before the end of the response."""

CLIENT_CLOSED_REQUEST = 499
"""Logged when the client disconnected before a response was sent."""

SERVER_ERROR = 500

MAX_HEAD_BYTES = 64 * 1024
"""Limit on a request's head. It leaves room for 12 KiB of credentials and a long query string."""

MAX_HEADERS = 100

HEADER_FRAMING_BYTES = 4
"""Colon, space and line end of each header."""

REQUEST_ID = b"x-request-id"

HEAD_TOO_LARGE = HttpError(
    431,
    LimitExceededError(
        "The request head is too large. "
        f"Accepted: up to {MAX_HEAD_BYTES} bytes and {MAX_HEADERS} headers."
    ),
)

DUPLICATE_HOST = bad_request("Duplicate header Host.")

CRASHED = HttpError(500, InternalError(MASKED))

MAX_CLIENT_CHARACTERS = 64
"""Logged of the name and of the version of a client program, which it chooses."""

_CLIENT_FIELDS = {
    b"apollographql-client-name": "client",
    b"apollographql-client-version": "client_version",
    b"x-graphql-client-name": "client",
    b"x-graphql-client-version": "client_version",
}
"""Headers by which the clients of Apollo and The Guild name themselves, and fields of the log."""

_LOGGED_HEADERS = frozenset({b"host", REQUEST_ID, *_CLIENT_FIELDS})

_PRINTABLE = re.compile(rb"[ -~]+")

_REQUEST_ID_PATTERN = re.compile(rb"[A-Za-z0-9._-]{1,64}")

_DOCUMENT_ID_PATTERN = re.compile(r"[A-Za-z0-9._~:-]{1,128}")

_METHODS = frozenset(
    {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}
)
"""Methods known to the semantic conventions; any other one is traced as `_OTHER`."""


@dataclass(slots=True)
class RequestLog:
    """What the access log, the metrics and the span report of one request.

    Filled in while the request is served. Callers and documents appear as digests only.
    """

    is_graphql: bool = False
    operation: str | None = None
    """Name of the executed operation, truncated."""
    document: str | None = None
    """Digest of the document."""
    document_id: str | None = None
    """By which the request named a persisted document, if it is short and plain."""
    persisted: str | None = None
    """How a persisted document was found, or why it was not; the label of the metric."""
    caller: str | None = None
    """Digest of the caller's credentials."""
    outcome: str = OK
    """OK, or the code of the first error."""
    cost: RequestCost | None = None
    answer: str | None = None
    """FROM_CACHE, or None."""
    events: int | None = None
    """How many events were sent, if it is a subscription."""
    request_id: str | None = None
    client: str | None = None
    """Name of the client program, as it says, truncated."""
    client_version: str | None = None
    status: int = 0
    """HTTP status; 0 until the response starts."""

    @property
    def failed(self) -> bool:
        """Whether the gateway or an upstream failed, rather than the caller."""
        return self.status >= SERVER_ERROR or self.outcome == InternalError.code

    def _has_read_data(self) -> bool:
        """Return whether AWS has returned data for the caller, now or before."""
        cost = self.cost
        return (
            cost is not None and self.outcome == OK and bool(cost.upstream_calls or cost.cache_hits)
        )

    def set_document(self, query: str) -> None:
        self.document = sha256(query.encode("utf-8", "surrogatepass")).hexdigest()[:16]

    def set_document_id(self, document_id: str) -> None:
        if _DOCUMENT_ID_PATTERN.fullmatch(document_id):
            self.document_id = document_id

    def set_outcome(self, outcome: str, operation: str | None) -> None:
        self.outcome = outcome
        self.operation = operation[:MAX_OPERATION_NAME] if operation else None

    def identity(self) -> dict[str, str | None]:
        """Return what is executed, and for whom."""
        return {
            "operation": self.operation,
            "document": self.document,
            "document_id": self.document_id,
            "caller": self.caller,
            "client": self.client,
            "client_version": self.client_version,
        }

    def log_fields(self) -> dict[str, Any]:
        if not self.is_graphql:
            return {}
        fields = {
            "outcome": self.outcome,
            **self.identity(),
            "persisted": self.persisted,
            "answer": self.answer,
            "events": self.events,
        }
        return fields if self.cost is None else fields | self.cost.log_fields()

    def span_attributes(self) -> Attributes:
        attributes: dict[str, str | int | None] = {
            "http.response.status_code": self.status,
            "gateway.request_id": self.request_id,
        }
        if self.is_graphql:
            attributes[OUTCOME] = self.outcome
            attributes["graphql.operation.name"] = self.operation
            attributes["gateway.document"] = self.document
            attributes["gateway.answer"] = self.answer
            attributes["gateway.events"] = self.events
        return attributes

    def record_metrics(self, seconds: float) -> None:
        if self.is_graphql:
            label = operation_label(self.operation, self._has_read_data)
            # How long a subscription lasts says nothing about the gateway.
            duration = seconds if self.events is None else None
            count_request(self.status, self.outcome, label, duration)
            if self.persisted:
                count(PERSISTED_DOCUMENTS.labels(self.persisted))


def request_log_of(scope: Scope) -> RequestLog:
    """Return the RequestLog of a request, made by the first call for it."""
    request_log: RequestLog | None = scope.get(REQUEST_LOG)
    if request_log is None:
        request_log = scope[REQUEST_LOG] = RequestLog()
    return request_log


def new_request_id() -> str:
    """Return a random id. It identifies a request in logs, and protects nothing."""
    return f"{random.getrandbits(128):032x}"


class AccessLogMiddleware:
    """Gives each request an id and one log line, and responds if the application crashes.

    The request's own X-Request-Id is kept if it is short and plain. The line has method, path,
    status and duration; for a GraphQL request also its outcome, operation name, cost, digests of
    document and caller, and name and version of the client program, if its headers say so. It
    contains no other headers, no variables and no part of a body.

    `cors` wraps the application and the error responses sent in its place, so that pages of other
    origins can read those too.
    """

    def __init__(self, app: ASGIApp, cors: Callable[[ASGIApp], ASGIApp] = lambda app: app) -> None:
        self.app = cors(app)
        self._write_line, self._write_probe = event_writer("info"), event_writer("debug")
        self._error_responses = {
            http_error: cors(error_response(http_error))
            for http_error in (HEAD_TOO_LARGE, DUPLICATE_HOST, CRASHED)
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        request_log = request_log_of(scope)
        http_error = _read_head(scope, request_log)
        request_id = request_log.request_id = request_log.request_id or new_request_id()
        header = (REQUEST_ID, request_id.encode())

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                request_log.status = message["status"]
                message["headers"] = [*message["headers"], header]
            await send(message)

        app = self.app if http_error is None else self._error_responses[http_error]
        with LogContext(request_id=request_id):
            try:
                await app(scope, receive, send_with_id)
            except Exception as error:  # noqa: BLE001  nothing further out can respond
                request_log.outcome = InternalError.code
                log.error("request crashed", **exception_fields(error))  # noqa: TRY400  its text may hold secrets
                if not request_log.status:
                    await self._error_responses[CRASHED](scope, receive, send_with_id)
            finally:
                self._report(scope, request_log, time.perf_counter() - started)

    def _report(self, scope: Scope, request_log: RequestLog, seconds: float) -> None:
        request_log.status = request_log.status or CLIENT_CLOSED_REQUEST
        request_log.record_metrics(seconds)
        # Health checks and scrapes would be most of the log.
        write = self._write_probe if scope["path"] in PROBE_PATHS else self._write_line
        write(
            {
                "event": "request",
                "method": scope["method"],
                "path": scope["path"][:MAX_LOGGED_PATH],
                "status": request_log.status,
                "ms": round(seconds * 1000, 1),
                **request_log.log_fields(),
            }
        )


def _read_head(scope: Scope, request_log: RequestLog) -> HttpError | None:
    """Log how the request and its client are named, and return the error of its head as a whole."""
    headers = scope["headers"]
    size = len(scope["path"]) + len(scope["query_string"]) + len(headers) * HEADER_FRAMING_BYTES
    hosts = 0
    for name, value in headers:
        size += len(name) + len(value)
        if name not in _LOGGED_HEADERS:
            continue
        if name == b"host":
            hosts += 1
        elif name == REQUEST_ID:
            if not request_log.request_id and _REQUEST_ID_PATTERN.fullmatch(value):
                request_log.request_id = value.decode()
        elif getattr(request_log, _CLIENT_FIELDS[name]) is None and _PRINTABLE.fullmatch(value):
            setattr(request_log, _CLIENT_FIELDS[name], value[:MAX_CLIENT_CHARACTERS].decode())
    if size > MAX_HEAD_BYTES or len(headers) > MAX_HEADERS:
        return HEAD_TOO_LARGE
    return DUPLICATE_HOST if hosts > 1 else None


class TracingMiddleware:
    """Traces requests to the GraphQL endpoint and adds the trace id to their log lines."""

    def __init__(self, app: ASGIApp, tracer: Tracer) -> None:
        self.app = app
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        span = None
        if scope.get("path") == GRAPHQL_PATH:  # the lifespan has no path
            span = self._tracer.start_request(*_span_start(scope), scope["headers"])
        if span is None:
            await self.app(scope, receive, send)
            return
        request_log = request_log_of(scope)
        token = SPAN.set(span)
        try:
            with LogContext(trace_id=span.trace_id):
                await self.app(scope, receive, send)
        finally:
            SPAN.reset(token)
            error = request_log.outcome if request_log.failed else None
            span.end(request_log.span_attributes(), error=error)


def _span_start(scope: Scope) -> tuple[str, Attributes]:
    """Return the name and the first attributes of a request's span."""
    known = scope["method"] in _METHODS
    return f"{scope['method'] if known else 'HTTP'} {GRAPHQL_PATH}", {
        "http.request.method": scope["method"] if known else "_OTHER",
        "http.route": GRAPHQL_PATH,
        "url.path": GRAPHQL_PATH,
        "url.scheme": scope["scheme"],
    }
