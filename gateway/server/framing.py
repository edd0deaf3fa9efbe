"""Responses as bytes of HTTP/1.1, as uvicorn frames them.

uvicorn writes the head and each part of the body by itself, checks each header again in each
response, and completes a response whose client has not taken it.

Source: `send` of uvicorn's RequestResponseCycle, whose attributes these functions keep.
"""

from functools import lru_cache

from uvicorn._types import HTTPResponseBodyEvent, HTTPResponseStartEvent
from uvicorn.protocols.http.httptools_impl import (
    HEADER_RE,
    HEADER_VALUE_RE,
    STATUS_LINE,
    RequestResponseCycle,
)

BODILESS = frozenset({204, 304})
"""Statuses of responses without a body."""


def start_response(cycle: RequestResponseCycle, message: HTTPResponseStartEvent) -> bytes:
    """Return the head of a response; its headers decide how the body is framed.

    Raises RuntimeError for an invalid header, and for a second head.
    """
    if cycle.response_started:
        raise RuntimeError("the response has a head already")
    cycle.response_started, cycle.waiting_for_100_continue = True, False
    status, lines, closes = message["status"], [], False
    for name, value in (*cycle.default_headers, *message["headers"]):
        lines.append(header_line(name, value))
        if name == b"content-length":
            cycle.chunked_encoding, cycle.expected_content_length = False, int(value)
        elif name == b"connection" and value.lower() == b"close":
            cycle.keep_alive, closes = False, True
    if not cycle.keep_alive and not closes:
        lines.append(b"connection: close\r\n")
    if cycle.chunked_encoding is None and not (
        _has_no_body(cycle, status) or _ends_with_connection(cycle)
    ):
        cycle.chunked_encoding = True
        lines.append(b"transfer-encoding: chunked\r\n")
    return b"".join((STATUS_LINE[status], *lines, b"\r\n"))


@lru_cache(maxsize=256)
def header_line(name: bytes, value: bytes) -> bytes:
    """Return the line of a header; raises RuntimeError if it would not be one line."""
    if HEADER_RE.search(name) or HEADER_VALUE_RE.search(value):
        raise RuntimeError("invalid response header")
    return b"%b: %b\r\n" % (name, value)


def frame_body(cycle: RequestResponseCycle, message: HTTPResponseBodyEvent) -> list[bytes]:
    """Return the pieces that a part of the body is sent as.

    Raises RuntimeError if the body has another length than the head said, or ended before.
    """
    if cycle.response_complete:
        raise RuntimeError("the response has ended already")
    body, more = message.get("body", b""), message.get("more_body", False)
    if cycle.scope["method"] == "HEAD":
        cycle.expected_content_length = 0
        return []
    if cycle.chunked_encoding:
        chunk = [b"%x\r\n" % len(body), body, b"\r\n"] if body else []
        return chunk if more else [*chunk, b"0\r\n\r\n"]
    if _ends_with_connection(cycle):
        return [body]
    cycle.expected_content_length -= len(body)
    if cycle.expected_content_length < 0 or (cycle.expected_content_length and not more):
        raise RuntimeError("the response's body is not as long as its Content-Length")
    return [body]


def _ends_with_connection(cycle: RequestResponseCycle) -> bool:
    """Return whether the end of the connection is that of the body, whose length is not known.

    Source: RFC 9112 section 6.1. HTTP/1.0 has no chunks.
    """
    return cycle.chunked_encoding is None and cycle.scope["http_version"] == "1.0"


def _has_no_body(cycle: RequestResponseCycle, status: int) -> bool:
    return cycle.scope["method"] == "HEAD" or status in BODILESS
