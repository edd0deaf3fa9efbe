"""The GraphQL endpoint: an HTTP request in, an HTTP response out.

Source: GraphQL over HTTP; where its drafts differ, the public audit suite decides.
"""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.auth.authenticator import BearerClaim, Claim, RouterSecrets
from gateway.auth.credentials import Caller
from gateway.cpu_scheduler import CpuScheduler, NoTurnError, take_turn_to_begin
from gateway.errors import LimitExceededError, OverloadedError, UpstreamTimeoutError
from gateway.graph.context import Context, Watching
from gateway.graph.execution.engine import Engine, GraphRequest, GraphResult, Operation
from gateway.graph.execution.plan import WriteByGetError
from gateway.graph.execution.result_stream import subscribe
from gateway.http.answers import AnswerCache
from gateway.http.concurrency import ANONYMOUS, ConcurrencyLimiter, RequestSlot
from gateway.http.disconnect import ClientDisconnectedError, cancel_on_disconnect
from gateway.http.exchange import (
    Exchange,
    RequestOptions,
    Resources,
    identify,
    identify_again,
    log_caller,
    read_claim,
)
from gateway.http.graphiql import GraphiQL
from gateway.http.middleware import CLIENT_DISCONNECTED, request_log_of
from gateway.http.parameters import parse_body, parse_query_string
from gateway.http.persisted_documents import (
    REFUSED,
    PersistedDocuments,
    RequestedDocument,
    not_persisted,
)
from gateway.http.requests import (
    COST_HEADER,
    Accepted,
    BodyReader,
    RequestHeaders,
    check_cross_site,
    has_no_cache,
    parse_accept,
)
from gateway.http.responses import (
    GRAPHQL,
    JSON,
    STREAMS,
    ContentError,
    HttpError,
    bad_request,
    error_content,
    error_response,
    json_response,
    method_not_allowed,
)
from gateway.http.streams import (
    STREAM_FORMATS,
    SubscriptionResponse,
    result_content,
    stream_of_one,
)
from gateway.http.subscriptions import Subscriptions
from gateway.http.waiting import guard_waiting
from gateway.upstream.loader import RequestLoader
from gateway.upstream.resilience.callers import UNPROVED, ProvedCallers

METHODS = "GET, POST"

NOT_SERVED = HttpError(
    503,
    UpstreamTimeoutError(
        "The gateway is busy, and could not begin the request within its time limit. Try again "
        "later."
    ),
    {"Retry-After": str(OverloadedError.retry_after)},
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    engine: Engine
    limiter: ConcurrencyLimiter
    proved_callers: ProvedCallers
    body_reader: BodyReader
    graphiql: GraphiQL | None
    subscriptions: Subscriptions
    deadline_seconds: float
    documents: PersistedDocuments
    router_secrets: RouterSecrets | None = None
    """None: every request counts as the router's."""
    cors_origins: Collection[str] = ()
    answers: AnswerCache | None = None
    """None: each request is executed."""
    cpu: CpuScheduler = field(default_factory=CpuScheduler)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request of any method, as an ASGI application."""
        exchange = self._begin(scope, receive)
        exchange.log.is_graphql = True
        try:
            serve = self._serve(exchange, scope, receive, send)
            await self.cpu.run(exchange.limit_key, serve, deadline=exchange.deadline)
        except NoTurnError:
            exchange.log.outcome = NOT_SERVED.error.code
            await error_response(NOT_SERVED)(scope, receive, send)
        except ClientDisconnectedError:
            exchange.log.outcome = CLIENT_DISCONNECTED
        finally:
            exchange.slot.release()

    def _begin(self, scope: Scope, receive: Receive) -> Exchange:
        headers = RequestHeaders(scope["headers"])
        resources: Resources = scope["state"]
        log = request_log_of(scope)
        lookup = self.answers.lookup(scope["method"], headers) if self.answers else None
        known = lookup.known if lookup else None
        claim, limit_key = None, ANONYMOUS
        if known:
            limit_key = self.proved_callers.limit_key(known)
            log.caller = known.digest
        else:
            claim = read_claim(resources["authenticator"], headers)
        if isinstance(claim, Caller):
            limit_key = self.proved_callers.limit_key(claim)
        elif isinstance(claim, BearerClaim):
            limit_key = claim.token.limit_key if claim.token else UNPROVED
        return Exchange(
            scope["method"],
            scope["query_string"],
            headers,
            receive,
            resources,
            log,
            RequestSlot(self.limiter),
            asyncio.get_running_loop().time() + self.deadline_seconds,
            claim,
            limit_key,
            lookup,
            known,
        )

    async def _serve(self, exchange: Exchange, scope: Scope, receive: Receive, send: Send) -> None:
        # Sending takes as much of the event loop's time as finding a whole answer.
        response = await self._respond(exchange)
        await response(scope, receive, send)

    async def _respond(self, exchange: Exchange) -> ASGIApp:
        if exchange.known:
            return await self._respond_as(exchange, exchange.known.media_type)
        accepted = _accepted(exchange)
        if exchange.method == "GET" and accepted.html and self.graphiql is not None:
            exchange.log.is_graphql = False
            return self.graphiql.page()
        return await self._respond_as(exchange, accepted.media_type)

    async def _respond_as(self, exchange: Exchange, media_type: str | None) -> ASGIApp:
        try:
            if media_type is None:
                message = f"No acceptable media type. Accepted: {GRAPHQL}, {JSON}, {STREAMS}."
                raise bad_request(message, 406)
            return await self._answer(exchange, media_type)
        except (HttpError, OverloadedError) as error:
            http_error = error if isinstance(error, HttpError) else _service_unavailable(error)
            exchange.log.outcome = http_error.error.code
            if isinstance(http_error, ContentError) and media_type is not None:
                content = error_content(http_error.error)
                return _result_response(content, http_error.status, media_type)
            return error_response(http_error, GRAPHQL if media_type == GRAPHQL else JSON)

    async def _answer(self, exchange: Exchange, media_type: str) -> ASGIApp:
        """Return the answer that was kept for the request, or execute it."""
        content = await self._receive(exchange)
        answer = exchange.lookup.find(content) if exchange.lookup else None
        if answer is not None:
            return answer.replay(exchange.log)
        return await self._execute(exchange, content, media_type)

    async def _receive(self, exchange: Exchange) -> bytes:
        """Take the request's slot, and return its body or query string."""
        if exchange.method == "GET" and not exchange.known:
            check_cross_site(exchange.headers, self.cors_origins)
        claim = exchange.claim
        if isinstance(claim, HttpError):
            raise claim
        log_caller(exchange, claim)
        if await exchange.slot.acquire(exchange.limit_key):
            # Many requests may get a place at once.
            await take_turn_to_begin(exchange.deadline)
        return await self._read_content(exchange)

    async def _execute(self, exchange: Exchange, content: bytes, media_type: str) -> ASGIApp:
        parse = parse_body if exchange.method == "POST" else parse_query_string
        parameters = parse(content)
        document = self.documents.find(parameters, exchange.headers.items, exchange.log)
        graph_request = GraphRequest(document.text, parameters.operation_name, parameters.variables)
        claim = exchange.claim
        if claim is None:
            claim = read_claim(exchange.resources["authenticator"], exchange.headers)
        if isinstance(claim, HttpError):
            raise claim
        run = self._run(exchange, claim, document, graph_request, media_type)
        try:
            return await guard_waiting(run, lambda: cancel_on_disconnect(exchange.receive))
        except WriteByGetError:
            message = "GET executes queries and subscriptions only. Accepted: POST."
            raise bad_request(message, 405, {"Allow": "POST"}) from None

    async def _run(
        self,
        exchange: Exchange,
        claim: Claim,
        document: RequestedDocument,
        graph_request: GraphRequest,
        media_type: str,
    ) -> ASGIApp:
        identity = await identify(exchange, claim)
        log_caller(exchange, identity)
        options = self._options(exchange.headers)
        make_context = partial(exchange.resources["make_context"], options=options)
        context = make_context(identity, deadline=exchange.deadline)
        exchange.log.cost = context.cost
        operation = self.engine.prepare(graph_request, read_only=exchange.method == "GET")
        if isinstance(operation, GraphResult):
            return _respond_with(exchange, operation, media_type)
        if document.schema_only and not operation.plan.reads_schema_only:
            exchange.log.persisted = REFUSED
            raise not_persisted()
        if operation.is_subscription:
            resources = exchange.resources
            identify_now = identify_again(resources["authenticator"], claim)
            watching = Watching(resources["watcher"], identify_now)
            context = replace(context, watching=watching)
            response = await self._subscribe(exchange, graph_request, operation, context, options)
            self._remember(document, context)
            return response
        result = await self.engine.execute(operation, context)
        self._remember(document, context)
        response = _respond_with(exchange, result, media_type)
        if media_type not in STREAM_FORMATS:
            _keep_answer(exchange, result, context, response, media_type)
        return response

    async def _subscribe(
        self,
        exchange: Exchange,
        request: GraphRequest,
        operation: Operation,
        context: Context,
        options: RequestOptions,
    ) -> ASGIApp:
        media_type = _accepted(exchange).stream
        if media_type is None:
            message = (
                f"The Accept header names no stream for the subscription. Accepted: {STREAMS}."
            )
            raise bad_request(message, 406)
        make_context = exchange.resources["make_context"]
        loop, seconds = asyncio.get_running_loop(), self.deadline_seconds
        if isinstance(context.loader_or_error, RequestLoader):
            self.subscriptions.check(context.loader_or_error.caller)
        results = await subscribe(
            self.engine,
            request,
            operation,
            context,
            lambda caller: make_context(caller, options, loop.time() + seconds),
            options,
        )
        if isinstance(results, GraphResult):
            return _respond_with(exchange, results, media_type)
        caller = context.loader.caller
        try:
            subscription = self.subscriptions.open(caller)
        except OverloadedError:
            results.close()
            raise
        exchange.slot.release()
        exchange.forget_request()
        # The request began on the account of all callers who were not known to AWS or verified.
        run = partial(self.cpu.run, self.proved_callers.limit_key(caller))
        return SubscriptionResponse(
            media_type, results, self.subscriptions, subscription, exchange.log, run
        )

    def _remember(self, document: RequestedDocument, context: Context) -> None:
        """Remember a valid document, if it is new, and the caller was proved by now."""
        loader = context.loader_or_error
        if document.new_hash and isinstance(loader, RequestLoader):
            limit_key = self.proved_callers.limit_key(loader.caller)
            if limit_key != UNPROVED:
                self.documents.remember(document, limit_key)

    def _options(self, headers: RequestHeaders) -> RequestOptions:
        return RequestOptions(
            fresh=has_no_cache(headers.values(b"cache-control")),
            show_cost=bool(headers.values(COST_HEADER)),
            from_router=self.router_secrets is None or self.router_secrets.match(headers.items),
        )

    async def _read_content(self, exchange: Exchange) -> bytes:
        """Return the body, or the query string."""
        if exchange.method == "POST":
            if not exchange.known:
                self.body_reader.check(exchange.headers)
            body = self.body_reader.read(exchange.receive)
            return await guard_waiting(body, lambda: _wait_for_body(exchange.deadline))
        if exchange.method == "GET":
            return exchange.query_string
        raise method_not_allowed(exchange.method, METHODS)


def _keep_answer(
    exchange: Exchange,
    result: GraphResult,
    context: Context,
    response: Response,
    media_type: str,
) -> None:
    """Keep a response with data and nothing else, which the request has a caller for."""
    loader = context.loader_or_error
    is_complete = result.executed and not result.errors and not result.extensions
    if exchange.lookup and is_complete and isinstance(loader, RequestLoader):
        exchange.lookup.keep(loader.caller, media_type, loader.versions, response, exchange.log)


@asynccontextmanager
async def _wait_for_body(deadline: float) -> AsyncIterator[None]:
    """Wait until a deadline; then raises HttpError 408."""
    try:
        async with asyncio.timeout_at(deadline):
            yield
    except TimeoutError:
        message = "The body took longer to arrive than a request may take."
        # The rest of the body is not read, so the connection cannot carry another request.
        raise HttpError(408, LimitExceededError(message), {"Connection": "close"}) from None
    # The bodies of many requests may arrive at once.
    await take_turn_to_begin(deadline)


def _service_unavailable(error: OverloadedError) -> HttpError:
    return HttpError(503, error, {"Retry-After": str(error.retry_after)})


def _accepted(exchange: Exchange) -> Accepted:
    return parse_accept(", ".join(exchange.headers.values(b"accept")))


def _respond_with(exchange: Exchange, result: GraphResult, media_type: str) -> Response:
    exchange.log.set_outcome(result.outcome, result.operation)
    if result.unauthenticated:
        challenge = exchange.resources["authenticator"].challenge
        json_type = GRAPHQL if _accepted(exchange).media_type == GRAPHQL else JSON
        return json_response({"errors": result.errors}, 401, json_type, challenge)
    # A client that knows JSON only would not look into the body of an error status.
    status = 400 if media_type == GRAPHQL and not result.executed else 200
    return _result_response(result_content(result), status, media_type)


def _result_response(content: dict[str, Any], status: int, media_type: str) -> Response:
    """Return a result as the client accepts it; `status` is that of JSON.

    Clients of streams read no words of a response with another status than 200: they subscribe
    again. So what another attempt cannot change, which is whatever is wrong with the content of the
    request, is the only result of a stream.
    """
    if media_type in STREAM_FORMATS:
        return stream_of_one(content, media_type)
    return json_response(content, status, media_type)
