"""The GraphQL endpoint: an HTTP request in, an HTTP response out.

Source: GraphQL over HTTP; where its drafts differ, the public audit suite decides.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypedDict

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.auth.authenticator import Authenticator, Identity, RouterSecrets
from gateway.auth.credentials import Caller
from gateway.errors import OverloadedError, UnauthenticatedError
from gateway.graph.context import Context
from gateway.graph.execution.engine import Engine, GraphRequest, GraphResult, WriteByGetError
from gateway.http.concurrency import ConcurrencyLimiter
from gateway.http.graphiql import GraphiQL
from gateway.http.middleware import RequestLog, request_log_of
from gateway.http.requests import (
    BodyReader,
    check_cross_site,
    has_no_cache,
    parse_accept,
    parse_body,
    parse_query_string,
)
from gateway.http.responses import (
    GRAPHQL,
    JSON,
    HttpError,
    bad_request,
    error_response,
    json_response,
)

METHODS = "GET, POST"

COST_HEADER = "X-Gateway-Cost"
"""Requests `extensions.cost`, with any value."""

CLIENT_DISCONNECTED = "CLIENT_GONE"
"""Outcome of a request whose client disconnected before the response."""


@dataclass(frozen=True, slots=True)
class RequestOptions:
    """Options of a request, from its headers."""

    fresh: bool
    """Bypass the cache, and refresh it."""
    show_cost: bool
    from_router: bool
    """The request may query what is reserved for a federation router."""


class Resources(TypedDict):
    """The lifespan state: what is opened when the application starts."""

    authenticator: Authenticator
    make_context: Callable[[Identity, RequestOptions], Context]


class ClientDisconnectedError(Exception):
    """The client disconnected before the response."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    engine: Engine
    limiter: ConcurrencyLimiter
    body_reader: BodyReader
    graphiql: GraphiQL | None
    router_secrets: RouterSecrets | None = None
    """None: every request counts as the router's."""
    cors_origins: Collection[str] = ()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request of any method, as an ASGI application."""
        request_log = request_log_of(scope)
        request_log.is_graphql = True
        try:
            response = await self._respond(Request(scope, receive), request_log)
        except ClientDisconnectedError:
            request_log.outcome = CLIENT_DISCONNECTED
            return
        await response(scope, receive, send)

    async def _respond(self, request: Request[Resources], request_log: RequestLog) -> Response:
        accepted = parse_accept(", ".join(request.headers.getlist("accept")))
        if request.method == "GET" and accepted.html and self.graphiql is not None:
            request_log.is_graphql = False
            return self.graphiql.page()
        media_type = accepted.media_type
        try:
            if media_type is None:
                message = f"No acceptable media type. Accepted: {GRAPHQL} and {JSON}."
                raise bad_request(message, 406)
            if request.method == "GET":
                check_cross_site(request.headers, self.cors_origins)
            result = await self._execute(request, request_log)
            request_log.set_outcome(result.outcome, result.operation)
            return _response(result, media_type, request.state["authenticator"].challenge)
        except (HttpError, OverloadedError) as error:
            http_error = error if isinstance(error, HttpError) else _service_unavailable(error)
            request_log.outcome = http_error.error.code
            return error_response(http_error, media_type or JSON)

    async def _execute(self, request: Request[Resources], request_log: RequestLog) -> GraphResult:
        # First, because a rejection under overload must cost next to nothing.
        await self.limiter.check()
        identity = await _authenticate(request)
        caller = identity if isinstance(identity, Caller) else None
        request_log.caller = caller.digest if caller else None
        options = self._options(request)
        graph_request = await self._graph_request(request)
        request_log.set_document(graph_request.query)
        read_only = request.method == "GET"
        try:
            async with (
                cancel_on_disconnect(request.receive),
                self.limiter.admit(caller.fingerprint if caller else None),
            ):
                context = request.state["make_context"](identity, options)
                request_log.cost = context.cost
                return await self.engine.run(graph_request, context, read_only=read_only)
        except WriteByGetError:
            raise _method_not_allowed("GET executes queries only.", "POST") from None

    def _options(self, request: Request[Resources]) -> RequestOptions:
        return RequestOptions(
            fresh=has_no_cache(request.headers.getlist("cache-control")),
            show_cost=COST_HEADER in request.headers,
            from_router=self.router_secrets is None
            or self.router_secrets.match(request.scope["headers"]),
        )

    async def _graph_request(self, request: Request[Resources]) -> GraphRequest:
        if request.method == "POST":
            return parse_body(await self.body_reader.read(request))
        if request.method == "GET":
            return parse_query_string(request.scope["query_string"])
        raise _method_not_allowed(f"Method {request.method[:20]} is not supported.", METHODS)


async def _authenticate(request: Request[Resources]) -> Identity:
    authenticator = request.state["authenticator"]
    try:
        return await authenticator.identify(request.scope["headers"])
    except UnauthenticatedError as error:
        raise HttpError(401, error, authenticator.challenge) from None


def _method_not_allowed(message: str, allowed: str) -> HttpError:
    message = f"{message} Accepted: {allowed}."
    return bad_request(message, 405, {"Allow": allowed})


def _service_unavailable(error: OverloadedError) -> HttpError:
    return HttpError(503, error, {"Retry-After": str(error.retry_after)})


def _response(result: GraphResult, media_type: str, challenge: Mapping[str, str]) -> Response:
    if result.unauthenticated:
        return json_response({"errors": result.errors}, 401, media_type, challenge)
    content: dict[str, Any] = {}
    if result.errors:
        content["errors"] = result.errors
    if result.extensions:
        content["extensions"] = result.extensions
    if result.executed:
        content["data"] = result.data
        return json_response(content, 200, media_type)
    # A client that knows JSON only would not look into the body of an error status.
    return json_response(content, 400 if media_type == GRAPHQL else 200, media_type)


@asynccontextmanager
async def cancel_on_disconnect(receive: Receive) -> AsyncIterator[None]:
    """Cancel the block when the client disconnects; raises ClientDisconnectedError.

    The request's body must have been read. Upstream calls that other requests wait for go on:
    single flight shields them.
    """
    task = asyncio.current_task()
    assert task is not None  # noqa: S101  a request is served in a task
    disconnected = False

    async def watch() -> None:
        nonlocal disconnected
        while (await receive())["type"] != "http.disconnect":
            pass
        disconnected = True
        task.cancel()

    watcher = asyncio.create_task(watch())
    try:
        yield
    except asyncio.CancelledError:
        if not disconnected or task.uncancel():
            raise
        raise ClientDisconnectedError from None
    finally:
        watcher.cancel()
