"""The paths that the gateway serves, and the response at any other."""

from collections.abc import Awaitable, Callable
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.errors import NotFoundError
from gateway.http.responses import HttpError, error_response, method_not_allowed

GRAPHQL_PATH: Final = "/graphql"

PROBE_PATHS: Final = frozenset({"/livez", "/readyz", "/metrics"})

_GRAPHQL_FOLDER = f"{GRAPHQL_PATH}/"
"""No other route is served with a slash at its end: a proxy that hides /metrics would not know."""

_KNOWN_PATHS = PROBE_PATHS | {GRAPHQL_PATH, _GRAPHQL_FOLDER}

_METHOD_NOT_ALLOWED = 405


class PathMiddleware:
    """Gives each request the path of a route: without the path prefix; `/graphql` for `/graphql/`.

    Everything behind it sees the same paths, whether a proxy strips the prefix or not.
    """

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        """`prefix` is empty, or begins with a slash and ends with none."""
        self.app = app
        self._prefix = prefix

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "http" and scope["path"] != GRAPHQL_PATH:
            scope["path"] = _route_path(scope["path"], self._prefix)
        return self.app(scope, receive, send)


def _route_path(path: str, prefix: str) -> str:
    # A prefix may be the path of a route itself, and a proxy may have stripped it.
    if path not in _KNOWN_PATHS and f"{path}/".startswith(f"{prefix}/"):
        path = path.removeprefix(prefix) or "/"
    return GRAPHQL_PATH if path == _GRAPHQL_FOLDER else path


def rejection_handler(accepted: str) -> Callable[[Request, Exception], Awaitable[Response]]:
    """Return Starlette's handler of what no route accepts: another path, or another method.

    `accepted` are the paths to name.
    """
    message = f"Nothing is served at this path. Accepted: {accepted}."
    not_found = error_response(HttpError(404, NotFoundError(message)))

    async def reject(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101  it is registered for no other
        if error.status_code != _METHOD_NOT_ALLOWED:
            return not_found
        allowed = ", ".join(sorted((error.headers or {})["Allow"].split(", ")))
        return error_response(method_not_allowed(request.method, allowed))

    return reject
