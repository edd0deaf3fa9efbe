"""The estimate: what a query asks for, read off its text: upstream calls, fields of its answer.

Page sizes are taken at their word, so a list that turns out shorter costs less; what is shared
(a model that many jobs use) is taken to be one. What `@skip` and `@include` leave out counts too.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    IntValueNode,
    ListValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    StringValueNode,
    ValueNode,
    VariableNode,
)

from gateway.graph.execution.selection import fields_of
from gateway.graph.node import from_global_id
from gateway.graph.objects import ENTITY_TYPES, SCALAR_FIELDS
from gateway.graph.pagination.connection import DEFAULT_FIRST, MAX_FIRST
from gateway.upstream.values import PAGE_SIZE

LISTS = {
    "audienceGenerationJobs": "AudienceGenerationJob",
    "audienceExportJobs": "AudienceExportJob",
    "configuredAudienceModels": "ConfiguredAudienceModel",
    "audienceModels": "AudienceModel",
    "trainingDatasets": "TrainingDataset",
}
"""Root connection -> the type of its nodes."""

SINGLES = {name[0].lower() + name[1:]: name for name in ENTITY_TYPES}
"""Root field -> the type of the object that it gets."""

LINKS = {
    ("AudienceGenerationJob", "configuredAudienceModel"): "ConfiguredAudienceModel",
    ("ConfiguredAudienceModel", "audienceModel"): "AudienceModel",
    ("AudienceModel", "trainingDataset"): "TrainingDataset",
    ("AudienceExportJob", "audienceGenerationJob"): "AudienceGenerationJob",
}
"""Field of a type -> the type of the object that it gets."""

FREE = {"__typename", "exportJobs", "collaboration", "outputConfig"}
"""Fields of what a Get gives that none is made for, beside those of rows."""

MAX_DIGITS = 11
"""Of an Int, with its sign."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Calls that a query asks for."""

    pages: int = 0
    """Of root connections."""
    details: int = 0
    """What is asked once per object or row."""
    fields: int = 0
    """That the answer shows, those of a row once for each row."""

    def __add__(self, other: "Estimate") -> "Estimate":
        """Sum up."""
        return Estimate(
            self.pages + other.pages, self.details + other.details, self.fields + other.fields
        )


def estimate(
    document: DocumentNode, operation: OperationDefinitionNode, variables: Mapping[str, Any]
) -> Estimate:
    """Estimate a valid operation with these variables, which need not be valid."""
    return _Reading(document, operation, variables).root(operation.selection_set)


class _Reading:
    def __init__(
        self,
        document: DocumentNode,
        operation: OperationDefinitionNode,
        variables: Mapping[str, Any],
    ) -> None:
        self._fragments = {
            each.name.value: each
            for each in document.definitions
            if isinstance(each, FragmentDefinitionNode)
        }
        defaults = {
            each.variable.name.value: each.default_value
            for each in operation.variable_definitions or ()
        }
        self._named: set[tuple[str, str]] = set()
        """Objects that ids and representations name: each is got once, however often named."""
        self._variables = {**{k: v for k, v in defaults.items() if v is not None}, **variables}

    def root(self, selected: SelectionSetNode) -> Estimate:
        total = Estimate()
        for field in self._fields([selected]):
            name = field.name.value
            if name in LISTS:
                rows = self._rows(field)
                pages = math.ceil(rows / PAGE_SIZE)
                total += Estimate(pages, self._of_nodes(LISTS[name], field, rows))
            elif name in SINGLES:
                total += Estimate(0, 1 + self._of(SINGLES[name], [field], 1, got=True))
            elif name == "node":
                total += Estimate(0, 1)
            elif name in {"nodes", "_entities"}:
                self._named |= set(self._objects(field))
        return total + Estimate(0, len(self._named), self._shown([selected]))

    def _shown(self, sets: Iterable[SelectionSetNode | None], rows: int | None = None) -> int:
        """Count the fields that selections show; those of a connection have so many `rows`.

        What is selected twice under one name is shown once.
        """
        shown: dict[str, list[FieldNode]] = {}
        for field in self._fields(sets):
            shown.setdefault((field.alias or field.name).value, []).append(field)
        total = 0
        for fields in shown.values():
            name = fields[0].name.value
            below = [field.selection_set for field in fields]
            if name in LISTS or name == "exportJobs":
                total += 1 + self._shown(below, self._rows(fields[0]))
            elif name in {"edges", "nodes"} and rows is not None:
                total += 1 + rows * self._shown(below)
            elif name in {"nodes", "_entities"}:
                total += 1 + len(self._entries(fields[0])) * self._shown(below)
            else:
                total += 1 + self._shown(below)
        return total

    def _of_nodes(self, type_name: str, connection: FieldNode, rows: int) -> int:
        """Estimate what the nodes of a connection cost beside its pages."""
        below = self._fields([connection.selection_set])
        edges = [field for field in below if field.name.value == "edges"]
        nodes = [field for field in below if field.name.value == "nodes"]
        nodes += [
            field
            for field in self._fields(edge.selection_set for edge in edges)
            if field.name.value == "node"
        ]
        return self._of(type_name, nodes, rows, got=False)

    def _of(self, type_name: str, objects: list[FieldNode], count: int, *, got: bool) -> int:
        """Estimate what is selected of `count` objects of a type, which were `got` or listed."""
        fields = list(self._fields(each.selection_set for each in objects))
        if not fields or not count:
            return 0
        total = 0 if got or not self._needs_get(type_name, fields) else count
        linked: dict[str, list[FieldNode]] = {}
        for field in fields:
            name = field.name.value
            if (type_name, name) in LINKS:
                linked.setdefault(name, []).append(field)
            elif name == "exportJobs":
                rows = self._rows(field)
                total += count * math.ceil(rows / PAGE_SIZE)
                total += self._of_nodes("AudienceExportJob", field, count * rows)
        for name, followed in linked.items():
            total += 1 + self._of(LINKS[type_name, name], followed, 1, got=True)
        return total

    def _needs_get(self, type_name: str, fields: Iterable[FieldNode]) -> bool:
        if type_name not in ENTITY_TYPES:
            return False
        free = SCALAR_FIELDS[type_name].keys() | FREE
        names = {field.name.value for field in fields}
        return any(name not in free and (type_name, name) not in LINKS for name in names)

    def _fields(self, sets: Iterable[SelectionSetNode | None]) -> list[FieldNode]:
        return list(fields_of(sets, self._fragments))

    def _rows(self, field: FieldNode) -> int:
        given = {
            argument.name.value: self._value(argument.value) for argument in field.arguments or ()
        }
        amounts = [given[name] for name in ("first", "last") if given.get(name) is not None]
        if not all(isinstance(amount, int) and 0 <= amount <= MAX_FIRST for amount in amounts):
            return 0  # its own error says what is wrong with it
        return min(amounts, default=DEFAULT_FIRST)

    def _entries(self, field: FieldNode) -> list[Any]:
        (value,) = [self._value(argument.value) for argument in field.arguments or ()] or [None]
        return value if isinstance(value, list) else [value]

    def _objects(self, field: FieldNode) -> Iterator[tuple[str, str]]:
        for each in self._entries(field):
            named = each if isinstance(each, dict) else {"id": each}
            type_name, global_id = named.get("__typename"), named.get("id")
            found = from_global_id(global_id) if isinstance(global_id, str) else None
            if found is None and isinstance(type_name, str) and type_name in ENTITY_TYPES:
                arn = named.get(ENTITY_TYPES[type_name][0].arn)
                found = (type_name, arn) if isinstance(arn, str) else None
            if found is not None:
                yield found

    def _value(self, node: ValueNode) -> Any:
        if isinstance(node, VariableNode):
            value = self._variables.get(node.name.value)
            return self._value(value) if isinstance(value, ValueNode) else value
        if isinstance(node, IntValueNode):
            # An id may be written as a number of any length, which Python would not read.
            return int(node.value) if len(node.value) <= MAX_DIGITS else None
        if isinstance(node, ListValueNode):
            return [self._value(each) for each in node.values]
        if isinstance(node, ObjectValueNode):
            return {field.name.value: self._value(field.value) for field in node.fields}
        if isinstance(node, StringValueNode):
            return node.value
        return None
