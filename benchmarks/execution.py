"""Execution alone: a page that is there already, without HTTP, cache or upstream."""

import json
from typing import Any

from graphql import ExecutionResult, GraphQLSchema, execute, parse

from benchmarks import canned
from benchmarks.questions import EVERY_FIELD, keys
from gateway.auth.credentials import Caller
from gateway.graph.context import Context, Scope
from gateway.graph.execution.engine import Engine, GraphRequest, GraphResult
from gateway.graph.execution.limits import Limits
from gateway.graph.schema import build_schema, core
from gateway.upstream.cache.cached_client import FetchOptions
from gateway.upstream.loader import CallBudget, RequestLoader
from gateway.upstream.rows import page_from
from gateway.upstream.values import Page, PageRequest

REGION = "us-east-1"
VARIABLES = {"first": 100}


class Held:
    """Stands in for Answers: hands over the one page that it holds."""

    def __init__(self) -> None:
        body = canned.page(0, 1).partition(b"\r\n\r\n")[2]
        self._page = page_from("ListAudienceGenerationJobs", json.loads(body))

    async def page(
        self,
        caller: Caller,  # noqa: ARG002  as Answers has it
        request: PageRequest,  # noqa: ARG002
        terms: FetchOptions,  # noqa: ARG002
    ) -> Page:
        """Return the page."""
        return self._page

    async def stale_page(self, caller: Caller, request: PageRequest) -> None:
        """Hold nothing old."""


class Execution:
    """Executes the question for every field, in both ways."""

    def __init__(self) -> None:
        own = keys()
        self._caller = Caller.from_keys(own.access_key, own.secret_key, own.token)
        self._held: Any = Held()
        self._schema: GraphQLSchema = core(build_schema())
        self._engine = Engine(self._schema, introspection=False, limits=Limits())
        self._scope = Scope(REGION, frozenset({REGION}), 500)
        self._document = parse(EVERY_FIELD)

    async def ours(self) -> GraphResult:
        """Run the engine, which knows the document already."""
        request = GraphRequest(EVERY_FIELD, None, VARIABLES)
        result = await self._engine.run(request, self._context(), read_only=False)
        assert not result.errors
        return result

    async def stock(self) -> ExecutionResult:
        """Run graphql-core as it comes on the parsed document."""
        result: Any = execute(
            self._schema,
            self._document,
            context_value=self._context(),
            variable_values=VARIABLES,
        )
        executed: ExecutionResult = await result
        assert not executed.errors
        return executed

    def _context(self) -> Context:
        reader = RequestLoader(
            self._held,
            self._caller,
            fresh=False,
            deadline=float("inf"),
            page_budget=CallBudget(20, ""),
            item_budget=CallBudget(500, ""),
        )
        return Context(self._scope, reader)
