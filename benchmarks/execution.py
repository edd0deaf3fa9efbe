"""Execution alone: a page in memory, without HTTP, cache or upstream."""

import json
from typing import Any

from graphql import ExecutionResult, GraphQLSchema, execute, parse

from benchmarks import upstream
from benchmarks.queries import EVERY_FIELD, credentials
from gateway.auth.credentials import Caller
from gateway.graph.context import Context
from gateway.graph.execution.engine import Engine, GraphRequest, GraphResult
from gateway.graph.execution.rows import RowExecutor
from gateway.graph.schema import build_schema, executable_schema
from gateway.settings import Settings
from gateway.upstream.loader import CallBudget, RequestLoader
from gateway.upstream.values import Listing, Page, PageRequest

VARIABLES = {"first": 100}


class OnePage:
    """Stands in for CachedClient: returns the one page that it holds."""

    def __init__(self) -> None:
        body = upstream.page(0, 1).partition(b"\r\n\r\n")[2]
        self._page = PageRequest(Listing("ListAudienceGenerationJobs", ""), None).parse(
            json.loads(body)
        )

    async def fetch(self, *_: object, **__: object) -> Page:
        return self._page


class FieldByField(RowExecutor):
    """Completes rows as graphql-core does, one field after the other."""

    def row_completer(self, *_: Any) -> None:
        """Complete nothing by the shortcut."""


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

    async def ours(self) -> GraphResult:
        """Run the engine, which has cached the document."""
        request = GraphRequest(EVERY_FIELD, None, VARIABLES)
        result = await self._engine.run(request, self._context(), read_only=False)
        assert not result.errors
        return result

    async def stock(self) -> ExecutionResult:
        """Execute the parsed document field by field."""
        result: Any = execute(
            self._schema,
            self._document,
            context_value=self._context(),
            variable_values=VARIABLES,
            executor_class=FieldByField,
        )
        executed: ExecutionResult = await result
        assert not executed.errors
        return executed

    def _context(self) -> Context:
        loader = RequestLoader(
            self._client,
            self._caller,
            fresh=False,
            deadline=float("inf"),
            page_budget=CallBudget(20, ""),
            item_budget=CallBudget(500, ""),
        )
        return Context(settings=self._settings, loader_or_error=loader)
