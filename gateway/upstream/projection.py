"""Projections: what is kept of the objects that the upstream returns."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Projection:
    """The members of a structure to keep.

    A member is kept whole, unless `nested` has a projection for the structure, or for each
    structure of the list, that it holds.
    """

    members: frozenset[str]
    nested: Mapping[str, "Projection"]

    def apply(self, structure: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a copy of the structure with these members only.

        A value that is neither a structure nor a list where one is expected stays as it is.
        """
        return {
            name: self._apply_to_member(name, value)
            for name, value in structure.items()
            if name in self.members
        }

    def apply_to_all(self, structures: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Return the structures with these members only: the same list, or a copy."""
        # Nearly all rows of lists have no other members, which is faster to check for all at once.
        if not self.nested and self.members.issuperset(set().union(*structures)):
            return structures
        return [self.apply(structure) for structure in structures]

    def restricted_to(self, names: AbstractSet[str]) -> "Projection":
        """Return the projection to those of its members, at any depth, that have these names."""
        return Projection(
            self.members & names,
            {name: each.restricted_to(names) for name, each in self.nested.items()},
        )

    def _apply_to_member(self, name: str, value: Any) -> Any:
        projection = self.nested.get(name)
        if projection is None:
            return value
        if type(value) is list:
            return [projection.apply(each) if type(each) is dict else each for each in value]
        return projection.apply(value) if type(value) is dict else value
