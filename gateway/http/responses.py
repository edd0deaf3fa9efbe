"""JSON responses of the GraphQL endpoint, and errors that become one."""

from collections.abc import Mapping
from typing import Any

import orjson
from starlette.responses import Response

from gateway.errors import BadUserInputError, GatewayError

GRAPHQL = "application/graphql-response+json"
JSON = "application/json"
EVENT_STREAM = "text/event-stream"
MULTIPART = "multipart/mixed"
SUBSCRIPTION_SPEC = "1.0"
"""The version of Apollo's multipart protocol, which a client must name."""

STREAMS = f"{EVENT_STREAM}, or {MULTIPART};subscriptionSpec={SUBSCRIPTION_SPEC}"

HEADERS = {"Cache-Control": "private, no-store", "X-Content-Type-Options": "nosniff"}
"""A response is for its caller only, and must not be stored."""

MAX_NAMED_METHOD = 20


class HttpError(Exception):
    """Ends a request with this status and error; `headers` are added to the response."""

    def __init__(
        self,
        status: int,
        error: GatewayError,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(error.message)
        self.status = status
        self.error = error
        self.headers = headers or {}


def bad_request(
    message: str, status: int = 400, headers: Mapping[str, str] | None = None
) -> HttpError:
    return HttpError(status, BadUserInputError(message), headers)


def method_not_allowed(method: str, allowed: str) -> HttpError:
    message = f"Method {method[:MAX_NAMED_METHOD]} is not supported. Accepted: {allowed}."
    return bad_request(message, 405, {"Allow": allowed})


def error_response(http_error: HttpError, media_type: str = JSON) -> Response:
    error = http_error.error
    errors = [{"message": error.message, "extensions": error.extensions()}]
    return json_response({"errors": errors}, http_error.status, media_type, http_error.headers)


def json_response(
    content: dict[str, Any],
    status: int,
    media_type: str,
    headers: Mapping[str, str] | None = None,
) -> Response:
    return Response(
        orjson.dumps(content),
        status,
        {**HEADERS, **headers} if headers else HEADERS,
        f"{media_type}; charset=utf-8",
    )
