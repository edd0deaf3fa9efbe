"""Reading an HTTP request: its headers, the accepted media type, the body.

Source: RFC 9110 section 12.5.1 (`Accept`); GraphQL over HTTP, "Media Types".
"""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from starlette.types import Receive

from gateway.auth.authenticator import CREDENTIAL_HEADERS, ROUTER_SECRET_HEADER
from gateway.errors import (
    ForbiddenError,
    LimitExceededError,
    OverloadedError,
)
from gateway.http.responses import (
    EVENT_STREAM,
    GRAPHQL,
    JSON,
    MULTIPART,
    SUBSCRIPTION_SPEC,
    HttpError,
    bad_request,
)

HTML = "text/html"

MAX_ACCEPT_CHARACTERS = 1000
"""A longer `Accept` header is disregarded, as RFC 9110 permits: parsing 60 kB takes 30 ms."""

MAX_CONTENT_TYPE_CHARACTERS = 256

_NO_CACHE = re.compile(r"no-cache(?![^,\s])(?<![^,\s]no-cache)")

SMALL_BODY_BYTES = 16 * 1024
"""A body of up to this size, as nearly all are, is read even while `MAX_PENDING_BYTES` is
exceeded."""

MAX_PENDING_BYTES = 32 * 1024 * 1024
"""Limit on the bytes of all unfinished bodies together. Without it, clients that start thousands of
bodies and never finish them would exhaust the memory."""

COST_HEADER = b"x-gateway-cost"
"""Requests `extensions.cost`, with any value."""

READ_HEADERS = CREDENTIAL_HEADERS | {
    ROUTER_SECRET_HEADER,
    COST_HEADER,
    b"accept",
    b"cache-control",
    b"content-encoding",
    b"content-length",
    b"content-type",
    b"origin",
    b"sec-fetch-site",
}
"""The headers that the endpoint reads."""


class RequestHeaders:
    """The headers of an ASGI scope that the endpoint reads, as they were received.

    The response depends on no other header, because no other one can be read here.
    """

    __slots__ = ("items",)

    def __init__(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self.items = tuple([header for header in headers if header[0] in READ_HEADERS])

    def values(self, name: bytes) -> Sequence[str]:
        """Return the values of all headers of one of these names, which is in lower case."""
        return [value.decode("latin-1") for key, value in self.items if key == name]

    def get(self, name: bytes, default: str = "") -> str:
        """Return the first value, or the default."""
        values = self.values(name)
        return values[0] if values else default

    def __repr__(self) -> str:
        return "RequestHeaders(…)"


@dataclass(frozen=True, slots=True)
class Accepted:
    """What an `Accept` header says about the media types of the endpoint."""

    media_type: str | None
    """That of the response to a query: GRAPHQL or JSON, or `stream` if that has a higher quality;
    None if none is acceptable."""
    stream: str | None
    """EVENT_STREAM or MULTIPART, if it is named; that of the response to a subscription."""
    html: bool
    """HTML is named explicitly, as browsers do, with at least the quality of the other type."""


def parse_accept(header: str) -> Accepted:
    """Parse an `Accept` header; an empty or overlong one accepts everything.

    At equal quality GRAPHQL wins if it is named. A wildcard gets JSON, which every client reads.
    """
    return _parse_accept(header if len(header) <= MAX_ACCEPT_CHARACTERS else "")


@lru_cache(maxsize=256)
def _parse_accept(header: str) -> Accepted:
    ranges = _media_ranges(header or "*/*")
    candidates = (GRAPHQL, JSON) if GRAPHQL in ranges else (JSON, GRAPHQL)
    best = max(candidates, key=lambda media: _quality(ranges, media))
    # A wildcard does not accept a stream: few clients that send one could read it.
    stream = max((EVENT_STREAM, MULTIPART), key=lambda media: ranges.get(media, 0.0))
    named = ranges.get(stream, 0.0)
    if named > _quality(ranges, best):
        best = stream
    quality = _quality(ranges, best)
    html = ranges.get(HTML, 0.0)
    return Accepted(
        best if quality > 0 else None,
        stream if named > 0 else None,
        html > 0 and html >= quality,
    )


def _media_ranges(header: str) -> dict[str, float]:
    """Return media range -> quality.

    Ranges in another charset than UTF-8 are left out, and multipart ones of another protocol.
    """
    ranges: dict[str, float] = {}
    for part in header.split(","):
        media, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality, is_known = 1.0, media != MULTIPART
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name == "q":
                quality = _parse_quality(value)
            elif name == "charset":
                is_known = is_known and value.strip('"') in {"utf-8", "utf8"}
            elif name == "subscriptionspec" and media == MULTIPART:
                is_known = value.strip('"') == SUBSCRIPTION_SPEC
        if media and is_known:
            ranges[media] = max(quality, ranges.get(media, 0.0))
    return ranges


def _parse_quality(text: str) -> float:
    try:
        return min(max(float(text), 0.0), 1.0)
    except ValueError:
        return 0.0


def _quality(ranges: dict[str, float], media: str) -> float:
    """Return the quality of a media type; the most specific range decides."""
    main_type = media.partition("/")[0]
    for name in (media, f"{main_type}/*", "*/*"):
        if name in ranges:
            return ranges[name]
    return 0.0


def has_no_cache(cache_control: Iterable[str]) -> bool:
    """Return whether one of these `Cache-Control` headers has the directive `no-cache`."""
    return any(_NO_CACHE.search(header.lower()) for header in cache_control)


def check_cross_site(headers: RequestHeaders, allowed_origins: Collection[str]) -> None:
    """Check a GET, which any page can have a browser send: by a link, an image or a script.

    Raises HttpError 403 if the browser says that a page of another site did, unless it is a request
    of one of the origins, whose pages may read the response. A POST needs no check, because its
    content type makes a browser ask first.
    """
    is_cross_site = headers.get(b"sec-fetch-site") == "cross-site"
    if is_cross_site and headers.get(b"origin") not in allowed_origins:
        message = (
            "Pages of other sites cannot send GET requests. Accepted: POST, or pages of the "
            "origins in GATEWAY_CORS_ORIGINS."
        )
        raise HttpError(403, ForbiddenError(message))


class BodyReader:
    """Reads JSON bodies, with a limit on each and on the memory of all unfinished ones."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._pending_bytes = 0

    def check(self, headers: RequestHeaders) -> None:
        """Check what the headers say of the body.

        Raises HttpError 415 for another media type, charset or coding, and HttpError 413 for a
        length over the limit.
        """
        _check_media_type(headers)
        announced = headers.get(b"content-length")
        if announced.isdigit() and int(announced) > self._max_bytes:
            raise self._too_large()

    async def read(self, receive: Receive) -> bytes:
        """Return the body.

        Raises HttpError 413 as soon as the limit is passed, and OverloadedError if the unfinished
        bodies take too much memory.
        """
        parts: list[bytes] = []
        size = 0
        more = True
        try:
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise bad_request("The body is incomplete.")
                part, more = message.get("body", b""), message.get("more_body", False)
                size += len(part)
                self._pending_bytes += len(part)
                self._check_size(size)
                parts.append(part)
        finally:
            self._pending_bytes -= size
        return b"".join(parts)

    def _check_size(self, size: int) -> None:
        if size > SMALL_BODY_BYTES and self._pending_bytes - size > MAX_PENDING_BYTES:
            raise OverloadedError("The gateway is busy. Try again later.")
        if size > self._max_bytes:
            raise self._too_large()

    def _too_large(self) -> HttpError:
        message = f"The body is too large. Accepted: up to {self._max_bytes} bytes."
        # The rest of the body is not read, so the connection cannot carry another request.
        return HttpError(413, LimitExceededError(message), {"Connection": "close"})


def _check_media_type(headers: RequestHeaders) -> None:
    values = headers.values(b"content-type")
    is_short = len(values) == 1 and len(values[0]) <= MAX_CONTENT_TYPE_CHARACTERS
    if not is_short or not _is_json(values[0]):
        raise bad_request("Unsupported Content-Type. Accepted: application/json in UTF-8.", 415)
    if headers.get(b"content-encoding", "identity").lower() != "identity":
        raise bad_request("Unsupported Content-Encoding. Accepted: identity.", 415)


@lru_cache(maxsize=256)
def _is_json(content_type: str) -> bool:
    media, *parameters = (piece.strip().lower() for piece in content_type.split(";"))
    charsets = {
        value.strip('"')
        for name, _, value in (parameter.partition("=") for parameter in parameters)
        if name == "charset"
    }
    return media == "application/json" and charsets <= {"utf-8", "utf8"}
