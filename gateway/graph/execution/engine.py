"""From a GraphQL request to its result: read the document, execute it, put errors into words."""

from collections.abc import Awaitable
from dataclasses import dataclass, field, replace
from typing import Any

import structlog
from graphql import (
    ExecutionResult,
    GraphQLError,
    GraphQLSchema,
    OperationType,
    execute,
    get_operation_ast,
)

from gateway.errors import (
    BadUserInputError,
    GatewayError,
    InternalError,
    LimitExceededError,
    UnauthenticatedError,
)
from gateway.graph.context import Context, Scope
from gateway.graph.execution.cost import Estimate, estimate
from gateway.graph.execution.documents import MAX_ERRORS, Documents, Rejected
from gateway.graph.execution.limits import Limits
from gateway.graph.execution.rows import RowExecutor
from gateway.telemetry.logging import exception_fields
from gateway.telemetry.metrics import OK
from gateway.upstream.loader import RequestLoader

log = structlog.get_logger()

MASKED = "Something went wrong in the gateway. Its log knows more under this request id."


@dataclass(frozen=True, slots=True)
class GraphRequest:
    """The parameters of a GraphQL request, well-formed."""

    query: str
    operation_name: str | None = None
    variables: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GraphResult:
    """What came of a request."""

    data: dict[str, Any] | None
    errors: list[dict[str, Any]]
    executed: bool = False
    """Whether it came to execution; `data` may be None all the same."""
    unauthenticated: bool = False
    """Whether each root field failed for want of a caller."""
    extensions: dict[str, Any] = field(default_factory=dict)
    operation: str | None = None
    """The name of the operation that was executed, if it has one."""

    @property
    def outcome(self) -> str:
        """OK, or the code of the first error."""
        code: str = self.errors[0]["extensions"]["code"] if self.errors else OK
        return code


class WriteByGetError(Exception):
    """A GET asks for something else than a query."""


class Engine:
    """Executes requests against one schema."""

    def __init__(self, schema: GraphQLSchema, *, introspection: bool, limits: Limits) -> None:
        self._schema = schema
        self._hide_suggestions = not introspection
        self._documents = Documents(schema, introspection=introspection, limits=limits)

    async def run(self, request: GraphRequest, context: Context, *, read_only: bool) -> GraphResult:
        """Execute a request; never raises for what the request says.

        Raises WriteByGetError if it is `read_only` and the operation is no query.
        """
        name = request.operation_name or None
        try:
            document = self._documents.parse(request.query)
            operation = get_operation_ast(document, name)
            if read_only and operation and operation.operation is not OperationType.QUERY:
                raise WriteByGetError
            self._documents.validate(request.query, document)
        except Rejected as rejected:
            return GraphResult(None, [_shown(error) for error in rejected.errors])
        if operation is None:
            return GraphResult(None, [_shown(_no_operation(name))])
        asked_for = estimate(document, operation, request.variables)
        if (refusal := _over(asked_for, context.scope)) is not None:
            return GraphResult(None, [_shown(GraphQLError("", original_error=refusal))])
        result = execute(
            self._schema,
            document,
            context_value=context,
            variable_values=request.variables,
            operation_name=name,
            executor_class=RowExecutor,
            hide_suggestions=self._hide_suggestions,
            max_coercion_errors=MAX_ERRORS - 1,
        )
        summed_up = _summed_up(await result if isinstance(result, Awaitable) else result)
        return replace(
            summed_up,
            extensions=_extensions(context, asked_for),
            operation=operation.name.value if operation.name else None,
        )


def _over(asked_for: Estimate, scope: Scope) -> LimitExceededError | None:
    """Refuse a query that asks for more than it may, before any call is made."""
    for calls, limit, what, setting in (
        (asked_for.pages, scope.max_pages, "pages", "GATEWAY_MAX_UPSTREAM_CALLS"),
        (asked_for.details, scope.max_details, "single objects", "GATEWAY_MAX_DETAIL_CALLS"),
    ):
        if calls > limit:
            return LimitExceededError(
                f"The operation asks for {calls} upstream calls for {what}. Accepted: up to "
                f"{limit} ({setting}). Ask for smaller pages, or for less of each row."
            )
    if asked_for.fields > scope.max_fields:
        return LimitExceededError(
            f"The answer would have {asked_for.fields} fields, those of each row counted. "
            f"Accepted: up to {scope.max_fields} (GATEWAY_LIMIT_FIELDS). Ask for smaller pages, or "
            "for less of each row."
        )
    return None


def _extensions(context: Context, asked_for: Estimate) -> dict[str, Any]:
    extensions: dict[str, Any] = {}
    if context.notes:
        extensions["stoppedEarly"] = context.notes
    reader = context.authenticated
    if isinstance(reader, RequestLoader):
        if reader.stale:
            oldest = round(max(reader.stale.values()), 3)
            extensions["stale"] = {"answers": len(reader.stale), "oldestSeconds": oldest}
        if context.show_cost:
            estimated = {"pages": asked_for.pages, "details": asked_for.details}
            extensions["cost"] = {"estimate": estimated, **reader.cost.extensions()}
    return extensions


def _no_operation(name: str | None) -> GraphQLError:
    message = (
        "The document has several operations. Say in `operationName` which one to execute."
        if name is None
        else "`operationName` is not the name of an operation in the document."
    )
    return GraphQLError(message)


def _summed_up(result: ExecutionResult) -> GraphResult:
    errors = result.errors or []
    if result.data is None:
        # Variables are refused before execution, and have no path.
        executed = any(error.path for error in errors)
        return GraphResult(None, [_shown(error) for error in errors], executed=executed)
    refused = {
        error.path[0]
        for error in errors
        if error.path
        and len(error.path) == 1
        and isinstance(error.original_error, UnauthenticatedError)
    }
    return GraphResult(
        result.data,
        [_shown(error) for error in errors],
        executed=True,
        unauthenticated=bool(refused) and refused >= result.data.keys(),
    )


def _shown(error: GraphQLError) -> dict[str, Any]:
    """Give an error the form it has in an answer; what is not meant for callers is masked."""
    original = error.original_error
    while isinstance(original, GraphQLError):
        original = original.original_error
    if isinstance(original, GatewayError):
        told = original
    elif original is None:
        # graphql-core's own, all about the request: variables, arguments, operations.
        told = BadUserInputError(error.message)
    else:
        path = ".".join(map(str, error.path or []))
        log.error("resolver crashed", path=path, **exception_fields(original))
        told = InternalError(MASKED)
    entry: dict[str, Any] = {"message": told.message}
    if error.locations:
        entry["locations"] = [location.formatted for location in error.locations]
    if error.path:
        entry["path"] = error.path
    entry["extensions"] = told.extensions()
    return entry
