"""Execution alone: a page in memory, without HTTP, cache or upstream."""

import json
import math
from typing import Any

import orjson
from graphql import ExecutionResult, GraphQLSchema, execute_sync, parse
from graphql import build_schema as build_plain_schema

from benchmarks import upstream
from benchmarks.queries import EVERY_FIELD, credentials
from gateway.auth.credentials import Caller
from gateway.graph.context import Context
from gateway.graph.execution.engine import Engine, GraphRequest, GraphResult
from gateway.graph.meter import Meter
from gateway.graph.schema import build_schema, client_sdl, executable_schema
from gateway.settings import Settings
from gateway.upstream.cache.memory import Stored, Version
from gateway.upstream.loader import (
    DETAIL_CALLS,
    PAGE_CALLS,
    CallBudget,
    RequestLoader,
)
from gateway.upstream.values import Listing, Page, PageRequest

VARIABLES = {"first": 100}


class OnePage:
    """Stands in for CachedClient: returns the one page that it holds."""

    def __init__(self) -> None:
        body = upstream.page().partition(b"\r\n\r\n")[2]
        request = PageRequest(Listing("ListAudienceGenerationJobs", ""), None)
        self._page = Stored(request.parse(json.loads(body)), 0.0, Version(math.inf), 0.0)

    async def cached(self, *_: object, **__: object) -> Stored[Page]:
        return self._page


class Execution:
    """Executes the query for every field, in both ways."""

    def __init__(self) -> None:
        own = credentials()
        self._caller = Caller.from_keys(own.access_key, own.secret_key, own.token)
        self._client: Any = OnePage()
        self._schema: GraphQLSchema = executable_schema(build_schema())
        self._settings = Settings()
        self._engine = Engine(self._schema, self._settings)
        self._document = parse(EVERY_FIELD)
        self._plain_data: Any = None
        self._plain_schema = build_plain_schema(client_sdl())

    async def ours(self) -> GraphResult:
        """Run the engine, which has cached the document."""
        request = GraphRequest(EVERY_FIELD, None, VARIABLES)
        result = await self._engine.run(request, self._context(), read_only=False)
        assert not result.errors
        return result

    async def stock(self) -> ExecutionResult:
        """Execute the parsed document by graphql-core alone, over the same data as dicts."""
        if self._plain_data is None:
            self._plain_data = orjson.loads(orjson.dumps((await self.ours()).data))
        executed = execute_sync(
            self._plain_schema, self._document, self._plain_data, variable_values=VARIABLES
        )
        assert not executed.errors
        return executed

    def _context(self) -> Context:
        loader = RequestLoader(
            self._client,
            self._caller,
            fresh=False,
            deadline=float("inf"),
            page_budget=CallBudget(20, PAGE_CALLS),
            item_budget=CallBudget(500, DETAIL_CALLS),
        )
        meter = Meter(self._settings, deadline=float("inf"))
        return Context(settings=self._settings, loader_or_error=loader, meter=meter)
