"""Requests to an application in this event loop, without a server."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.types import ASGIApp, Message

from gateway.dev import aws_headers
from gateway.sandbox import CALLERS
from tests.gateways import GRAPHQL

RawHeaders = Iterable[tuple[bytes, bytes]]


def caller_headers(name: str = "ada", **more: str) -> list[tuple[bytes, bytes]]:
    """Return the headers of a POST; `more` are others, with underscores in their names."""
    headers = {"Accept": GRAPHQL, "Content-Type": "application/json", **aws_headers(CALLERS[name])}
    headers |= {each.replace("_", "-"): value for each, value in more.items()}
    return [(each.lower().encode(), value.encode()) for each, value in headers.items()]


@dataclass
class AsgiResponse:
    """What an application has sent."""

    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""

    @property
    def content(self) -> Any:
        return orjson.loads(self.body)

    def header(self, name: bytes) -> list[bytes]:
        """Return all values of a header."""
        return [value for each, value in self.headers if each == name]


@dataclass
class Client:
    """Sends requests to a started application."""

    app: ASGIApp
    state: Mapping[str, Any]

    def scope(
        self, headers: RawHeaders, *, method: str = "POST", query_string: bytes = b""
    ) -> dict[str, Any]:
        """Return the ASGI scope of a request to the endpoint."""
        return {
            "type": "http",
            "method": method,
            "path": "/graphql",
            "raw_path": b"/graphql",
            "root_path": "",
            "scheme": "http",
            "http_version": "1.1",
            "query_string": query_string,
            "headers": list(headers),
            "state": dict(self.state),
        }

    async def send(
        self,
        headers: RawHeaders,
        body: bytes = b"",
        *,
        method: str = "POST",
        query_string: bytes = b"",
    ) -> AsgiResponse:
        scope = self.scope(headers, method=method, query_string=query_string)
        response = AsgiResponse()
        messages = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Message:
            return messages.pop() if messages else await _never()

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                response.status = message["status"]
                response.headers = list(message["headers"])
            response.body += message.get("body", b"")

        await self.app(scope, receive, send)
        return response

    async def ask(
        self,
        query: str,
        variables: Mapping[str, Any] | None = None,
        *,
        name: str = "ada",
        **more: str,
    ) -> AsgiResponse:
        """Send a query as one of the sandbox's callers."""
        body = orjson.dumps({"query": query, "variables": variables or {}})
        return await self.send(caller_headers(name, **more), body)


async def _never() -> Message:
    await asyncio.Event().wait()
    raise AssertionError


@asynccontextmanager
async def started(app: Starlette) -> AsyncIterator[Client]:
    """Run the lifespan of an application."""
    async with app.router.lifespan_context(app) as state:
        yield Client(app, state or {})
