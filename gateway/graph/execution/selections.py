"""The fields of selection sets, those of fragments included."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from graphql import (
    BooleanValueNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    NamedTypeNode,
    NonNullTypeNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    TypeNode,
    ValueNode,
    VariableNode,
)

Selections = Iterable[tuple[str, SelectionSetNode | None]]
"""Selection sets, each with the name of the type that it selects from."""

MAX_PLANS = 4
"""Plans of an operation that are kept: it has one for each choice of what `@skip` and `@include`
leave of it."""


def switch_names(operation: OperationDefinitionNode) -> tuple[str, ...]:
    """Return the names of the variables that `@skip` and `@include` may name: Boolean ones."""
    return tuple(
        each.variable.name.value
        for each in operation.variable_definitions or ()
        if _type_name(each.type) == "Boolean"
    )


def _type_name(node: TypeNode) -> str | None:
    """Return the name of a type, or None for a list."""
    if isinstance(node, NonNullTypeNode):
        return _type_name(node.type)
    return node.name.value if isinstance(node, NamedTypeNode) else None


def fields_of(
    selections: Selections,
    fragments: Mapping[str, FragmentDefinitionNode],
    variables: Mapping[str, Any],
) -> Iterator[tuple[str, FieldNode]]:
    """Yield the fields of selections and of their fragments, each with its parent type's name.

    The variables are those that `@skip` and `@include` may name.
    """
    visited: set[str] = set()  # a fragment adds its fields once, however often it is spread
    pending = [
        (type_name, each)
        for type_name, selected in selections
        if selected is not None
        for each in selected.selections
    ]
    while pending:
        type_name, selection = pending.pop()
        if not _is_included(selection, variables):
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


def _is_included(selection: SelectionNode, variables: Mapping[str, Any]) -> bool:
    for directive in selection.directives or ():
        name = directive.name.value
        if name in {"skip", "include"}:
            (condition,) = directive.arguments or ()
            if _boolean(condition.value, variables) is (name == "skip"):
                return False
    return True


def _boolean(node: ValueNode, variables: Mapping[str, Any]) -> Any:
    if isinstance(node, VariableNode):
        return variables.get(node.name.value)
    return node.value if isinstance(node, BooleanValueNode) else None
