"""Execution, with one short cut: rows of plain fields are completed without being resolved.

The stock way resolves and completes each field of each row by itself, 5 ms for 100 rows of
ten fields. Where a selection holds nothing but plain fields, a row's part of the answer is
read off the item directly. Both ways give the same answer; a property test holds that.
"""

from collections.abc import Callable, Iterable
from typing import Any, cast

from graphql import GraphQLList, GraphQLObjectType, GraphQLResolveInfo, get_named_type
from graphql.execution import Executor
from graphql.pyutils import Path

from gateway.graph.objects import SCALAR_FIELDS
from gateway.graph.pagination.connection import ConnectionPage, Rows
from gateway.graph.pagination.walk import ListedItem
from gateway.upstream.values import Item

Complete = Callable[[ListedItem], Any]


class RowExecutor(Executor[Any]):
    """graphql-core's executor that knows Rows."""

    def complete_list_value(
        self,
        return_type: GraphQLList[Any],
        field_details_list: Any,
        info: GraphQLResolveInfo[Any],
        path: Path,
        result: Any,
        position_context: Any,
    ) -> Any:
        """Complete the rows of a connection in one go, if all they show is plain."""
        if isinstance(result, Rows):
            row_type = cast("GraphQLObjectType", get_named_type(return_type))
            row = (
                self._node(row_type, field_details_list)
                if row_type.name in SCALAR_FIELDS
                else self._edge(row_type, field_details_list, result.slice)
            )
            if row is not None:
                return list(map(row, result.slice.taken.spots))
        return super().complete_list_value(
            return_type, field_details_list, info, path, result, position_context
        )

    def _edge(
        self, edge_type: GraphQLObjectType, selected: Any, taken: ConnectionPage
    ) -> Complete | None:
        """Return what completes an edge; None if its node needs more than plain fields."""
        reads: list[tuple[str, Complete]] = []
        for response_name, details in self._fields(edge_type, selected):
            match details[0].node.name.value:
                case "cursor":
                    reads.append((response_name, taken.cursor))
                case "node":
                    node_type = cast(
                        "GraphQLObjectType", get_named_type(edge_type.fields["node"].type)
                    )
                    node = self._node(node_type, details)
                    if node is None:
                        return None
                    reads.append((response_name, node))
                case "__typename":
                    reads.append((response_name, _constant(edge_type.name)))
                case _:
                    return None
        return lambda spot: {name: read(spot) for name, read in reads}

    def _node(self, node_type: GraphQLObjectType, selected: Any) -> Complete | None:
        """Return what completes a node; None if more than plain fields are selected."""
        plain = SCALAR_FIELDS.get(node_type.name, {})
        reads: list[tuple[str, Callable[[Item], Any]]] = []
        for response_name, details in self._fields(node_type, selected):
            field_name = details[0].node.name.value
            read = (
                _constant(node_type.name) if field_name == "__typename" else plain.get(field_name)
            )
            if read is None:
                return None
            reads.append((response_name, read))

        def complete(spot: ListedItem) -> Any:
            item = spot.item
            return {name: read(item) for name, read in reads}

        return complete

    def _fields(self, of_type: GraphQLObjectType, selected: Any) -> Iterable[tuple[str, Any]]:
        return self.collect_subfields(of_type, selected).grouped_field_set.items()


def _constant(value: str) -> Callable[[Any], str]:
    return lambda _: value
