"""The composition root: the only module that knows all the stages."""

import asyncio
import gc
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from gateway.caller import Caller
from gateway.entry.access import Access
from gateway.entry.endpoint import Endpoint
from gateway.entry.graphiql import GraphiQL
from gateway.entry.health import livez, readyz
from gateway.graph.context import Context, Scope
from gateway.graph.engine import Engine
from gateway.graph.schema import core_schema
from gateway.logs import configure_logs
from gateway.settings import Settings, read_settings
from gateway.upstream.answers import Answers
from gateway.upstream.aws import Aws
from gateway.upstream.memory import BoundedMemoryCache
from gateway.upstream.reader import Budget, Reader

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
    """Build the gateway; `example_headers` fill in GraphiQL's headers editor."""
    graphiql = (
        GraphiQL.load(query=EXAMPLE, headers=example_headers or {}) if settings.graphiql else None
    )
    engine = Engine(
        core_schema(), introspection=settings.introspection, max_tokens=settings.limit_tokens
    )

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with Aws.open(settings.served_regions, settings.upstream_url) as aws:
            cache = BoundedMemoryCache(settings.cache_bytes)
            app.state.contexts = Contexts(settings, Answers(aws, cache, settings.cache_seconds))
            # What is there now stays: a collection that scans it anew stops all requests for
            # 50 ms and more.
            gc.collect()
            gc.freeze()
            app.state.ready = True
            yield
            app.state.ready = False

    endpoint = Endpoint(
        engine=engine,
        context_for=lambda caller, fresh: app.state.contexts.make(caller, fresh=fresh),
        graphiql=graphiql,
        allow_long_term_keys=settings.allow_long_term_keys,
        max_body_bytes=settings.limit_body_bytes,
    )
    routes = [
        Route("/graphql", endpoint),
        Route("/livez", livez),
        Route("/readyz", readyz),
        *([graphiql.assets(), Route("/", _to_the_page)] if graphiql else []),
    ]
    app = Starlette(routes=routes, middleware=[Middleware(Access)], lifespan=lifespan)
    # Behind a load balancer that ends TLS the redirect would name http://, and clients would
    # repeat the request with its credentials there.
    app.router.redirect_slashes = False
    return app


async def _to_the_page(_: Request) -> Response:
    return RedirectResponse("/graphql")


class Contexts:
    """Makes the context of each request."""

    def __init__(self, settings: Settings, answers: Answers) -> None:
        self._settings = settings
        self._answers = answers
        self._scope = Scope(settings.region, settings.served_regions, settings.limit_ids)

    def make(self, caller: Caller | None, *, fresh: bool) -> Context:
        """Make one; its time runs from now."""
        if caller is None:
            return Context(self._scope, None)
        settings = self._settings
        reader = Reader(
            self._answers,
            caller,
            fresh=fresh,
            deadline=asyncio.get_running_loop().time() + settings.deadline_seconds,
            page_budget=Budget(settings.max_upstream_calls, "GATEWAY_MAX_UPSTREAM_CALLS"),
            item_budget=Budget(settings.max_detail_calls, "GATEWAY_MAX_DETAIL_CALLS"),
        )
        return Context(self._scope, reader)


def from_environment() -> Starlette:
    """Build the gateway that the environment describes; what `gateway serve` runs."""
    settings = read_settings()
    configure_logs(settings.log_level)
    return create_app(settings)
