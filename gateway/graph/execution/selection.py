"""What a query selects: the fields below some of its fields, through all fragments."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
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
        below = (node.selection_set for node in nodes)
        fields = fields_of(below, info.fragments, lambda each: _included(info, each))
        nodes = [field for field in fields if field.name.value == name]
    return bool(nodes)


def fields_of(
    sets: Iterable[SelectionSetNode | None],
    fragments: Mapping[str, FragmentDefinitionNode],
    included: Callable[[SelectionNode], bool] = lambda _: True,
) -> Iterator[FieldNode]:
    """Give the fields of selection sets, and of the fragments in them, that are `included`."""
    visited: set[str] = set()  # a fragment adds its fields once, however often it is spread
    pending = [selection for each in sets if each is not None for selection in each.selections]
    while pending:
        selection = pending.pop()
        if not included(selection):
            continue
        if isinstance(selection, FieldNode):
            yield selection
        elif isinstance(selection, InlineFragmentNode):
            pending.extend(selection.selection_set.selections)
        elif isinstance(selection, FragmentSpreadNode) and selection.name.value not in visited:
            visited.add(selection.name.value)
            pending.extend(fragments[selection.name.value].selection_set.selections)


def _included(info: GraphQLResolveInfo[Any], selection: SelectionNode) -> bool:
    if not selection.directives:
        return True
    skip = get_directive_values(GraphQLSkipDirective, selection, info.variable_values)
    include = get_directive_values(GraphQLIncludeDirective, selection, info.variable_values)
    return not (skip and skip["if"]) and not (include and not include["if"])
