"""Around each request: its id, its log line, and an answer where ours failed to make one."""

import re
import time
from collections.abc import Callable
from uuid import uuid4

import structlog
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import InternalError, LimitExceededError
from gateway.graph.execution.engine import MASKED
from gateway.http.endpoint import error_response
from gateway.http.request_log import request_log_of
from gateway.http.responses import HttpError, bad_request
from gateway.telemetry.logging import exception_fields

log = structlog.get_logger()

MAX_LOGGED_PATH = 200

CLIENT_CLOSED_REQUEST = 499
"""Logged where the client left before its answer; no such status was sent."""

MAX_HEAD_BYTES = 64 * 1024
"""Of a request's head: credentials of 12 KiB and a query of some length fit."""

MAX_HEADERS = 100

FRAMING_BYTES = 4
"""Of each header: colon, space, line end."""

REQUEST_ID = "X-Request-Id"

HEAD_TOO_LARGE = HttpError(
    431,
    LimitExceededError(
        f"The head is too large. Accepted: up to {MAX_HEAD_BYTES} bytes and {MAX_HEADERS} headers."
    ),
)

TWO_HOSTS = bad_request("The Host header is there twice. Accepted: once.")

CRASHED = HttpError(500, InternalError(MASKED))

_PLAIN = re.compile(rb"[A-Za-z0-9._-]{1,64}")


class AccessLogMiddleware:
    """Gives each request an id, taken over if it is short and plain, and one log line.

    `around` is put around the application and around the answers given in its place.
    The line has method, path, status and milliseconds, and of a GraphQL request its outcome,
    its operation's name, digests of document and caller, and what it cost; no header, no
    variable, nothing of a body or an answer.
    """

    def __init__(
        self, app: ASGIApp, around: Callable[[ASGIApp], ASGIApp] = lambda app: app
    ) -> None:
        self.app = around(app)
        self._refusals = {
            problem: around(error_response(problem))
            for problem in (HEAD_TOO_LARGE, TWO_HOSTS, CRASHED)
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = _request_id(scope)
        flaw = _flaw(scope)
        app = self.app if flaw is None else self._refusals[flaw]
        report = request_log_of(scope)
        report.request_id = request_id
        started = time.perf_counter()

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                report.status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID] = request_id
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await app(scope, receive, send_with_id)
            except Exception as error:  # noqa: BLE001  the last one who can answer
                report.outcome = InternalError.code
                log.error("request crashed", **exception_fields(error))  # noqa: TRY400  without its text
                if not report.status:
                    await self._refusals[CRASHED](scope, receive, send_with_id)
            finally:
                seconds = time.perf_counter() - started
                report.status = report.status or CLIENT_CLOSED_REQUEST
                report.count(seconds)
                log.info(
                    "request",
                    method=scope["method"],
                    path=scope["path"][:MAX_LOGGED_PATH],
                    status=report.status,
                    ms=round(seconds * 1000, 1),
                    **report.log_fields(),
                )


def _flaw(scope: Scope) -> HttpError | None:
    headers = scope["headers"]
    size, hosts = len(scope["path"]) + len(scope["query_string"]), 0
    for name, value in headers:
        size += len(name) + len(value) + FRAMING_BYTES
        hosts += name == b"host"
    if size > MAX_HEAD_BYTES or len(headers) > MAX_HEADERS:
        return HEAD_TOO_LARGE
    return TWO_HOSTS if hosts > 1 else None


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _PLAIN.fullmatch(value):
            taken: str = value.decode()
            return taken
    return uuid4().hex
