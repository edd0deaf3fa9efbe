"""Refusals of what never became a request: the answers that the connection gives by itself."""

from collections.abc import Iterable

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from gateway.errors import LimitExceededError, OverloadedError
from gateway.http.endpoint import error_response
from gateway.http.middleware import HEAD_TOO_LARGE, REQUEST_ID
from gateway.http.responses import HttpError, bad_request

MALFORMED = bad_request("The request is malformed. Accepted: HTTP/1.1.")

TOO_SLOW = HttpError(408, LimitExceededError("The request took too long to arrive."))

TOO_MANY_AT_ONCE = HttpError(
    400, LimitExceededError("Too many requests wait on one connection. Accepted: one at a time.")
)

NO_ROOM = HttpError(
    503,
    OverloadedError("Too many clients are connected."),
    {"Retry-After": str(OverloadedError.retry_after)},
)

__all__ = ["HEAD_TOO_LARGE", "MALFORMED", "NO_ROOM", "TOO_MANY_AT_ONCE", "TOO_SLOW", "as_bytes"]


def as_bytes(problem: HttpError, request_id: str, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the whole answer, as it goes to the client before the connection is closed."""
    response = error_response(problem)
    lines = [
        *headers,
        *response.raw_headers,
        (REQUEST_ID.lower().encode(), request_id.encode()),
        (b"connection", b"close"),
    ]
    head = b"".join(name + b": " + value + b"\r\n" for name, value in lines)
    return STATUS_LINE[response.status_code] + head + b"\r\n" + bytes(response.body)
