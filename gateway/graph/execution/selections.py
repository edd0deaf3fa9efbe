"""The fields of selection sets, those of fragments included."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    SelectionNode,
    SelectionSetNode,
)

Selections = Iterable[tuple[str, SelectionSetNode | None]]
"""Selection sets, each with the name of the type that it selects from."""


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
