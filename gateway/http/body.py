"""The body of a request, up to a limit of bytes, and no more of all that arrive at once."""

from collections.abc import Iterator
from contextlib import contextmanager

from starlette.requests import ClientDisconnect, Request

from gateway.errors import LimitExceededError, OverloadedError
from gateway.http.responses import HttpError, bad_request

UNSUPPORTED_MEDIA_TYPE = 415
CONTENT_TOO_LARGE = 413


SMALL_BYTES = 16 * 1024
"""A body of so many finds room whatever others send: nearly all are smaller."""

MOST_BYTES = 32 * 1024 * 1024
"""Of all others that arrive, beside which a larger one finds room: clients who begin them by the
thousand, and wait, would take all memory."""


class Arriving:
    """What is held of bodies that have not arrived as a whole."""

    def __init__(self) -> None:
        self.bytes = 0

    @contextmanager
    def one(self) -> Iterator["_Arriving"]:
        """Hold what arrives of one body inside."""
        body = _Arriving(self)
        try:
            yield body
        finally:
            self.bytes -= body.bytes


class _Arriving:
    def __init__(self, others: Arriving) -> None:
        self._all = others
        self.bytes = 0

    def take(self, size: int) -> None:
        """Count a part; raises OverloadedError if there is no room for it."""
        self.bytes += size
        self._all.bytes += size
        if self.bytes > SMALL_BYTES and self._all.bytes - self.bytes > MOST_BYTES:
            raise OverloadedError("The gateway is busy. Ask again in a moment.")


async def read_json_body(request: Request, limit: int, arriving: Arriving) -> bytes:
    """Return the bytes of a JSON body.

    Raises HttpError 415 for another media type, charset or coding, 413 past the limit, and
    OverloadedError if too many others arrive; it is counted as it arrives, so no more than the
    limit is ever held.
    """
    _check_media_type(request)
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise bad_request(
            "Bodies with a Content-Encoding are not read. Accepted: none.", UNSUPPORTED_MEDIA_TYPE
        )
    announced = request.headers.get("content-length", "0")
    if announced.isdigit() and int(announced) > limit:
        raise _too_large(limit)
    parts: list[bytes] = []
    try:
        with arriving.one() as body:
            async for part in request.stream():
                body.take(len(part))
                if body.bytes > limit:
                    raise _too_large(limit)
                parts.append(part)
    except ClientDisconnect:
        raise bad_request("The body ended early.") from None
    return b"".join(parts)


def _check_media_type(request: Request) -> None:
    given = request.headers.getlist("content-type")
    media, *parameters = (piece.strip().lower() for piece in (given or [""])[0].split(";"))
    charsets = {
        value.strip('"')
        for name, _, value in (parameter.partition("=") for parameter in parameters)
        if name == "charset"
    }
    if len(given) != 1 or media != "application/json" or not charsets <= {"utf-8", "utf8"}:
        raise bad_request(
            "The Content-Type is not supported. Accepted: application/json in UTF-8.",
            UNSUPPORTED_MEDIA_TYPE,
        )


def _too_large(limit: int) -> HttpError:
    error = LimitExceededError(f"The body is too large. Accepted: up to {limit} bytes.")
    return HttpError(CONTENT_TOO_LARGE, error, {"Connection": "close"})
