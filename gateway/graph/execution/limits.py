"""The limits of a document, counted before it is validated.

They bound the work of validation and planning, so what `@skip` and `@include` exclude counts too.
The contents of a fragment count at each spread. Yet each fragment is counted only once, and its
count added at each spread, so that forty fragments that double each other take microseconds.
Circular and undefined fragments contribute nothing; validation rejects them.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLObjectType,
    OperationDefinitionNode,
    get_nullable_type,
    introspection_types,
    is_list_type,
)

from gateway.errors import LimitExceededError
from gateway.settings import Settings, variable

INTROSPECTION = frozenset({"__schema", "__type"})
"""Fields below these do not count toward depth: validation limits introspection by itself."""

INTROSPECTION_LISTS = frozenset(
    name
    for each in introspection_types.values()
    if isinstance(each, GraphQLObjectType)
    for name, field in each.fields.items()
    if is_list_type(get_nullable_type(field.type))
)

ENTITIES = "_entities"
"""Neither fields of this name nor their aliases count: a router merges its fetches into one
document, as many of these as a client's query has objects. GATEWAY_LIMIT_IDS bounds what they name
together."""

MAX_INTROSPECTION_LISTS = 20
"""Limit on the lists selected below INTROSPECTION: with 28 aliases of `types`, an introspection
takes half a second. The standard query, which tools send, selects ten lists."""

SPLIT = "Send it as several requests."
DEEPER = "Request the objects below by their ids, in another request."

COUNT_CAP = 2**31
"""Counts stop here, because fragments that double each other could make them arbitrarily large."""


@dataclass(slots=True)
class Count:
    """The size of an operation or a fragment; all but the depth stop at COUNT_CAP."""

    depth: int = 0
    aliases: int = 0
    root_fields: int = 0
    directives: int = 0
    selections: int = 0
    introspection_lists: int = 0


class _Spread(NamedTuple):
    name: str
    depth: int
    in_introspection: bool


@dataclass(slots=True)
class _LocalCounts:
    """The count of a definition without its fragments, and where it spreads them."""

    count: Count = field(default_factory=Count)
    spreads: list[_Spread] = field(default_factory=list)


def check_limits(document: DocumentNode, settings: Settings) -> int:
    """Check each operation of a document, which need not be valid; return their selections.

    Raises LimitExceededError for the first limit that is exceeded.
    """
    counts = count_operations(document)
    for count in counts:
        for name, what, remedy in (
            ("depth", "is {} fields deep", DEEPER),
            ("aliases", "has {} aliases", SPLIT),
            ("root_fields", "has {} fields at its root", SPLIT),
            ("directives", "has {} directives", SPLIT),
            ("selections", "has {} selections", SPLIT),
        ):
            limit = getattr(settings, f"limit_{name}")
            accepted = f"{limit} ({variable(f'limit_{name}')}). {remedy}"
            _check(getattr(count, name), limit, name, what, accepted)
        what = "selects {} lists of the schema below `__schema` and `__type`"
        limit = MAX_INTROSPECTION_LISTS
        _check(count.introspection_lists, limit, "introspection", what, f"{limit}. {SPLIT}")
    return sum(count.selections for count in counts)


def _check(found: int, limit: int, name: str, what: str, accepted: str) -> None:
    if found > limit:
        amount = f"{COUNT_CAP} or more" if found == COUNT_CAP else str(found)
        raise LimitExceededError(
            f"With its fragments the operation {what.format(amount)}. Accepted: up to {accepted}",
            limit=name,
        )


def count_operations(document: DocumentNode) -> list[Count]:
    """Return the count of each operation, its fragments included."""
    fragments = {
        each.name.value: each
        for each in document.definitions
        if isinstance(each, FragmentDefinitionNode)
    }
    counted: dict[str, Count] = {}
    result = []
    for each in document.definitions:
        if isinstance(each, OperationDefinitionNode):
            local = _count_definition(each)
            _count_fragments((spread.name for spread in local.spreads), fragments, counted)
            result.append(_total(local, counted))
    return result


def _count_fragments(
    names: Iterable[str],
    fragments: dict[str, FragmentDefinitionNode],
    counted: dict[str, Count],
) -> None:
    """Count fragments after those that they spread.

    Not recursively: a chain of fragments may be longer than Python's call stack.
    """
    pending = [*names]
    begun: dict[str, _LocalCounts] = {}
    while pending:
        name = pending[-1]
        if name in begun or name in counted or name not in fragments:
            pending.pop()
            if name in begun:
                counted[name] = _total(begun.pop(name), counted)
        else:
            begun[name] = _count_definition(fragments[name])
            pending += [spread.name for spread in begun[name].spreads]


def _count_definition(
    definition: OperationDefinitionNode | FragmentDefinitionNode,
) -> _LocalCounts:
    local = _LocalCounts()
    count = local.count
    for each in (definition, *(definition.variable_definitions or ())):
        count.directives += len(each.directives or ())
    on_schema = isinstance(
        definition, FragmentDefinitionNode
    ) and definition.type_condition.name.value.startswith("__")
    pending = [(definition.selection_set, 0, False)]
    while pending:
        selected, depth, in_introspection = pending.pop()
        for selection in selected.selections:
            count.selections += 1
            count.directives += len(selection.directives or ())
            if isinstance(selection, FragmentSpreadNode):
                local.spreads.append(_Spread(selection.name.value, depth, in_introspection))
                continue
            below_depth, below_introspection = depth, in_introspection
            if isinstance(selection, FieldNode):
                if selection.name.value != ENTITIES:
                    count.aliases += selection.alias is not None
                    count.root_fields += depth == 0
                if in_introspection or on_schema:
                    count.introspection_lists += selection.name.value in INTROSPECTION_LISTS
                below_depth += not in_introspection
                count.depth = max(count.depth, below_depth)
                below_introspection = in_introspection or selection.name.value in INTROSPECTION
            below = getattr(selection, "selection_set", None)
            if below is not None:
                pending.append((below, below_depth, below_introspection))
    return local


def _total(local: _LocalCounts, counted: dict[str, Count]) -> Count:
    """Add the fragments; a circular or undefined one contributes nothing."""
    total = replace(local.count)
    for spread in local.spreads:
        below = counted.get(spread.name, Count())
        if not spread.in_introspection:
            total.depth = max(total.depth, spread.depth + below.depth)
        if spread.depth == 0:
            total.root_fields = min(total.root_fields + below.root_fields, COUNT_CAP)
        total.aliases = min(total.aliases + below.aliases, COUNT_CAP)
        total.directives = min(total.directives + below.directives, COUNT_CAP)
        total.selections = min(total.selections + below.selections, COUNT_CAP)
        total.introspection_lists = min(
            total.introspection_lists + below.introspection_lists, COUNT_CAP
        )
    return total
