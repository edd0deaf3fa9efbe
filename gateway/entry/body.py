"""The body of a request, up to a limit of bytes."""

from starlette.requests import ClientDisconnect, Request

from gateway.entry.problem import HttpProblem, bad_request
from gateway.errors import LimitExceededError

UNSUPPORTED_MEDIA_TYPE = 415
CONTENT_TOO_LARGE = 413


async def read_json_body(request: Request, limit: int) -> bytes:
    """Return the bytes of a JSON body.

    Raises HttpProblem 415 for another media type, charset or coding, 413 past the limit; it is
    counted as it arrives, so no more than the limit is ever held.
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
    size = 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > limit:
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


def _too_large(limit: int) -> HttpProblem:
    error = LimitExceededError(f"The body is too large. Accepted: up to {limit} bytes.")
    return HttpProblem(CONTENT_TOO_LARGE, error, {"Connection": "close"})
