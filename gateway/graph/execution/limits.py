"""The limits: how much the operations of a document may ask for, counted before it is validated.

What fragments hold counts wherever they are spread. Yet each fragment is counted once, and its
count is added where its name is: fragments that double each other forty times over are read in
a moment, and so are those that spread each other in a circle, or do not exist. Such documents
are not valid; to say so is the business of validation, which comes later.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    OperationDefinitionNode,
    SelectionSetNode,
)

from gateway.errors import LimitExceededError

INTROSPECTION = frozenset({"__schema", "__type"})
"""Fields whose insides do not count to depth: validation has a limit of its own for them."""

COUNT_CAP = 2**31
"""Where counting ends: sixty fragments that double need no sixty-bit numbers."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a document may have."""

    tokens: int = 2000
    depth: int = 15
    aliases: int = 30
    root_fields: int = 10
    directives: int = 50
    selections: int = 10000


@dataclass(slots=True)
class Count:
    """What an operation or a fragment has; all but the depth ends at COUNT_CAP."""

    depth: int = 0
    """How many fields are in each other."""
    aliases: int = 0
    root_fields: int = 0
    """Fields that are in no other."""
    directives: int = 0
    selections: int = 0


class _Spread(NamedTuple):
    name: str
    depth: int
    hidden: bool
    """Whether it is inside introspection."""


@dataclass(slots=True)
class _LocalCounts:
    """What stands in a definition itself."""

    count: Count = field(default_factory=Count)
    spreads: list[_Spread] = field(default_factory=list)


def check(document: DocumentNode, limits: Limits) -> None:
    """Check each operation of a document, which need not be valid.

    Raises LimitExceededError that names the first limit that one is over.
    """
    for count in counts(document):
        for name, what in (
            ("depth", "is {} fields deep"),
            ("aliases", "has {} aliases"),
            ("root_fields", "has {} fields at its root"),
            ("directives", "has {} directives"),
            ("selections", "has {} selections"),
        ):
            found, accepted = getattr(count, name), getattr(limits, name)
            if found > accepted:
                amount = f"{COUNT_CAP} or more" if found == COUNT_CAP else str(found)
                raise LimitExceededError(
                    f"With its fragments the operation {what.format(amount)}. Accepted: up to "
                    f"{accepted} (GATEWAY_LIMIT_{name.upper()})."
                )


def counts(document: DocumentNode) -> list[Count]:
    """Count what each operation has, with all that its fragments bring."""
    fragments = {
        each.name.value: each
        for each in document.definitions
        if isinstance(each, FragmentDefinitionNode)
    }
    counted: dict[str, Count] = {}
    found = []
    for each in document.definitions:
        if isinstance(each, OperationDefinitionNode):
            own = _own(each)
            _count_fragments((spread.name for spread in own.spreads), fragments, counted)
            found.append(_sum(own, counted))
    return found


def _count_fragments(
    names: Iterable[str],
    fragments: dict[str, FragmentDefinitionNode],
    counted: dict[str, Count],
) -> None:
    """Count these fragments after those that they spread.

    On a list of its own: a chain of fragments may be longer than the call stack.
    """
    pending = [*names]
    begun: dict[str, _LocalCounts] = {}
    while pending:
        name = pending[-1]
        if name in begun or name in counted or name not in fragments:
            pending.pop()
            if name in begun:
                counted[name] = _sum(begun.pop(name), counted)
        else:
            begun[name] = _own(fragments[name])
            pending += [spread.name for spread in begun[name].spreads]


def _own(definition: OperationDefinitionNode | FragmentDefinitionNode) -> _LocalCounts:
    """Count what stands in a definition, its fragments apart."""
    own = _LocalCounts()
    count = own.count
    for each in (definition, *(definition.variable_definitions or ())):
        count.directives += len(each.directives or ())
    pending: list[tuple[SelectionSetNode, int, bool]] = [(definition.selection_set, 0, False)]
    while pending:
        selected, depth, hidden = pending.pop()
        for selection in selected.selections:
            count.selections += 1
            count.directives += len(selection.directives or ())
            if isinstance(selection, FragmentSpreadNode):
                own.spreads.append(_Spread(selection.name.value, depth, hidden))
                continue
            inside, inside_hidden = depth, hidden
            if isinstance(selection, FieldNode):
                count.aliases += selection.alias is not None
                count.root_fields += depth == 0
                inside += not hidden
                count.depth = max(count.depth, inside)
                inside_hidden = hidden or selection.name.value in INTROSPECTION
            below = getattr(selection, "selection_set", None)
            if below is not None:
                pending.append((below, inside, inside_hidden))
    return own


def _sum(own: _LocalCounts, counted: dict[str, Count]) -> Count:
    """Add what fragments bring; one that is in a circle or not defined brings nothing."""
    total = replace(own.count)
    for spread in own.spreads:
        below = counted.get(spread.name, Count())
        if not spread.hidden:
            total.depth = max(total.depth, spread.depth + below.depth)
        if spread.depth == 0:
            total.root_fields = min(total.root_fields + below.root_fields, COUNT_CAP)
        total.aliases = min(total.aliases + below.aliases, COUNT_CAP)
        total.directives = min(total.directives + below.directives, COUNT_CAP)
        total.selections = min(total.selections + below.selections, COUNT_CAP)
    return total
