"""/graphql: from an HTTP request to an HTTP answer.

Source: GraphQL over HTTP; where its drafts differ, the public audit suite decides.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.auth.authenticator import Authenticator, Identity
from gateway.auth.router_secret import RouterSecrets
from gateway.errors import OverloadedError, UnauthenticatedError
from gateway.graph.context import Context
from gateway.graph.execution.engine import Engine, GraphRequest, GraphResult, WriteByGetError
from gateway.http.body import Arriving, read_json_body
from gateway.http.concurrency import ConcurrencyLimiter
from gateway.http.disconnect import ClientGoneError, until_disconnect
from gateway.http.graphiql import GraphiQL
from gateway.http.negotiation import GRAPHQL, JSON, accepted
from gateway.http.parameters import from_body, from_query_string
from gateway.http.request_log import RequestLog, request_log_of
from gateway.http.responses import HttpError, bad_request

METHODS = "GET, POST"

COST_HEADER = "X-Gateway-Cost"
"""Asks, by any value, for `extensions.cost`."""
UNAUTHORIZED = 401
METHOD_NOT_ALLOWED = 405
NOT_ACCEPTABLE = 406

CLIENT_GONE = "CLIENT_GONE"
"""The outcome of a request whose client did not wait for it."""

SERVICE_UNAVAILABLE = 503

PRIVATE = {"Cache-Control": "private, no-store", "X-Content-Type-Options": "nosniff"}
"""On each answer: it is for one caller, now."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Serves one engine over HTTP."""

    engine: Engine
    admission: ConcurrencyLimiter
    door: Callable[[], Authenticator]
    context_for: Callable[[Identity, bool, bool, bool], Context]
    """Makes a context from who asks, whether it reads past the cache, whether it is told what it
    costs, and whether it comes from the router."""
    graphiql: GraphiQL | None
    max_body_bytes: int
    router_secrets: RouterSecrets | None = None
    """What tells the router from others; None if there is nothing to tell."""
    arriving: Arriving = field(default_factory=Arriving)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request of any method, as an ASGI application."""
        report = request_log_of(scope)
        report.is_graphql = True
        try:
            response = await self.answer(Request(scope, receive), report)
        except ClientGoneError:
            report.outcome = CLIENT_GONE
            return
        await response(scope, receive, send)

    async def answer(self, request: Request, report: RequestLog) -> Response:
        """Answer a request."""
        wishes = accepted(", ".join(request.headers.getlist("accept")))
        if request.method == "GET" and wishes.html and self.graphiql is not None:
            report.is_graphql = False
            return self.graphiql.page()
        media_type = wishes.media_type
        try:
            if media_type is None:
                raise bad_request(
                    f"No acceptable media type. Accepted: {GRAPHQL} and {JSON}.", NOT_ACCEPTABLE
                )
            result = await self._result(request, report)
            report.set_outcome(result.outcome, result.operation)
            return _answer(result, media_type, self.door().challenge)
        except HttpError as problem:
            report.outcome = problem.error.code
            return error_response(problem, media_type or JSON)
        except OverloadedError as error:
            report.outcome = error.code
            headers = {"Retry-After": str(error.retry_after)}
            return error_response(
                HttpError(SERVICE_UNAVAILABLE, error, headers), media_type or JSON
            )

    async def _result(self, request: Request, report: RequestLog) -> GraphResult:
        # Looked at first: to say no must cost nothing.
        await self.admission.check()
        headers = request.scope["headers"]
        identity = await self._identify(headers)
        report.caller = identity.caller.digest if identity.caller else None
        from_router = self.router_secrets is None or self.router_secrets.shown_by(headers)
        asked = await self._asked(request)
        report.set_document(asked.query)
        show_cost = COST_HEADER in request.headers
        fresh = "no-cache" in _directives(request.headers.getlist("cache-control"))
        try:
            who = identity.caller.fingerprint if identity.caller else None
            async with until_disconnect(request.receive), self.admission.admit(who):
                context = self.context_for(identity, fresh, show_cost, from_router)
                report.cost = context.cost
                result = await self.engine.run(asked, context, read_only=request.method == "GET")
        except WriteByGetError:
            raise _not_allowed("A GET executes queries only.", "POST") from None
        return result

    async def _identify(self, headers: list[tuple[bytes, bytes]]) -> Identity:
        authenticator = self.door()
        try:
            return await authenticator.identify(headers)
        except UnauthenticatedError as error:
            raise HttpError(UNAUTHORIZED, error, authenticator.challenge) from None

    async def _asked(self, request: Request) -> GraphRequest:
        if request.method == "POST":
            body = await read_json_body(request, self.max_body_bytes, self.arriving)
            return from_body(body)
        if request.method == "GET":
            return from_query_string(request.scope["query_string"])
        raise _not_allowed(f"{request.method[:20]} is not served here.", METHODS)


def _directives(headers: list[str]) -> set[str]:
    return {each.strip().lower() for header in headers for each in header.split(",")}


def _not_allowed(message: str, allowed: str) -> HttpError:
    problem = bad_request(f"{message} Accepted: {allowed}.", METHOD_NOT_ALLOWED)
    problem.headers = {"Allow": allowed}
    return problem


def _answer(result: GraphResult, media_type: str, challenge: Mapping[str, str]) -> Response:
    content: dict[str, Any] = {}
    if result.unauthenticated:
        response = _json({"errors": result.errors}, UNAUTHORIZED, media_type)
        response.headers.update(challenge)
        return response
    if result.errors:
        content["errors"] = result.errors
    if result.extensions:
        content["extensions"] = result.extensions
    if result.executed:
        content["data"] = result.data
        return _json(content, 200, media_type)
    # A client that knows JSON only would not look into the body of an error status.
    return _json(content, 400 if media_type == GRAPHQL else 200, media_type)


def error_response(problem: HttpError, media_type: str = JSON) -> Response:
    """Put a refused request into an answer of the form that GraphQL clients read."""
    error = {"message": problem.error.message, "extensions": problem.error.extensions()}
    response = _json({"errors": [error]}, problem.status, media_type)
    response.headers.update(problem.headers)
    return response


def _json(content: dict[str, Any], status: int, media_type: str) -> Response:
    return Response(
        orjson.dumps(content),
        status,
        PRIVATE,
        f"{media_type}; charset=utf-8",
    )
