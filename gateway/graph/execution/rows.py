"""Execution with one shortcut: rows of scalar fields are completed without resolving each field.

graphql-core resolves and completes each field of each row by itself: 5 ms for 100 rows of ten
fields. Where all selected fields are scalars, a row's part of the response is read from its item
directly. A property test verifies that the response is the same.
"""

from collections.abc import Callable, Iterable
from typing import Any, cast

from graphql import GraphQLList, GraphQLObjectType, GraphQLResolveInfo, get_named_type
from graphql.execution import Executor
from graphql.pyutils import Path

from gateway.graph.pagination.connection import Edge
from gateway.graph.pagination.pager import ListedItem, PageResult
from gateway.graph.types.resource_type import Read

Complete = Callable[[ListedItem], Any]


class RowExecutor(Executor[Any]):
    """graphql-core's executor, which completes a PageResult as edges or nodes."""

    def complete_list_value(
        self,
        return_type: GraphQLList[Any],
        field_details_list: Any,
        info: GraphQLResolveInfo[Any],
        path: Path,
        result: Any,
        position_context: Any,
    ) -> Any:
        if isinstance(result, PageResult):
            complete = self.row_completer(return_type, field_details_list, result)
            if complete is not None:
                return list(map(complete, result.items))
            result = _objects(return_type, result)
        return super().complete_list_value(
            return_type, field_details_list, info, path, result, position_context
        )

    def row_completer(
        self, return_type: GraphQLList[Any], selected: Any, page: PageResult
    ) -> Complete | None:
        """Return a function that completes a row; None if not all its fields are scalars."""
        row_type = cast("GraphQLObjectType", get_named_type(return_type))
        if row_type.name == page.source.resource.name:
            return self._node(row_type, selected, page)
        return self._edge(row_type, selected, page)

    def _edge(
        self, edge_type: GraphQLObjectType, selected: Any, page: PageResult
    ) -> Complete | None:
        reads: list[tuple[str, Complete]] = []
        for response_name, details in self._fields(edge_type, selected):
            match details[0].node.name.value:
                case "cursor":
                    reads.append((response_name, page.cursor))
                case "node":
                    node_type = get_named_type(edge_type.fields["node"].type)
                    node = self._node(cast("GraphQLObjectType", node_type), details, page)
                    if node is None:
                        return None
                    reads.append((response_name, node))
                case "__typename":
                    reads.append((response_name, _constant(edge_type.name)))
                case _:
                    return None
        return lambda listed: {name: read(listed) for name, read in reads}

    def _node(
        self, node_type: GraphQLObjectType, selected: Any, page: PageResult
    ) -> Complete | None:
        scalars = page.source.resource.scalar_fields
        reads: list[tuple[str, Read]] = []
        for response_name, details in self._fields(node_type, selected):
            name = details[0].node.name.value
            read = _constant(node_type.name) if name == "__typename" else scalars.get(name)
            if read is None:
                return None
            reads.append((response_name, read))

        def complete(listed: ListedItem) -> Any:
            item = listed.item
            return {name: read(item) for name, read in reads}

        return complete

    def _fields(self, of_type: GraphQLObjectType, selected: Any) -> Iterable[tuple[str, Any]]:
        return self.collect_subfields(of_type, selected).grouped_field_set.items()


def _objects(return_type: GraphQLList[Any], page: PageResult) -> list[Any]:
    resource = page.source.resource
    if get_named_type(return_type).name == resource.name:
        return [resource.from_item(listed.item) for listed in page.items]
    return [Edge(page=page, listed=listed) for listed in page.items]


def _constant(value: str) -> Callable[[Any], str]:
    return lambda _: value
