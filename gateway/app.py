"""The composition root: the only module that knows all parts."""

import gc
import sys
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.auth.authenticator import Authenticator, Identity, Oidc
from gateway.auth.oidc import TokenVerifier
from gateway.auth.oidc_file import Issuer
from gateway.auth.sts import SessionCache, StsClient
from gateway.configuration import read_configuration
from gateway.cpu_scheduler import account_for_tasks
from gateway.environment import read_settings
from gateway.errors import GatewayError
from gateway.graph.context import Context
from gateway.graph.execution.engine import Engine
from gateway.graph.meter import Meter
from gateway.graph.projections import projections
from gateway.graph.schema import build_schema, executable_schema
from gateway.http.answers import AnswerCache
from gateway.http.concurrency import ConcurrencyLimiter
from gateway.http.cors import cors_for
from gateway.http.endpoint import Endpoint
from gateway.http.exchange import RequestOptions, Resources
from gateway.http.graphiql import SandboxContent
from gateway.http.health import Health, livez, metrics
from gateway.http.middleware import AccessLogMiddleware, TracingMiddleware
from gateway.http.paths import GRAPHQL_PATH, PROBE_PATHS, PathMiddleware, rejection_handler
from gateway.http.persisted_documents import PersistedDocuments
from gateway.http.requests import BodyReader
from gateway.http.responses import HEADERS
from gateway.http.subscriptions import Subscriptions
from gateway.reload import Reloader
from gateway.server.protocol import connection_limit
from gateway.settings import Settings, SettingsError
from gateway.telemetry.logging import configure_logs
from gateway.telemetry.metrics import measure_loop
from gateway.upstream.cache.cached_client import CachedClient
from gateway.upstream.cache.memory import MemoryCache, ResponseCache
from gateway.upstream.cache.redis import EncryptedRedisCache, RedisClient
from gateway.upstream.client import CleanRoomsClient
from gateway.upstream.loader import (
    DETAIL_CALLS,
    PAGE_CALLS,
    CallBudget,
    RequestLoader,
)
from gateway.upstream.resilience.callers import ProvedCallers
from gateway.upstream.resilience.client import ResilientClient
from gateway.upstream.resilience.rate_limit import CallerRateLimiter
from gateway.watch.poll import Timing
from gateway.watch.watcher import Watcher

log = structlog.get_logger()

CONNECTIONS_FOR_SUBSCRIPTIONS = 0.9
"""Part of the connections."""

GC_THRESHOLDS = (10_000, 5, 80)
"""Python's own first threshold is 700 objects, fewer than a request with a new document makes.
Those that last would be scanned several times; nearly all others are freed without a collection.
The second one is below Python's 10: what has survived since is scanned at once, and what a thousand
new subscriptions hold would stop all requests for 100 ms."""


def from_environment() -> Starlette:
    """Build the gateway that the environment configures: the factory of each worker process.

    Ends the process if a file is invalid by now: the other workers serve as they are configured.
    """
    settings = read_settings()
    configure_logs(settings.log_level)
    try:
        return create_app(settings)
    except SettingsError as error:
        log.error("worker cannot start", reason=str(error))  # noqa: TRY400  the message says it all
        sys.exit(1)


def create_app(
    settings: Settings,
    *,
    sandbox: SandboxContent | None = None,
    allowed_hosts: Middleware | None = None,
) -> Starlette:
    """Build the gateway; users of GraphiQL find what `sandbox` has.

    `allowed_hosts` rejects requests for other host names, which is logged like any request.

    Raises SettingsError if a file that the settings name is invalid, or an optional dependency
    that they require is not installed.
    """
    prefix = settings.path_prefix or ""
    configuration = read_configuration(settings, sandbox=sandbox)
    graphiql, tracer = configuration.graphiql, configuration.tracer
    cache_url = configuration.cache_url
    memory = MemoryCache(settings.cache_bytes)
    # With Redis, another replica may refresh what an answer here was made of.
    keeps_answers = cache_url == "memory://" and settings.cache_seconds and settings.cache_bytes
    limiter = ConcurrencyLimiter(settings.max_in_flight)
    proved_callers = ProvedCallers()
    health = Health(limiter)
    # Their connections give way to no other request.
    most = int(connection_limit() * CONNECTIONS_FOR_SUBSCRIPTIONS)
    subscriptions = Subscriptions(settings.max_subscriptions, proved_callers, most=most)
    endpoint = Endpoint(
        engine=Engine(executable_schema(build_schema(root_node=settings.root_node)), settings),
        limiter=limiter,
        proved_callers=proved_callers,
        body_reader=BodyReader(settings.limit_body_bytes),
        graphiql=graphiql,
        subscriptions=subscriptions,
        deadline_seconds=settings.deadline_seconds,
        documents=PersistedDocuments(
            configuration.manifest, settings.persisted_only, configuration.router_secrets
        ),
        router_secrets=configuration.router_secrets,
        cors_origins=settings.cors_origins,
        answers=AnswerCache(memory.store) if keeps_answers else None,
    )

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[Resources]:
        async with AsyncExitStack() as stack:
            if tracer is not None:
                await stack.enter_async_context(tracer.open())
            redis = None if cache_url == "memory://" else RedisClient(cache_url)
            rate_limiter = CallerRateLimiter(settings.caller_calls_per_second, redis)
            authenticator = await _open_authenticator(
                settings, configuration.issuers, rate_limiter, stack
            )
            cache = EncryptedRedisCache(redis) if redis else memory
            stack.push_async_callback(cache.close)
            client = await _open_client(settings, cache, rate_limiter, proved_callers, stack)
            stack.enter_context(measure_loop())
            stack.enter_context(account_for_tasks())
            # What exists by now lives as long as the process. Scanning it in a full collection
            # would stop all requests for 50 ms and more.
            gc.collect()
            gc.freeze()
            gc.set_threshold(*GC_THRESHOLDS)
            verifier = authenticator.oidc.verifier if authenticator.oidc else None
            app.state.reload = Reloader(configuration, endpoint, verifier, redis).reload
            health.started = True
            yield {
                "authenticator": authenticator,
                "make_context": partial(make_context, settings, client),
                "watcher": Watcher(
                    client,
                    Timing(seconds=settings.watch_seconds),
                    max_pages=settings.max_upstream_calls,
                ),
            }

    middleware = [Middleware(PathMiddleware, prefix=prefix)]
    if tracer is not None:
        middleware.append(Middleware(TracingMiddleware, tracer=tracer))
    middleware.append(Middleware(AccessLogMiddleware, cors=cors_for(settings.cors_origins)))
    if allowed_hosts is not None:
        middleware.append(allowed_hosts)
    health_routes = [
        Route("/livez", livez),
        Route("/readyz", health.readyz),
        Route("/metrics", metrics),
    ]
    routes: list[BaseRoute] = [] if settings.admin_port else [*health_routes]
    if graphiql:
        to_graphiql = partial(_redirect, f"{prefix}{GRAPHQL_PATH}")
        routes += [graphiql.assets(), Route("/", to_graphiql)]
    app = Application(
        endpoint,
        routes=routes,
        middleware=middleware,
        exception_handlers={HTTPException: rejection_handler(f"{prefix}{GRAPHQL_PATH}")},
        lifespan=lifespan,
    )
    # Read by the server.
    app.state.health, app.state.drain_seconds = health, settings.drain_seconds
    app.state.subscriptions = subscriptions
    app.state.admin = _admin_app(health_routes, middleware)
    # Behind a load balancer that terminates TLS, redirects would name http://, and clients would
    # repeat the request with its credentials there.
    app.router.redirect_slashes = False
    return app


class Application(Starlette):
    """Starlette with the GraphQL endpoint beside its routes.

    Nearly all requests are for the endpoint. They skip Starlette's router and its handlers of
    exceptions, which would take as long as the endpoint with a cached response.
    """

    def __init__(self, endpoint: Endpoint, **options: Any) -> None:
        super().__init__(**options)
        self._endpoint = endpoint

    def build_middleware_stack(self) -> ASGIApp:
        routes = ExceptionMiddleware(self.router, self.exception_handlers)

        def dispatch(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
            is_endpoint = scope["type"] == "http" and scope["path"] == GRAPHQL_PATH
            return (self._endpoint if is_endpoint else routes)(scope, receive, send)

        app: ASGIApp = dispatch
        for middleware, args, options in reversed(self.user_middleware):
            app = middleware(app, *args, **options)
        return app


def _admin_app(routes: Sequence[BaseRoute], middleware: Sequence[Middleware]) -> Starlette:
    """Build the application of the admin port."""
    not_found = rejection_handler(", ".join(sorted(PROBE_PATHS)))
    app = Starlette(
        routes=routes, middleware=middleware, exception_handlers={HTTPException: not_found}
    )
    app.router.redirect_slashes = False
    return app


def make_context(
    settings: Settings,
    client: CachedClient,
    identity: Identity,
    options: RequestOptions,
    deadline: float,
) -> Context:
    """Make the context of a request; `deadline` is a time of the event loop's clock."""
    meter = Meter(settings, deadline=deadline)
    if isinstance(identity, GatewayError):
        return Context(
            settings=settings,
            loader_or_error=identity,
            meter=meter,
            from_router=options.from_router,
        )
    loader = RequestLoader(
        client,
        identity,
        fresh=options.fresh,
        deadline=deadline,
        page_budget=CallBudget(settings.max_upstream_calls, PAGE_CALLS),
        item_budget=CallBudget(settings.max_detail_calls, DETAIL_CALLS),
    )
    return Context(
        settings=settings,
        loader_or_error=loader,
        meter=meter,
        show_cost=options.show_cost,
        from_router=options.from_router,
    )


async def _open_authenticator(
    settings: Settings,
    issuers: Mapping[str, Issuer],
    rate_limiter: CallerRateLimiter,
    stack: AsyncExitStack,
) -> Authenticator:
    oidc = None
    if issuers:
        sts = await stack.enter_async_context(
            StsClient.open(settings.region, settings.sts_endpoint_url())
        )
        sessions = SessionCache(sts, rate_limiter)
        stack.push_async_callback(sessions.close)
        oidc = Oidc(TokenVerifier(issuers), sessions)
    return Authenticator(
        settings.callers, allow_long_term_keys=settings.allow_long_term_keys, oidc=oidc
    )


async def _open_client(
    settings: Settings,
    cache: ResponseCache,
    rate_limiter: CallerRateLimiter,
    proved_callers: ProvedCallers,
    stack: AsyncExitStack,
) -> CachedClient:
    """Open the client for AWS with its retries and limits, behind the cache."""
    clean_rooms = await stack.enter_async_context(CleanRoomsClient.open(settings.endpoint_urls()))
    return CachedClient(
        ResilientClient(clean_rooms, rate_limiter, proved_callers),
        cache,
        settings.cache_seconds,
        projections(),
        stale_seconds=settings.stale_seconds,
        origin=settings.upstream_url or "",
    )


async def _redirect(path: str, _: Request) -> Response:
    return RedirectResponse(path, headers=HEADERS)
