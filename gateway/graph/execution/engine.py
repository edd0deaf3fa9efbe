"""Runs a GraphQL request: parse, check, execute, and format the errors."""

from collections.abc import Awaitable
from dataclasses import dataclass, field, replace
from typing import Any, cast

import structlog
from graphql import (
    ExecutionResult,
    GraphQLError,
    GraphQLSchema,
    OperationType,
    create_source_event_stream,
)
from graphql.execution import VariableValues, get_variable_values

from gateway.concurrency import SingleFlight
from gateway.errors import (
    BadUserInputError,
    GatewayError,
    InternalError,
    LimitExceededError,
    UnauthenticatedError,
    drop_tracebacks,
)
from gateway.graph.context import Context
from gateway.graph.events import EventStream
from gateway.graph.execution.cost import EstimatedCost
from gateway.graph.execution.documents import MAX_ERRORS, DocumentRejectedError
from gateway.graph.execution.executor import MAX_LISTED_ERRORS, ObjectExecutor
from gateway.graph.execution.plan import Plan, Planner
from gateway.graph.meter import OperationEndedError
from gateway.settings import Settings
from gateway.telemetry.logging import exception_fields
from gateway.telemetry.metrics import OK, REJECTIONS
from gateway.upstream.loader import RequestLoader

log = structlog.get_logger()

MAX_MESSAGE_CHARACTERS = 1000
"""graphql-core's messages repeat names and values of the request, however long."""

MASKED = "Internal error. The gateway's log has the details under this request id."


@dataclass(frozen=True, slots=True)
class GraphRequest:
    """The parameters of a well-formed GraphQL request."""

    query: str
    operation_name: str | None = None
    variables: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GraphResult:
    """The result of a request."""

    data: dict[str, Any] | None
    errors: list[dict[str, Any]]
    executed: bool = False
    """Whether execution began. Even then `data` may be None."""
    unauthenticated: bool = False
    """Whether every root field failed because the request has no caller."""
    extensions: dict[str, Any] = field(default_factory=dict)
    operation: str | None = None
    """The name of the executed operation, if it has one."""

    @property
    def outcome(self) -> str:
        """OK, or the code of the first error."""
        code: str = self.errors[0]["extensions"]["code"] if self.errors else OK
        return code


@dataclass(frozen=True, slots=True)
class Operation:
    """A valid operation, with the variables of one request."""

    plan: Plan
    variables: VariableValues
    estimate: EstimatedCost

    @property
    def is_subscription(self) -> bool:
        return self.plan.operation.operation is OperationType.SUBSCRIPTION


class Engine:
    """Runs requests against one schema."""

    def __init__(self, schema: GraphQLSchema, settings: Settings) -> None:
        self._schema = schema
        self._settings = settings
        self._planner = Planner(schema, settings)
        self.event_results: SingleFlight[GraphResult] = SingleFlight()
        """Executions on events, which subscriptions share."""

    def prepare(self, request: GraphRequest, *, read_only: bool) -> Operation | GraphResult:
        """Check a request; return its operation, or the result that rejects it.

        Raises WriteByGetError if it is `read_only` and the operation is a mutation.
        """
        name = request.operation_name or None
        try:
            plan = self._planner.plan(request.query, name, request.variables, read_only=read_only)
        except DocumentRejectedError as error:
            return rejected(*error.errors)
        estimate = plan.cost.estimate(request.variables)
        try:
            estimate.check(self._settings)
        except LimitExceededError as error:
            return rejected(GraphQLError(error.message, original_error=error))
        values = get_variable_values(
            self._schema,
            plan.operation.variable_definitions or (),
            request.variables,
            max_errors=MAX_ERRORS - 1,
            hide_suggestions=not self._settings.introspection,
        )
        if isinstance(values, list):
            return replace(rejected(*values), operation=plan.name)
        return Operation(plan, values, estimate)

    async def run(self, request: GraphRequest, context: Context, *, read_only: bool) -> GraphResult:
        """Execute a query; errors of the request are in the result. Raises as `prepare` does."""
        operation = self.prepare(request, read_only=read_only)
        if isinstance(operation, GraphResult):
            return operation
        return await self.execute(operation, context)

    async def execute(
        self, operation: Operation, context: Context, root_value: Any = None
    ) -> GraphResult:
        """Execute an operation, on the value of an event if it is a subscription."""
        if isinstance(context.loader_or_error, RequestLoader):
            context.loader_or_error.select(operation.plan.selected_names)
        executor = self._executor(operation, context, root_value)
        try:
            result = executor.execute_operation()
            if isinstance(result, Awaitable):
                result = await result
        except OperationEndedError as ended:
            drop_tracebacks(ended)
            context.stopped_walks.clear()
            formatted = rejected(GraphQLError(ended.error.message, original_error=ended.error))
            # A limit rejects the request; a deadline is a failure during execution.
            executed = not isinstance(ended.error, LimitExceededError)
            formatted = replace(formatted, executed=executed)
        else:
            assert isinstance(result, ExecutionResult)  # noqa: S101  nothing is deferred
            formatted = _format_result(result, executor.omitted_errors)
        extensions = formatted.extensions | _extensions(context, operation.estimate)
        return replace(formatted, extensions=extensions, operation=operation.plan.name)

    async def open_events(
        self, operation: Operation, context: Context
    ) -> EventStream[Any] | GraphResult:
        """Return the events of a subscription, or the result that rejects it."""
        stream = create_source_event_stream(self._executor(operation, context))
        if isinstance(stream, Awaitable):
            stream = await stream
        if not isinstance(stream, ExecutionResult):
            return cast("EventStream[Any]", stream)
        errors = stream.errors or []
        unauthenticated = any(
            isinstance(each.original_error, UnauthenticatedError) for each in errors
        )
        return replace(
            rejected(*errors), unauthenticated=unauthenticated, operation=operation.plan.name
        )

    def _executor(
        self, operation: Operation, context: Context, root_value: Any = None
    ) -> ObjectExecutor:
        return ObjectExecutor(
            self._schema,
            operation.plan,
            operation.variables,
            context,
            hide_suggestions=not self._settings.introspection,
            root_value=root_value,
        )


def rejected(*errors: GraphQLError) -> GraphResult:
    """Return the result of a request that is not executed."""
    return GraphResult(None, [_format_error(error) for error in errors])


def _extensions(context: Context, estimate: EstimatedCost) -> dict[str, Any]:
    extensions: dict[str, Any] = {}
    if context.stopped_walks:
        extensions["stoppedEarly"] = context.stopped_walks
    loader = context.loader_or_error
    if not isinstance(loader, GatewayError):
        if loader.stale:
            oldest = round(max(loader.stale.values()), 3)
            extensions["stale"] = {"answers": len(loader.stale), "oldestSeconds": oldest}
        if context.show_cost:
            estimated = {"pages": estimate.pages, "details": estimate.details}
            extensions["cost"] = {
                "estimate": estimated,
                **loader.cost.extensions(),
                "scanned": context.meter.rows,
            }
    return extensions


def _format_result(result: ExecutionResult, omitted: int) -> GraphResult:
    errors = result.errors or []
    # All of them, so that each crash is logged.
    formatted = [_format_error(error) for error in errors]
    omitted += len(formatted[MAX_LISTED_ERRORS:])
    del formatted[MAX_LISTED_ERRORS:]
    extensions = {"errorsOmitted": omitted} if omitted else {}
    if result.data is None:
        # Errors of variables precede execution and have no path.
        executed = any(error.path for error in errors)
        return GraphResult(None, formatted, executed=executed, extensions=extensions)
    unauthenticated = {
        error.path[0]
        for error in errors
        if error.path
        and len(error.path) == 1
        and isinstance(error.original_error, UnauthenticatedError)
    }
    return GraphResult(
        result.data,
        formatted,
        executed=True,
        extensions=extensions,
        unauthenticated=bool(unauthenticated) and unauthenticated >= result.data.keys(),
    )


def _format_error(error: GraphQLError) -> dict[str, Any]:
    """Format an error for a response; an unexpected one is logged and masked, a limit counted."""
    original = error.original_error
    while isinstance(original, GraphQLError):
        original = original.original_error
    if isinstance(original, GatewayError):
        public = original
    elif original is None:
        # graphql-core's own errors concern the request: variables, arguments, operations.
        public = BadUserInputError(error.message)
    else:
        path = ".".join(map(str, error.path or []))
        log.error("resolver crashed", path=path, **exception_fields(original))
        public = InternalError(MASKED)
    if isinstance(public, LimitExceededError) and public.limit:
        REJECTIONS.labels(public.limit).inc()
    drop_tracebacks(error)
    drop_tracebacks(original)
    message = public.message
    if len(message) > MAX_MESSAGE_CHARACTERS:
        message = f"{message[:MAX_MESSAGE_CHARACTERS]}…"
    entry: dict[str, Any] = {"message": message}
    if error.locations:
        entry["locations"] = [location.formatted for location in error.locations]
    if error.path:
        entry["path"] = error.path
    entry["extensions"] = public.extensions()
    return entry
