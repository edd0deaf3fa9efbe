"""Compilation of an operation's cost from its selections, by the costs that fields declare."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple, TypeAlias, cast

from graphql import (
    BooleanValueNode,
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
    SelectedList,
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

WITHIN_A_LIST = frozenset({"first", "last", "before", "filter", "orderBy"})
"""The arguments of a connection that AWS does not get. All others are scalars."""

TypedField: TypeAlias = tuple[str, FieldNode]
"""A field, and the name of the type that it is selected from."""


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
        self,
        fragments: Mapping[str, FragmentDefinitionNode],
        operation: OperationDefinitionNode,
        switches: Variables,
    ) -> OperationCost:
        """Compile the cost of a valid query; `fragments` are those of its document by name.

        `switches` are the variables that `@skip` and `@include` name. What they exclude costs
        nothing.
        """
        return _Compiler(self._declared, fragments, operation, switches).compile()


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
        switches: Variables,
    ) -> None:
        self._declared = declared
        self._fragments = fragments
        self._operation = operation
        self._switches = switches

    def compile(self) -> OperationCost:
        root_type = ROOT_TYPES[self._operation.operation]
        root = [*self._fields([(root_type, self._operation.selection_set)])]
        compiled = OperationCost(default_values(self._operation), self._response_fields(root))
        lists = _Lists()
        for nodes in _merged(root):
            cost, type_name, _ = self._lookup(*nodes[0])
            selected = [node for _, node in nodes]
            if cost is FieldCost.CONNECTION:
                lists.add(selected[0], self._connection(type_name, selected))
            elif cost in NAMED or type_name == NODE:
                compiled.named_objects.append(self._named_objects(selected, cost))
            elif cost in {FieldCost.OBJECT, FieldCost.WATCHED_OBJECT}:
                compiled.objects.append(self._objects(type_name, selected, needs_call=True))
            elif cost is FieldCost.WATCHED_LIST:
                compiled.lists.append([self._changes(type_name, selected)])
        compiled.lists.extend(lists.selected)
        return compiled

    def _response_fields(
        self, fields: Iterable[TypedField], rows: Amount | None = None
    ) -> FieldCount:
        """Count fields of the response, and those below them; `rows` if it is of a connection.

        Objects that the request names count apart, by their types.
        """
        merged = _merged(fields)
        total = FieldCount(len(merged))
        for nodes in merged:
            parent, node = nodes[0]
            cost, type_name, max_size = self._lookup(parent, node)
            if node.selection_set is None:
                total.add_constant(FieldCount(max_size))
            elif cost not in NAMED and type_name != NODE:
                below = self._fields(
                    (self._lookup(*each).type_name, each[1].selection_set) for each in nodes
                )
                if cost is FieldCost.CONNECTION:
                    total.add_constant(self._response_fields(below, _rows(node)))
                elif rows is not None and node.name.value in {"edges", "nodes"}:
                    total.add(self._response_fields(below), rows)
                else:
                    total.add_constant(self._response_fields(below), max_size or 1)
        return total

    def _connection(self, type_name: str, selected: list[FieldNode]) -> SelectedConnection:
        node_type = self._declared[type_name]["nodes"].type_name
        below = self._below(type_name, selected)
        nodes = [each for each in below if each.name.value == "nodes"]
        edges = [each for each in below if each.name.value == "edges"]
        nodes += [each for each in self._below("", edges) if each.name.value == "node"]
        return SelectedConnection(_rows(selected[0]), self._objects(node_type, nodes))

    def _changes(self, type_name: str, selected: list[FieldNode]) -> SelectedConnection:
        """Compile the cost of a watched list: of a page of it, and of one row that has changed."""
        below = self._below(type_name, selected)
        nodes = [each for each in below if each.selection_set is not None]
        objects = SelectedObjects()
        if nodes:
            node_type = self._lookup(type_name, nodes[0]).type_name
            objects = self._objects(node_type, nodes)
        return SelectedConnection(_one_row, objects)

    def _named_objects(
        self, selected: list[FieldNode], cost: FieldCost | None
    ) -> SelectedNamedObjects:
        """Compile the cost of objects of a type when the first is named: there are many types."""

        @cache
        def of_type(type_name: str) -> tuple[SelectedObjects, FieldCount]:
            fields = [*self._fields_of_type(type_name, selected)]
            names = {node.name.value for _, node in fields}
            by_key = cost is FieldCost.ENTITIES and ENTITY_TYPES[type_name].key_fields >= names
            objects = self._objects(type_name, selected, needs_call=not by_key)
            return objects, self._response_fields(fields)

        return SelectedNamedObjects(_entries(selected[0]), of_type)

    def _objects(
        self, type_name: str, selected: list[FieldNode], *, needs_call: bool = False
    ) -> SelectedObjects:
        """Compile the details of objects of a type; `needs_call` if they are not rows of a list."""
        objects = SelectedObjects(needs_call)
        links: dict[str, list[FieldNode]] = {}
        lists = _Lists()
        for fields in _merged(self._fields_of_type(type_name, selected)):
            nodes = [node for _, node in fields]
            name = nodes[0].name.value
            cost, target, _ = self._lookup(type_name, nodes[0])
            if cost is FieldCost.DETAIL:
                objects.needs_call = True
            elif cost in LINKS:
                links.setdefault(name, []).extend(nodes)
            elif cost is FieldCost.CONNECTION:
                lists.add(nodes[0], self._connection(target, nodes))
        objects.lists.extend(lists.selected)
        for name, followed in links.items():
            cost, target, _ = self._declared[type_name][name]
            objects.links.append(
                self._objects(target, followed, needs_call=cost is FieldCost.OBJECT)
            )
        return objects

    def _fields_of_type(self, type_name: str, selected: list[FieldNode]) -> Iterator[TypedField]:
        """Yield the fields below others that objects of a type have."""
        below = self._fields((type_name, each.selection_set) for each in selected)
        # Not those of fragments on other types.
        return (each for each in below if each[0] in {type_name, NODE})

    def _lookup(self, type_name: str, node: FieldNode) -> _Declared:
        return self._declared.get(type_name, {}).get(node.name.value, _FREE)

    def _below(self, type_name: str, selected: list[FieldNode]) -> list[FieldNode]:
        fields = self._fields((type_name, each.selection_set) for each in selected)
        return [node for _, node in fields]

    def _fields(self, selections: Selections) -> Iterator[TypedField]:
        return fields_of(selections, self._fragments, self._switches)


class _Lists:
    """The connections that an object has, by the list that they show a page of."""

    def __init__(self) -> None:
        self._by_list: dict[Hashable, SelectedList] = {}

    def add(self, node: FieldNode, connection: SelectedConnection) -> None:
        same_list = frozenset(
            (each.name.value, _given(each.value))
            for each in node.arguments or ()
            if each.name.value not in WITHIN_A_LIST
        )
        self._by_list.setdefault((node.name.value, same_list), []).append(connection)

    @property
    def selected(self) -> Iterable[SelectedList]:
        return self._by_list.values()


def _given(scalar: ValueNode) -> tuple[type, Any]:
    """Return a key that is equal for equal values; a variable is its name."""
    if isinstance(scalar, VariableNode):
        return VariableNode, scalar.name.value
    return type(scalar), getattr(scalar, "value", None)


def _merged(fields: Iterable[TypedField]) -> list[list[TypedField]]:
    """Return the fields by response name: those of one name are one field of the response."""
    by_name: dict[str, list[TypedField]] = {}
    for parent, node in fields:
        by_name.setdefault((node.alias or node.name).value, []).append((parent, node))
    return [*by_name.values()]


def default_values(operation: OperationDefinitionNode) -> dict[str, Any]:
    """Return the default values of an operation's variables."""
    return {
        each.variable.name.value: _value(each.default_value, {})
        for each in operation.variable_definitions or ()
        if each.default_value is not None
    }


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
    return node.value if isinstance(node, StringValueNode | BooleanValueNode) else None
