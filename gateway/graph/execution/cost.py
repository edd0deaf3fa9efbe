"""The cost of an operation, estimated from its text before anything is executed.

The estimate assumes full pages, so a shorter list costs less. A linked object counts once, however
many rows link to it. Fields excluded by `@skip` or `@include` count.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    StringValueNode,
    ValueNode,
    VariableNode,
    get_named_type,
)

from gateway.errors import LimitExceededError
from gateway.graph.node import RESOURCE_TYPES, entity_types, from_global_id
from gateway.graph.pagination.pager import DEFAULT_FIRST, MAX_FIRST
from gateway.graph.types.resource_type import COST, FieldCost, ValueSource
from gateway.settings import Settings, variable
from gateway.upstream.model import object_shape
from gateway.upstream.values import PAGE_SIZE

MAX_INT_CHARACTERS = 11

Selections = Iterable[tuple[str, SelectionSetNode | None]]
"""Selection sets, each with the name of the type that it selects from."""


@dataclass(frozen=True, slots=True)
class EstimatedCost:
    pages: int
    """Pages of root connections."""
    details: int
    """Calls per object or row: Get calls, and pages of nested connections."""
    fields: int
    """Fields, and scalars in lists, of the response; those of a row count once per row."""

    def check(self, settings: Settings) -> None:
        """Raise LimitExceededError if the cost exceeds a limit."""
        for calls, name, what in (
            (self.pages, "max_upstream_calls", "pages"),
            (self.details, "max_detail_calls", "single objects"),
        ):
            limit = getattr(settings, name)
            if calls > limit:
                raise LimitExceededError(
                    f"The operation needs {calls} upstream calls for {what}. Accepted: up to "
                    f"{limit} ({variable(name)}). Request smaller pages or fewer fields per row.",
                    limit=name.removeprefix("max_"),
                )
        if self.fields > settings.limit_fields:
            raise LimitExceededError(
                f"The response might have {self.fields} fields, counting those of each row and the "
                f"longest lists that AWS allows. Accepted: up to {settings.limit_fields} "
                "(GATEWAY_LIMIT_FIELDS). Request smaller pages or fewer fields per row.",
                limit="fields",
            )


class _Declared(NamedTuple):
    """What the estimate needs to know of a field."""

    cost: FieldCost | None
    type_name: str
    max_size: int = 0
    """The greatest number of elements, by the service model, of a list inside an object."""


NODE = "Node"
"""The interface of all objects."""

_FREE = _Declared(None, "")


class CostEstimator:
    """Estimates operations by the costs that the fields of a schema declare."""

    def __init__(self, schema: GraphQLSchema) -> None:
        sizes = dict(_list_sizes(schema))
        self._declared = {
            name: {
                field_name: _Declared(
                    _declared_cost(field),
                    get_named_type(field.type).name,
                    sizes.get((name, field_name), 0),
                )
                for field_name, field in each.fields.items()
            }
            for name, each in schema.type_map.items()
            if isinstance(each, GraphQLObjectType | GraphQLInterfaceType)
        }

    def estimate(
        self,
        document: DocumentNode,
        operation: OperationDefinitionNode,
        variables: Mapping[str, Any],
    ) -> EstimatedCost:
        """Estimate a valid query with these variables, which need not be valid."""
        return CostVisitor(self._declared, document, operation, variables).visit()


def _list_sizes(schema: GraphQLSchema) -> Iterator[tuple[tuple[str, str], int]]:
    """Yield type name, field name and greatest size of each list inside an object."""
    for resource in RESOURCE_TYPES.values():
        fields = cast("GraphQLObjectType", schema.type_map[resource.name]).fields
        for name, source in resource.sources.items():
            if isinstance(source, ValueSource):
                shape = object_shape(resource.detail_operation).members[source.member or name]
                yield from _sizes_in(resource.name, name, fields[name], shape)


def _sizes_in(
    type_name: str, name: str, field: GraphQLField, shape: Any
) -> Iterator[tuple[tuple[str, str], int]]:
    if shape.type_name in {"list", "map"}:
        # One, where the model has no maximum.
        yield (type_name, name), shape.metadata.get("max", 1)
        shape = shape.member if shape.type_name == "list" else None
    of_type = get_named_type(field.type)
    if isinstance(of_type, GraphQLObjectType) and shape is not None:
        for below, each in of_type.fields.items():
            if shape.type_name == "structure" and below in shape.members:
                yield from _sizes_in(of_type.name, below, each, shape.members[below])


def _declared_cost(field: GraphQLField) -> FieldCost | None:
    definition = field.extensions.get("strawberry-definition")
    cost: FieldCost | None = field.extensions.get(COST) or (
        definition.metadata.get(COST) if definition else None
    )
    return cost


class CostVisitor:
    """Visits the selections of one operation."""

    def __init__(
        self,
        declared: Mapping[str, Mapping[str, _Declared]],
        document: DocumentNode,
        operation: OperationDefinitionNode,
        variables: Mapping[str, Any],
    ) -> None:
        self._declared = declared
        self._operation = operation
        self._fragments = {
            each.name.value: each
            for each in document.definitions
            if isinstance(each, FragmentDefinitionNode)
        }
        defaults = {
            each.variable.name.value: each.default_value
            for each in operation.variable_definitions or ()
            if each.default_value is not None
        }
        self._variables = {**defaults, **variables}

    def visit(self) -> EstimatedCost:
        pages = details = 0
        named: set[tuple[str, str]] = set()  # type and key
        root = [("Query", self._operation.selection_set)]
        for field in self._fields(root):
            cost, type_name, _ = self._lookup("Query", field)
            if cost is FieldCost.CONNECTION:
                rows = self._rows(field)
                pages += math.ceil(rows / PAGE_SIZE)
                details += self._nodes(type_name, field, rows)
            elif cost is FieldCost.OBJECT:
                details += 1 + self._objects(type_name, [field], 1, fetched=True)
            elif cost is FieldCost.NAMED_OBJECTS:
                objects = set(self._named_objects(field))
                named |= objects
                for name, number in Counter(name for name, _ in objects).items():
                    details += self._objects(name, [field], number, fetched=True)
        return EstimatedCost(pages, details + len(named), self._response_fields(root))

    def _response_fields(self, selections: Selections, rows: int | None = None) -> int:
        """Count the fields of the response; `rows` is set for the selections of a connection.

        Fields with the same response name are merged into one.
        """
        by_name: dict[str, list[tuple[str, FieldNode]]] = {}
        for parent, field in fields_of(selections, self._fragments):
            by_name.setdefault((field.alias or field.name).value, []).append((parent, field))
        total = len(by_name)
        for merged in by_name.values():
            parent, field = merged[0]
            cost, _, max_size = self._lookup(parent, field)
            if field.selection_set is None:
                total += max_size
                continue
            below = [(self._lookup(*each).type_name, each[1].selection_set) for each in merged]
            if cost is FieldCost.CONNECTION:
                total += self._response_fields(below, self._rows(field))
            elif rows is not None and field.name.value in {"edges", "nodes"}:
                total += rows * self._response_fields(below)
            elif cost is FieldCost.NAMED_OBJECTS:
                total += len(self._entries(field)) * self._response_fields(below)
            elif max_size:
                total += max_size * self._response_fields(below)
            else:
                total += self._response_fields(below)
        return total

    def _nodes(self, type_name: str, connection: FieldNode, rows: int) -> int:
        """Estimate the details of a connection's nodes."""
        node_type = self._declared[type_name]["nodes"].type_name
        below = self._fields([(type_name, connection.selection_set)])
        edges = [("", field.selection_set) for field in below if field.name.value == "edges"]
        nodes = [field for field in below if field.name.value == "nodes"]
        nodes += [field for field in self._fields(edges) if field.name.value == "node"]
        return self._objects(node_type, nodes, rows, fetched=False)

    def _objects(
        self, type_name: str, selected: list[FieldNode], number: int, *, fetched: bool
    ) -> int:
        """Estimate the details of objects of a type; `fetched` ones have had their Get call."""
        if not number:
            return 0
        total, needs_get = 0, False
        links: dict[str, list[FieldNode]] = {}
        below = ((type_name, each.selection_set) for each in selected)
        for parent, field in fields_of(below, self._fragments):
            if parent not in {type_name, NODE}:
                continue  # of a fragment on another type
            cost, target, _ = self._lookup(type_name, field)
            if cost is FieldCost.DETAIL:
                needs_get = not fetched
            elif cost is FieldCost.OBJECT:
                links.setdefault(field.name.value, []).append(field)
            elif cost is FieldCost.CONNECTION:
                rows = self._rows(field)
                # At least one, also of no rows: each list is work, and may be counted.
                total += number * max(1, math.ceil(rows / PAGE_SIZE))
                total += self._nodes(target, field, number * rows)
        for followed in links.values():
            target = self._lookup(type_name, followed[0]).type_name
            total += 1 + self._objects(target, followed, 1, fetched=True)
        return total + number if needs_get else total

    def _lookup(self, type_name: str, field: FieldNode) -> _Declared:
        return self._declared.get(type_name, {}).get(field.name.value, _FREE)

    def _fields(self, selections: Selections) -> list[FieldNode]:
        return [field for _, field in fields_of(selections, self._fragments)]

    def _rows(self, connection: FieldNode) -> int:
        arguments = {
            each.name.value: self._value(each.value) for each in connection.arguments or ()
        }
        amounts = [arguments[n] for n in ("first", "last") if arguments.get(n) is not None]
        if not all(isinstance(amount, int) and 0 <= amount <= MAX_FIRST for amount in amounts):
            return 0  # the field fails with an error of its own
        return min(amounts, default=DEFAULT_FIRST)

    def _entries(self, field: FieldNode) -> list[Any]:
        (value,) = [self._value(each.value) for each in field.arguments or ()] or [None]
        return value if isinstance(value, list) else [value]

    def _named_objects(self, field: FieldNode) -> Iterator[tuple[str, str]]:
        """Return type name and key of each object that ids or representations name."""
        for each in self._entries(field):
            named = each if isinstance(each, dict) else {"id": each}
            type_name, global_id = named.get("__typename"), named.get("id")
            found = from_global_id(global_id) if isinstance(global_id, str) else None
            if found is None and isinstance(type_name, str) and type_name in entity_types():
                arn = named.get(entity_types()[type_name].arn_member)
                found = (type_name, arn) if isinstance(arn, str) else None
            if found is not None:
                yield found

    def _value(self, node: ValueNode) -> Any:
        if isinstance(node, VariableNode):
            value = self._variables.get(node.name.value)
            return self._value(value) if isinstance(value, ValueNode) else value
        if isinstance(node, IntValueNode):
            # An id may be an integer literal of any length, which Python refuses to convert.
            return int(node.value) if len(node.value) <= MAX_INT_CHARACTERS else None
        if isinstance(node, ListValueNode):
            return [self._value(each) for each in node.values]
        if isinstance(node, ObjectValueNode):
            return {field.name.value: self._value(field.value) for field in node.fields}
        return node.value if isinstance(node, StringValueNode) else None


def fields_of(
    selections: Selections,
    fragments: Mapping[str, FragmentDefinitionNode],
    included: Callable[[SelectionNode], bool] = lambda _: True,
) -> Iterator[tuple[str, FieldNode]]:
    """Yield the fields of selections and of their fragments, each with its parent type's name."""
    visited: set[str] = set()  # a fragment adds its fields once, however often it is spread
    pending = [
        (type_name, each)
        for type_name, selected in selections
        if selected is not None
        for each in selected.selections
    ]
    while pending:
        type_name, selection = pending.pop()
        if not included(selection):
            continue
        if isinstance(selection, FieldNode):
            yield type_name, selection
            continue
        if isinstance(selection, FragmentSpreadNode):
            name = selection.name.value
            if name in visited:
                continue
            visited.add(name)
            fragment: FragmentDefinitionNode | InlineFragmentNode = fragments[name]
        elif isinstance(selection, InlineFragmentNode):
            fragment = selection
        else:
            continue
        if fragment.type_condition is not None:
            type_name = fragment.type_condition.name.value
        pending.extend((type_name, each) for each in fragment.selection_set.selections)
