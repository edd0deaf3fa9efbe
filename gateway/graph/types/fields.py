"""Declares fields by where their value comes from, and so by what they cost."""

from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache
from typing import Any, cast

import strawberry
from strawberry.types import get_object_definition
from strawberry.types.base import StrawberryList, StrawberryOptional
from strawberry.types.enum import StrawberryEnumDefinition

from gateway.errors import UpstreamInvalidResponseError
from gateway.graph.context import Info
from gateway.graph.types.resource_type import NAMES, ArnResourceType, none_if_not_found
from gateway.graph.types.values import enum_member
from gateway.upstream.values import PAGE_SIZE, Item

COST = "cost"
"""The key of a field's cost in its metadata."""

Read = Callable[[Any], Any]


class FieldCost(Enum):
    """What selecting a field costs, in words; `execution.cost` adds it up for an operation."""

    DETAIL = "one upstream call per object, for all such fields together"
    OBJECT = "one upstream call per distinct object"
    CONNECTION = f"one upstream call per list and page of {PAGE_SIZE}"
    NAMED_OBJECTS = "one upstream call per distinct id or key"


def costly(cost: FieldCost, description: str) -> dict[str, Any]:
    """Return the arguments of `strawberry.field` that declare and describe a field's cost."""
    return {"description": f"{description} Costs {cost.value}.", "metadata": {COST: cost}}


def row_field(description: str) -> Any:
    """Declare a field that each row of the list has; its type is the annotation's."""

    def resolve(self: Any, info: Info) -> Any:
        return _read(info, self.item)

    return strawberry.field(resolver=resolve, description=description)


def detail_field(description: str, read: Read | None = None) -> Any:
    """Declare a field that only the Get operation returns.

    Its type is the annotation's; `read` converts what that does not describe, and gets None
    for an absent member.
    """

    async def resolve(self: Any, info: Info) -> Any:
        return _read(info, await self.details.load(info), read)

    field: Any = strawberry.field(resolver=resolve, **costly(FieldCost.DETAIL, description))
    return field


def link_field(resource: ArnResourceType, description: str) -> Any:
    """Declare a link to the object whose ARN the row has; null if that object is gone."""
    attribute = resource.attribute_of[resource.arn_member]

    async def resolve(self: Any, info: Info) -> Any:
        arn = getattr(self, attribute)
        return await none_if_not_found(resource.fetch(info, arn, argument=resource.arn_member))

    description = f"{description} Null if it no longer exists."
    field: Any = strawberry.field(resolver=resolve, **costly(FieldCost.OBJECT, description))
    return field


def _read(info: Info, item: Item, read: Read | None = None) -> Any:
    """Return the member that the field is named after, converted.

    Raises UpstreamInvalidResponseError if it does not match the service model.
    """
    member, of_type = info.field_name, cast("Any", info.return_type)
    try:
        return (read or _reader(of_type))(item.get(member))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UpstreamInvalidResponseError(
            f"Clean Rooms ML returned an invalid response: `{member}` does not match its model."
        ) from error


@cache
def _reader(of_type: Any) -> Read:
    """Return a function that converts a value of AWS to a type of the graph."""
    if isinstance(of_type, StrawberryOptional):
        inner = _reader(of_type.of_type)
        return lambda value: None if value is None else inner(value)
    if isinstance(of_type, StrawberryList):
        inner = _reader(of_type.of_type)
        return lambda values: [inner(value) for value in values]
    if isinstance(of_type, StrawberryEnumDefinition):
        enumeration: Any = of_type.wrapped_cls
        return lambda value: enum_member(enumeration, value)
    if (definition := get_object_definition(of_type)) is None:
        return lambda value: value
    members = [(each.python_name, NAMES.from_field(each), each.type) for each in definition.fields]

    def read(shape: Mapping[str, Any]) -> Any:
        values = {}
        for attribute, name, member_type in members:
            optional = isinstance(member_type, StrawberryOptional)
            value = shape.get(name) if optional else shape[name]
            values[attribute] = _reader(cast("Any", member_type))(value)
        return of_type(**values)

    return read
