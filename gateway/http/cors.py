"""CORS: which pages may send requests to the GraphQL endpoint from a browser."""

import re
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Final

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.http.paths import GRAPHQL_PATH
from gateway.http.responses import bad_request, error_response

METHODS: Final = ("GET", "POST")

EXPOSED_HEADERS: Final = ("X-Request-Id", "Retry-After")

PREFLIGHT_SECONDS: Final = 3600

MAX_NAMES_CHARACTERS: Final = 4096
"""Limit on the names of headers in a preflight: reading 64 KiB of them takes 12 ms."""

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


class GraphqlCorsMiddleware(CORSMiddleware):
    """Starlette's middleware, applied to the GraphQL endpoint only.

    A preflight from an allowed origin is granted all headers that it asks for: clients, tracing and
    error reporting add their own, and no header gives a page more access than it has without.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = super().__call__ if scope.get("path") == GRAPHQL_PATH else self.app
        await app(scope, receive, send)

    def preflight_response(self, request_headers: Headers) -> Response:
        origin = request_headers["origin"]
        requested = ",".join(request_headers.getlist("access-control-request-headers"))
        if not self.is_allowed_origin(origin):
            return self._reject("origin", "the origins in GATEWAY_CORS_ORIGINS")
        if request_headers["access-control-request-method"] not in self.allow_methods:
            return self._reject("method", ", ".join(self.allow_methods))
        names = _header_names(requested) if len(requested) <= MAX_NAMES_CHARACTERS else None
        if names is None or not all(map(_HEADER_NAME.fullmatch, names)):
            return self._reject(
                "headers",
                "names of headers, separated by commas, in up to "
                f"{MAX_NAMES_CHARACTERS} characters",
            )
        headers = {**self.preflight_headers, "Access-Control-Allow-Origin": origin}
        if names:
            headers["Access-Control-Allow-Headers"] = ", ".join(names)
        return Response("OK", headers=headers, media_type="text/plain")

    def _reject(self, what: str, accepted: str) -> Response:
        message = f"This preflight's {what} cannot be allowed. Accepted: {accepted}."
        return error_response(
            bad_request(message, headers={"Vary": self.preflight_headers["Vary"]})
        )


def _header_names(text: str) -> Sequence[str]:
    return [name for part in text.split(",") if (name := part.strip())]


def cors_for(origins: Collection[str]) -> Callable[[ASGIApp], ASGIApp]:
    """Return a wrapper that lets pages of these origins read an application's responses.

    Without origins it changes nothing. Callers authenticate with headers that a page sets itself,
    never with a browser's own credentials, so `Access-Control-Allow-Credentials` is never sent.
    """
    if not origins:
        return lambda app: app
    return partial(
        GraphqlCorsMiddleware,
        allow_origins=origins,
        allow_methods=METHODS,
        allow_headers=("*",),
        expose_headers=EXPOSED_HEADERS,
        max_age=PREFLIGHT_SECONDS,
    )
