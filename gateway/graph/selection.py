"""What a query selects below the field that is being resolved."""

from collections.abc import Iterable, Iterator
from typing import Any

from graphql import (
    FieldNode,
    FragmentSpreadNode,
    GraphQLIncludeDirective,
    GraphQLResolveInfo,
    GraphQLSkipDirective,
    InlineFragmentNode,
    SelectionNode,
    SelectionSetNode,
    get_directive_values,
)


def selects(info: GraphQLResolveInfo[Any], *path: str) -> bool:
    """Say whether the field being resolved has this path of field names selected below it."""
    nodes = list(info.field_nodes)
    for name in path:
        nodes = [
            child
            for child in _fields(info, (node.selection_set for node in nodes))
            if child.name.value == name
        ]
    return bool(nodes)


def _fields(
    info: GraphQLResolveInfo[Any], sets: Iterable[SelectionSetNode | None]
) -> Iterator[FieldNode]:
    visited: set[str] = set()  # a fragment adds its fields once, however often it is spread
    pending = [selection for each in sets if each is not None for selection in each.selections]
    while pending:
        selection = pending.pop()
        if not _included(info, selection):
            continue
        if isinstance(selection, FieldNode):
            yield selection
        elif isinstance(selection, InlineFragmentNode):
            pending.extend(selection.selection_set.selections)
        elif isinstance(selection, FragmentSpreadNode) and selection.name.value not in visited:
            visited.add(selection.name.value)
            pending.extend(info.fragments[selection.name.value].selection_set.selections)


def _included(info: GraphQLResolveInfo[Any], selection: SelectionNode) -> bool:
    if not selection.directives:
        return True
    skip = get_directive_values(GraphQLSkipDirective, selection, info.variable_values)
    include = get_directive_values(GraphQLIncludeDirective, selection, info.variable_values)
    return not (skip and skip["if"]) and not (include and not include["if"])
