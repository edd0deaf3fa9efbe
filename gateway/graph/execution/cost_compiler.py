"""Compilation of an operation's cost from its selections, by the costs that fields declare."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, cast

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    IntValueNode,
    ListValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    OperationType,
    StringValueNode,
    ValueNode,
    VariableNode,
    get_named_type,
)

from gateway.graph.execution.cost import (
    Amount,
    FieldCount,
    OperationCost,
    SelectedConnection,
    SelectedNamedObjects,
    SelectedObjects,
    Variables,
)
from gateway.graph.execution.selections import Selections, fields_of
from gateway.graph.node import ENTITY_TYPES, RESOURCE_TYPES
from gateway.graph.pagination.pager import DEFAULT_FIRST, MAX_FIRST
from gateway.graph.types.resource_type import COST, MAX_SIZE, FieldCost, ValueSource
from gateway.upstream.model import object_shape

MAX_INT_CHARACTERS = 11


class _Declared(NamedTuple):
    """What the estimate needs to know of a field."""

    cost: FieldCost | None
    type_name: str
    max_size: int = 0
    """The greatest number of elements of a list inside an object."""


ROOT_TYPES = {each: each.name.capitalize() for each in OperationType}

NODE = "Node"
"""The interface of all objects."""

NAMED = frozenset({FieldCost.NAMED_OBJECTS, FieldCost.ENTITIES})
LINKS = frozenset({FieldCost.OBJECT, FieldCost.KNOWN_OBJECT})

_FREE = _Declared(None, "")


class CostCompiler:
    """Compiles the cost of operations from the costs that the fields of a schema declare."""

    def __init__(self, schema: GraphQLSchema) -> None:
        sizes = dict(_list_sizes(schema))
        self._declared = {
            name: {
                field_name: _Declared(
                    field.extensions.get(COST) or _metadata(field).get(COST),
                    get_named_type(field.type).name,
                    sizes.get((name, field_name)) or _metadata(field).get(MAX_SIZE, 0),
                )
                for field_name, field in each.fields.items()
            }
            for name, each in schema.type_map.items()
            if isinstance(each, GraphQLObjectType | GraphQLInterfaceType)
        }

    def compile(
        self, fragments: Mapping[str, FragmentDefinitionNode], operation: OperationDefinitionNode
    ) -> OperationCost:
        """Compile the cost of a valid query; `fragments` are those of its document by name."""
        return _Compiler(self._declared, fragments, operation).compile()


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


def _metadata(field: GraphQLField) -> Mapping[str, Any]:
    definition = field.extensions.get("strawberry-definition")
    return definition.metadata if definition else {}


class _Compiler:
    """Compiles the cost of one operation from its selections."""

    def __init__(
        self,
        declared: Mapping[str, Mapping[str, _Declared]],
        fragments: Mapping[str, FragmentDefinitionNode],
        operation: OperationDefinitionNode,
    ) -> None:
        self._declared = declared
        self._fragments = fragments
        self._operation = operation

    def compile(self) -> OperationCost:
        root_type = ROOT_TYPES[self._operation.operation]
        root = [(root_type, self._operation.selection_set)]
        defaults = {
            each.variable.name.value: _value(each.default_value, {})
            for each in self._operation.variable_definitions or ()
            if each.default_value is not None
        }
        compiled = OperationCost(defaults, self._response_fields(root))
        for node in self._fields(root):
            cost, type_name, _ = self._lookup(root_type, node)
            if cost is FieldCost.CONNECTION:
                compiled.connections.append(self._connection(type_name, node))
            elif cost in NAMED or type_name == NODE:
                compiled.named_objects.append(
                    SelectedNamedObjects(_entries(node), self._objects_of(node, cost))
                )
            elif cost in {FieldCost.OBJECT, FieldCost.WATCHED_OBJECT}:
                compiled.objects.append(self._objects(type_name, [node], needs_call=True))
            elif cost is FieldCost.WATCHED_LIST:
                compiled.connections.append(self._changes(type_name, node))
        return compiled

    def _response_fields(self, selections: Selections, rows: Amount | None = None) -> FieldCount:
        """Count the fields of the response; `rows` is set for the selections of a connection.

        Fields with the same response name are merged into one.
        """
        by_name: dict[str, list[tuple[str, FieldNode]]] = {}
        for parent, node in fields_of(selections, self._fragments):
            by_name.setdefault((node.alias or node.name).value, []).append((parent, node))
        total = FieldCount(len(by_name))
        for merged in by_name.values():
            parent, node = merged[0]
            cost, _, max_size = self._lookup(parent, node)
            if node.selection_set is None:
                total.add_constant(FieldCount(max_size))
                continue
            below = [(self._lookup(*each).type_name, each[1].selection_set) for each in merged]
            if cost is FieldCost.CONNECTION:
                total.add_constant(self._response_fields(below, _rows(node)))
            elif rows is not None and node.name.value in {"edges", "nodes"}:
                total.add(self._response_fields(below), rows)
            elif cost in NAMED:
                total.add(self._response_fields(below), _number_of(_entries(node)))
            else:
                total.add_constant(self._response_fields(below), max_size or 1)
        return total

    def _connection(self, type_name: str, connection: FieldNode) -> SelectedConnection:
        node_type = self._declared[type_name]["nodes"].type_name
        below = self._fields([(type_name, connection.selection_set)])
        edges = [("", each.selection_set) for each in below if each.name.value == "edges"]
        nodes = [each for each in below if each.name.value == "nodes"]
        nodes += [each for each in self._fields(edges) if each.name.value == "node"]
        return SelectedConnection(_rows(connection), self._objects(node_type, nodes))

    def _changes(self, type_name: str, change: FieldNode) -> SelectedConnection:
        """Compile the cost of a watched list: of a page of it, and of one row that has changed."""
        below = self._fields([(type_name, change.selection_set)])
        nodes = [each for each in below if each.selection_set is not None]
        objects = SelectedObjects()
        if nodes:
            node_type = self._lookup(type_name, nodes[0]).type_name
            objects = self._objects(node_type, nodes)
        return SelectedConnection(_one_row, objects)

    def _objects_of(
        self, node: FieldNode, cost: FieldCost | None
    ) -> Callable[[str], SelectedObjects]:
        """Return a function that compiles the details of objects of a type, when it is needed."""
        compiled: dict[str, SelectedObjects] = {}

        def objects_of(type_name: str) -> SelectedObjects:
            if type_name not in compiled:
                by_key = cost is FieldCost.ENTITIES and self._is_known_by_key(type_name, node)
                compiled[type_name] = self._objects(type_name, [node], needs_call=not by_key)
            return compiled[type_name]

        return objects_of

    def _is_known_by_key(self, type_name: str, node: FieldNode) -> bool:
        """Return whether an entity's key gives all that is selected of it."""
        selected = {each.name.value for each in self._fields_of_type(type_name, [node])}
        return ENTITY_TYPES[type_name].key_fields.issuperset(selected)

    def _objects(
        self, type_name: str, selected: list[FieldNode], *, needs_call: bool = False
    ) -> SelectedObjects:
        """Compile the details of objects of a type; `needs_call` if they are not rows of a list."""
        objects = SelectedObjects(needs_call)
        links: dict[str, list[FieldNode]] = {}
        for node in self._fields_of_type(type_name, selected):
            cost, target, _ = self._lookup(type_name, node)
            if cost is FieldCost.DETAIL:
                objects.needs_call = True
            elif cost in LINKS:
                links.setdefault(node.name.value, []).append(node)
            elif cost is FieldCost.CONNECTION:
                objects.connections.append(self._connection(target, node))
        for name, followed in links.items():
            cost, target, _ = self._declared[type_name][name]
            objects.links.append(
                self._objects(target, followed, needs_call=cost is FieldCost.OBJECT)
            )
        return objects

    def _fields_of_type(self, type_name: str, selected: list[FieldNode]) -> Iterator[FieldNode]:
        """Yield the fields below others that objects of a type have."""
        below = ((type_name, each.selection_set) for each in selected)
        for parent, node in fields_of(below, self._fragments):
            if parent in {type_name, NODE}:  # not of a fragment on another type
                yield node

    def _lookup(self, type_name: str, node: FieldNode) -> _Declared:
        return self._declared.get(type_name, {}).get(node.name.value, _FREE)

    def _fields(self, selections: Selections) -> list[FieldNode]:
        return [node for _, node in fields_of(selections, self._fragments)]


def _one_row(_: Variables) -> int:
    return 1


def _rows(connection: FieldNode) -> Amount:
    """Return the amount of rows that a connection has at most."""
    given = [
        each.value for each in connection.arguments or () if each.name.value in {"first", "last"}
    ]

    def rows(variables: Variables) -> int:
        amounts = [each for node in given if (each := _value(node, variables)) is not None]
        if not all(isinstance(each, int) and 0 <= each <= MAX_FIRST for each in amounts):
            return 0  # the field fails with an error of its own
        return min(amounts, default=DEFAULT_FIRST)

    return rows


def _entries(node: FieldNode) -> Callable[[Variables], list[Any]]:
    """Return what the only argument of a field names: the entries of a list, or one value."""

    def entries(variables: Variables) -> list[Any]:
        (value,) = [_value(each.value, variables) for each in node.arguments or ()] or [None]
        return value if isinstance(value, list) else [value]

    return entries


def _number_of(entries: Callable[[Variables], list[Any]]) -> Amount:
    return lambda variables: len(entries(variables))


def _value(node: ValueNode, variables: Variables) -> Any:
    if isinstance(node, VariableNode):
        return variables.get(node.name.value)
    if isinstance(node, IntValueNode):
        # An id may be an integer literal of any length, which Python refuses to convert.
        return int(node.value) if len(node.value) <= MAX_INT_CHARACTERS else None
    if isinstance(node, ListValueNode):
        return [_value(each, variables) for each in node.values]
    if isinstance(node, ObjectValueNode):
        return {each.name.value: _value(each.value, variables) for each in node.fields}
    return node.value if isinstance(node, StringValueNode) else None
