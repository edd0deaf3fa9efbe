"""The composition root: the only module that knows all the stages."""

import asyncio
import gc
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from gateway.auth.authenticator import Authenticator, Identity, Oidc
from gateway.auth.oidc_file import Issuer, read_oidc_file
from gateway.auth.router_secret import RouterSecrets
from gateway.auth.sessions import Sessions
from gateway.auth.sts import Sts
from gateway.auth.tokens import TokenVerifier
from gateway.graph.context import Context, Scope
from gateway.graph.execution.engine import Engine
from gateway.graph.execution.limits import Limits
from gateway.graph.schema import build_schema, core
from gateway.http.concurrency import ConcurrencyLimiter
from gateway.http.cors import cors_for
from gateway.http.endpoint import Endpoint
from gateway.http.graphiql import GraphiQL
from gateway.http.health import Health, livez, metrics
from gateway.http.middleware import AccessLogMiddleware
from gateway.http.tracing import TracingMiddleware
from gateway.settings import Settings, SettingsError, read_settings
from gateway.telemetry.logging import configure_logs
from gateway.telemetry.loop_lag import watched_loop
from gateway.upstream.cache.backend import MemoryAnswers
from gateway.upstream.cache.cached_client import CachedClient
from gateway.upstream.cache.encrypted_redis import EncryptedRedisCache
from gateway.upstream.cache.memory import BoundedMemoryCache
from gateway.upstream.cache.redis_client import RedisClient
from gateway.upstream.client import CleanRoomsClient
from gateway.upstream.loader import CallBudget, RequestLoader
from gateway.upstream.resilience.client import ResilientClient
from gateway.upstream.resilience.rate_limit import CallerRateLimiter

if TYPE_CHECKING:
    from gateway.telemetry.otel import OtelTracer

EXAMPLE = """\
# Press the button, or Ctrl-Enter.
# To page on, add after: "…" with
# the endCursor of the answer.
query NewestJobs {
  audienceGenerationJobs(first: 10) {
    pageInfo {
      hasNextPage
      endCursor
    }
    edges {
      node {
        name
        status
        createTime
        id
      }
      cursor
    }
  }
}
"""
"""What GraphiQL opens with."""


def create_app(
    settings: Settings, *, example_headers: Mapping[str, str] | None = None
) -> Starlette:
    """Build the gateway; `example_headers` fill in GraphiQL's headers editor.

    Raises SettingsError if a file that the settings name is not as it must be, or what they ask
    for is not installed.
    """
    graphiql = (
        GraphiQL.load(query=EXAMPLE, headers=example_headers or {}) if settings.graphiql else None
    )
    issuers = read_oidc_file(settings.oidc_file) if settings.oidc_file else {}
    file = settings.router_secret_file
    secrets = RouterSecrets.read(file) if file else None
    cache_url = settings.read_cache_url()
    engine = Engine(
        core(build_schema(root_node=settings.root_node)),
        introspection=settings.introspection,
        limits=_limits(settings),
    )

    tracer = _tracer(settings.trace_ratio) if settings.trace_ratio else None
    admission = ConcurrencyLimiter(settings.max_in_flight)
    health = Health(admission)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as parts:
            if tracer is not None:
                await parts.enter_async_context(tracer.open())
            app.state.door = await _build_authenticator(settings, issuers, parts)
            aws = await parts.enter_async_context(
                CleanRoomsClient.open(settings.served_regions, settings.upstream_url)
            )
            link = None if cache_url == "memory://" else RedisClient(cache_url)
            cache = EncryptedRedisCache(link) if link else _memory(settings)
            parts.push_async_callback(cache.close)
            answers = CachedClient(
                ResilientClient(aws, CallerRateLimiter(settings.caller_calls_per_second, link)),
                cache,
                settings.cache_seconds,
                stale_seconds=settings.stale_seconds,
                origin=settings.upstream_url or "",
            )
            app.state.contexts = Contexts(settings, answers)
            parts.enter_context(watched_loop())
            # What is there now stays: a collection that scans it anew stops all requests for
            # 50 ms and more.
            gc.collect()
            gc.freeze()
            health.started = True
            yield

    endpoint = Endpoint(
        engine=engine,
        admission=admission,
        door=lambda: app.state.door,
        context_for=lambda identity, fresh, show_cost, from_router: app.state.contexts.make(
            identity, fresh=fresh, show_cost=show_cost, from_router=from_router
        ),
        graphiql=graphiql,
        max_body_bytes=settings.limit_body_bytes,
        router_secrets=secrets,
    )
    routes = [
        Route("/graphql", endpoint),
        Route("/livez", livez),
        Route("/readyz", health.readyz),
        Route("/metrics", metrics),
        *([graphiql.assets(), Route("/", _to_the_page)] if graphiql else []),
    ]
    middleware = [Middleware(AccessLogMiddleware, around=cors_for(settings.cors_origins))]
    if tracer is not None:
        middleware.insert(0, Middleware(TracingMiddleware, tracer=tracer))
    app = Starlette(routes=routes, middleware=middleware, lifespan=lifespan)
    # What the server looks at when it is told to end.
    app.state.health, app.state.drain_seconds = health, settings.drain_seconds
    # Behind a load balancer that ends TLS the redirect would name http://, and clients would
    # repeat the request with its credentials there.
    app.router.redirect_slashes = False
    return app


def _tracer(share: float) -> "OtelTracer":
    try:
        from gateway.telemetry.otel import OtelTracer  # noqa: PLC0415  who traces nothing starts without it
    except ImportError:
        raise SettingsError(
            "GATEWAY_TRACE_RATIO is not 0, and what traces need is not installed: "
            "pip install 'audience-gateway[otel]'"
        ) from None
    return OtelTracer(share)


def _limits(settings: Settings) -> Limits:
    return Limits(
        settings.limit_tokens,
        settings.limit_depth,
        settings.limit_aliases,
        settings.limit_root_fields,
        settings.limit_directives,
        settings.limit_selections,
    )


async def _build_authenticator(
    settings: Settings, issuers: Mapping[str, Issuer], parts: AsyncExitStack
) -> Authenticator:
    if not issuers:
        return Authenticator(settings.callers, settings.allow_long_term_keys)
    sts = await parts.enter_async_context(Sts.open(settings.region, settings.sts_url))
    sessions = Sessions(sts, settings.region)
    parts.push_async_callback(sessions.close)
    oidc = Oidc(TokenVerifier(issuers), sessions, settings.region)
    return Authenticator(settings.callers, settings.allow_long_term_keys, oidc)


def _memory(settings: Settings) -> MemoryAnswers:
    return MemoryAnswers(BoundedMemoryCache(settings.cache_bytes))


async def _to_the_page(_: Request) -> Response:
    return RedirectResponse("/graphql")


class Contexts:
    """Makes the context of each request."""

    def __init__(self, settings: Settings, answers: CachedClient) -> None:
        self._settings = settings
        self._answers = answers
        self._scope = Scope(
            settings.region,
            settings.served_regions,
            settings.limit_ids,
            settings.max_upstream_calls,
            settings.max_detail_calls,
            settings.limit_fields,
        )

    def make(
        self, identity: Identity, *, fresh: bool, show_cost: bool, from_router: bool
    ) -> Context:
        """Make one; its time runs from now."""
        if identity.caller is None:
            return Context(self._scope, identity.problem, from_router=from_router)
        settings = self._settings
        reader = RequestLoader(
            self._answers,
            identity.caller,
            fresh=fresh,
            deadline=asyncio.get_running_loop().time() + settings.deadline_seconds,
            page_budget=CallBudget(settings.max_upstream_calls, "GATEWAY_MAX_UPSTREAM_CALLS"),
            item_budget=CallBudget(settings.max_detail_calls, "GATEWAY_MAX_DETAIL_CALLS"),
        )
        return Context(self._scope, reader, show_cost=show_cost, from_router=from_router)


def from_environment() -> Starlette:
    """Build the gateway that the environment describes; what `gateway serve` runs."""
    settings = read_settings()
    configure_logs(settings.log_level)
    return create_app(settings)
