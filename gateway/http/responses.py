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


class ContentError(HttpError):
    """An error in the content of a request: its GraphQL parameters, or the document that they name.

    It is the result of the request, and has the form in which a client accepts one.
    """


class NoDocumentError(HttpError):
    """Asks the client for the text of a document, as automatic persisted queries do.

    Always JSON with status 200: not all clients and routers read the body of another one, and urql
    would send the text twice after an error in a stream.
    """

    def __init__(self, error: GatewayError) -> None:
        super().__init__(200, error)


def bad_request(
    message: str, status: int = 400, headers: Mapping[str, str] | None = None
) -> HttpError:
    return HttpError(status, BadUserInputError(message), headers)


def invalid_content(message: str) -> ContentError:
    return ContentError(400, BadUserInputError(message))


def method_not_allowed(method: str, allowed: str) -> HttpError:
    message = f"Method {method[:MAX_NAMED_METHOD]} is not supported. Accepted: {allowed}."
    return bad_request(message, 405, {"Allow": allowed})


def error_content(error: GatewayError) -> dict[str, Any]:
    """Return an error as JSON has it."""
    return {"errors": [{"message": error.message, "extensions": error.extensions()}]}


def error_response(http_error: HttpError, media_type: str = JSON) -> Response:
    content = error_content(http_error.error)
    return json_response(content, http_error.status, media_type, http_error.headers)


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
