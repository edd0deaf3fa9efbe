"""What the schema can show of the objects that AWS returns."""

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, NamedTuple

from strawberry.types import get_object_definition
from strawberry.types.base import StrawberryContainer

import gateway.graph.query  # noqa: F401  registers all resource types
from gateway.graph.node import RESOURCE_TYPES
from gateway.graph.types.resource_type import NAMES, SOURCE, ArnResourceType, ValueSource
from gateway.upstream.projection import Projection


class _Shown(NamedTuple):
    """A member that a field shows; `type` is None if the field converts it by a function."""

    member: str
    in_detail: bool
    type: Any


def projections() -> dict[str, Projection]:
    """Return for each operation a projection to what the schema can show of its objects."""
    found: dict[str, Projection] = {}
    for resource in RESOURCE_TYPES.values():
        shown = list(_shown_by(resource.object_type))
        found[resource.list_operation] = _project(each for each in shown if not each.in_detail)
        if isinstance(resource, ArnResourceType):
            found[resource.get_operation] = _project(shown)
    return found


@cache
def row_members() -> frozenset[str]:
    """Return the members that the rows of any list show. Keys, links and filters read them too."""
    found = projections()
    lists = (found[each.list_operation] for each in RESOURCE_TYPES.values())
    return frozenset[str]().union(*(each.members for each in lists))


def _shown_by(object_type: type[Any]) -> Iterator[_Shown]:
    for field in get_object_definition(object_type, strict=True).fields:
        name = NAMES.from_field(field)
        source = field.metadata.get(SOURCE)
        if source is None and field.base_resolver is None and name != "id":
            source = ValueSource(in_detail=False)
        if isinstance(source, ValueSource):
            of_type = None if source.convert else field.type
            yield _Shown(source.member or name, source.in_detail, of_type)


def _project(shown: Iterable[_Shown]) -> Projection:
    types = {each.member: each.type for each in shown}
    nested = {member: _project_type(of_type) for member, of_type in types.items()}
    return Projection(
        frozenset(types), {name: each for name, each in nested.items() if each is not None}
    )


def _project_type(of_type: Any) -> Projection | None:
    """Return what a type shows of a structure; None if it is not that of a structure."""
    while isinstance(of_type, StrawberryContainer):
        of_type = of_type.of_type
    return None if get_object_definition(of_type) is None else _project(_shown_by(of_type))
