"""CORS: which other origins' pages may read responses of the GraphQL endpoint."""

from collections.abc import Callable, Collection
from functools import partial

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

GRAPHQL_PATH = "/graphql"

ALLOWED_HEADERS = (
    "Content-Type",
    "X-Aws-Access-Key-Id",
    "X-Aws-Secret-Access-Key",
    "X-Aws-Session-Token",
    "Authorization",
    "Cache-Control",
    "X-Request-Id",
    "X-Gateway-Cost",
)
"""X-Router-Secret is left out on purpose: a page must never have it."""

EXPOSED_HEADERS = ("X-Request-Id", "Retry-After")

PREFLIGHT_SECONDS = 3600


class GraphqlCorsMiddleware(CORSMiddleware):
    """Starlette's middleware, applied to the GraphQL endpoint only."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = super().__call__ if scope.get("path") == GRAPHQL_PATH else self.app
        await app(scope, receive, send)


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
        allow_methods=("GET", "POST"),
        allow_headers=ALLOWED_HEADERS,
        expose_headers=EXPOSED_HEADERS,
        max_age=PREFLIGHT_SECONDS,
    )
