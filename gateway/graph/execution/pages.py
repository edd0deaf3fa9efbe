"""The fields of a page: those of its connection and of its PageInfo, which need no resolver."""

from collections.abc import Awaitable, Callable
from operator import attrgetter
from typing import TYPE_CHECKING, Any, cast

import orjson
from graphql import GraphQLNonNull, GraphQLOutputType
from graphql.execution.collect_fields import FieldDetailsList
from graphql.pyutils import AwaitableOrValue, Path

from gateway.graph.pagination.result import PageResult

if TYPE_CHECKING:
    from gateway.graph.execution.executor import ObjectExecutor

PAGE_FIELDS: dict[str, Callable[[PageResult], Any] | None] = {
    "edges": None,
    "nodes": None,
    "pageInfo": None,
    "hasNextPage": attrgetter("has_next"),
    "hasPreviousPage": attrgetter("has_previous"),
    "startCursor": attrgetter("start_cursor"),
    "endCursor": attrgetter("end_cursor"),
}
"""Field name -> how a scalar is read; None for lists and objects."""


def execute_page_field(
    executor: "ObjectExecutor",
    field_type: GraphQLOutputType,
    selected: FieldDetailsList,
    path: Path,
    page: PageResult,
) -> AwaitableOrValue[Any]:
    """Complete one of PAGE_FIELDS; an error in it is handled as graphql-core does."""
    name = selected[0].node.name.value
    try:
        read = PAGE_FIELDS[name]
        if read is not None:
            value = read(page)
            if type(value) is str:
                executor.meter.charge_bytes(len(value))
            return value
        of_type = cast("GraphQLNonNull[Any]", field_type).of_type
        if name == "pageInfo":
            return executor.collect_and_execute_subfields(of_type, selected, path, page, None)
        completed = executor.complete_page(of_type, selected, path, page)
        if isinstance(completed, orjson.Fragment):
            return completed
    except Exception as error:  # noqa: BLE001  a field fails by any
        executor.handle_field_error(error, field_type, selected, path)
        return None
    return _await_field(executor, field_type, selected, path, completed)


async def _await_field(
    executor: "ObjectExecutor",
    field_type: GraphQLOutputType,
    selected: FieldDetailsList,
    path: Path,
    completed: Awaitable[Any],
) -> Any:
    try:
        return await completed
    except Exception as error:  # noqa: BLE001  a field fails by any
        executor.handle_field_error(error, field_type, selected, path)
        return None
