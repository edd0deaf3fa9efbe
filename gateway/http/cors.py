"""Frontends on other origins: which of them a browser lets read our answers.

Source: the Fetch standard, "CORS protocol".
"""

from collections.abc import Callable, Collection
from functools import partial

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

PATH = "/graphql"

ASKED_WITH = (
    "Content-Type",
    "X-Aws-Access-Key-Id",
    "X-Aws-Secret-Access-Key",
    "X-Aws-Session-Token",
    "Authorization",
    "Cache-Control",
    "X-Request-Id",
    "X-Gateway-Cost",
)
"""The headers that a foreign page may send; never a router's secret."""

SHOWN = ("X-Request-Id", "Retry-After")

PREFLIGHT_SECONDS = 3600


class Cors(CORSMiddleware):
    """Starlette's middleware, on one path."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the lifespan, which has no path."""
        app = super().__call__ if scope.get("path") == PATH else self.app
        await app(scope, receive, send)


def cors_for(origins: Collection[str]) -> Callable[[ASGIApp], ASGIApp]:
    """Return what lets pages of these origins read an application's answers; of none, nothing.

    Credentials are headers that a page must know, never a browser's own, so none are allowed.
    """
    if not origins:
        return lambda app: app
    return partial(
        Cors,
        allow_origins=origins,
        allow_methods=("GET", "POST"),
        allow_headers=ASKED_WITH,
        expose_headers=SHOWN,
        max_age=PREFLIGHT_SECONDS,
    )
