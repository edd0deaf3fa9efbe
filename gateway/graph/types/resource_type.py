"""Resource types: how AWS lists and fetches a type of object, and how its fields are declared."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from enum import Enum
from functools import cache
from operator import itemgetter, methodcaller
from typing import Any, TypeVar, cast

import strawberry
from strawberry.schema.name_converter import NameConverter
from strawberry.types import get_object_definition
from strawberry.types.base import StrawberryList, StrawberryOptional
from strawberry.types.enum import StrawberryEnumDefinition

from gateway.errors import NotFoundError, UpstreamInvalidResponseError
from gateway.graph.context import Info
from gateway.graph.node import RESOURCE_TYPES, Node, to_global_id
from gateway.graph.types.values import UNKNOWN, enum_member
from gateway.upstream.loader import RequestLoader
from gateway.upstream.model import check_input, row_shape
from gateway.upstream.values import PAGE_SIZE, Item, ItemRequest

T = TypeVar("T")

NAMES = NameConverter()

COST = "cost"
"""The key of a field's cost in its metadata."""

Convert = Callable[[Any], Any]

Read = Callable[[Item], Any]
"""Reads a field from an item, in the form that it has in a response."""


class ResourceType(ABC):
    """A type of object that AWS lists. A row is read by the annotations of the object type.

    AWS names operations and members after the type: ListAudienceModels, audienceModelArn.
    """

    arn_member: str = ""
    """The member that holds the ARN; empty for a type without one."""
    key_of: Callable[[Item], str]
    """Returns what identifies an item, such as its ARN."""

    def __init__(self, object_type: type[Any]) -> None:
        definition = get_object_definition(object_type, strict=True)
        fields = {NAMES.from_field(each): each for each in definition.fields}
        scalars = {name: each for name, each in fields.items() if each.base_resolver is None}
        self.name = definition.name
        self.object_type = object_type
        self.list_operation = f"List{self.name}s"
        self.attribute_of = {name: each.python_name for name, each in scalars.items()}
        """Name of a scalar field -> attribute of the class."""
        self.scalar_fields: Mapping[str, Read] = {
            name: _scalar_reader(name, each.type) for name, each in scalars.items()
        } | {"id": lambda item: to_global_id(self.name, self.key_of(item))}
        """The fields that are read from a row without further work."""
        self._readers = {self.attribute_of[name]: read for name, read in self.scalar_fields.items()}
        RESOURCE_TYPES[self.name] = self

    def from_item(self, item: Item) -> Any:
        """Make the object of a row."""
        return self.object_type(**self._scalars(item), item=item)

    def _scalars(self, item: Item) -> dict[str, Any]:
        return {attribute: read(item) for attribute, read in self._readers.items()}

    @abstractmethod
    def check_key(self, key: str, *, argument: str) -> None:
        """Raise BadUserInputError naming the argument if no object can have this key."""

    @abstractmethod
    async def find(self, info: Info, key: str, *, argument: str) -> Node | None:
        """Return the object with this key, which is checked; None if there is none.

        Raises BadUserInputError naming the argument if the key's region is not served.
        """


class ArnResourceType(ResourceType):
    """A resource type whose objects have an ARN, by which a Get operation returns them."""

    def __init__(self, object_type: type[Any]) -> None:
        super().__init__(object_type)
        self.get_operation = f"Get{self.name}"
        self.arn_member = f"{self.name[0].lower()}{self.name[1:]}Arn"
        self.key_of = itemgetter(self.arn_member)

    def from_item(self, item: Item) -> Any:
        return self._object(item, Details(self, self.key_of(item)))

    def _object(self, item: Item, details: "Details") -> Any:
        return self.object_type(**self._scalars(item), item=item, details=details)

    def check_key(self, key: str, *, argument: str) -> None:
        check_input(self.get_operation, self.arn_member, key, argument=argument)

    async def find(self, info: Info, key: str, *, argument: str) -> Node | None:
        return await none_if_not_found(self.fetch(info, key, argument=argument))

    async def fetch(self, info: Info, arn: str, *, argument: str) -> Any:
        """Return the object with this ARN, which is checked.

        Raises BadUserInputError naming the argument if the ARN's region is not served,
        NotFoundError if there is no such object.
        """
        info.context.check_region(region_of(arn), argument=argument)
        details = Details(self, arn)
        return self._object(await details.load(info), details)


class Details:
    """The Get response of one object, requested when the first field needs it."""

    def __init__(self, resource: ArnResourceType, arn: str) -> None:
        self._resource = resource
        self._arn = arn
        self._task: asyncio.Future[Item] | None = None

    async def load(self, info: Info) -> Item:
        if self._task is None:
            self._task = asyncio.ensure_future(self._get(info.context.loader))
        return await self._task

    async def _get(self, loader: RequestLoader) -> Item:
        resource, arn = self._resource, self._arn
        parameters = ((resource.arn_member, arn),)
        item = await loader.item(ItemRequest(resource.get_operation, region_of(arn), parameters))
        seen = loader.first_seen(arn, item)
        if seen is item:
            return item
        # The response already shows the object as a row, whose members must not change.
        row = row_shape(resource.list_operation).members
        details = {name: value for name, value in item.items() if name not in row}
        return details | {name: seen[name] for name in row if name in seen}


async def none_if_not_found(fetched: Awaitable[T]) -> T | None:
    try:
        return await fetched
    except NotFoundError:
        return None


def region_of(arn: str) -> str:
    return arn.split(":", 4)[3]


def _scalar_reader(name: str, of_type: Any) -> Read:
    if isinstance(of_type, StrawberryOptional):
        return methodcaller("get", name)
    if isinstance(of_type, StrawberryEnumDefinition):
        members: Any = of_type.wrapped_cls
        names = {each.value: each.name for each in members}
        return lambda item: names.get(item[name], UNKNOWN)
    return itemgetter(name)


class FieldCost(Enum):
    """The cost of selecting a field, in words; `execution.cost` estimates that of an operation."""

    DETAIL = "one upstream call per object, for all such fields together"
    OBJECT = "one upstream call per distinct object"
    CONNECTION = f"one upstream call per list and page of {PAGE_SIZE}"
    NAMED_OBJECTS = "one upstream call per distinct id or key"


def costly(cost: FieldCost, description: str) -> dict[str, Any]:
    """Return the arguments of `strawberry.field` that declare and describe a field's cost."""
    return {"description": f"{description} Costs {cost.value}.", "metadata": {COST: cost}}


def row_field(description: str) -> Any:
    """Declare a field that each row of a list has. Its type is that of the annotation."""

    def resolve(self: Any, info: Info) -> Any:
        return _read(info, self.item)

    return strawberry.field(resolver=resolve, description=description)


def detail_field(description: str, convert: Convert | None = None) -> Any:
    """Declare a field that only the Get operation returns.

    The member is converted to the type of the annotation, or by `convert`, which gets None for an
    absent member.
    """

    async def resolve(self: Any, info: Info) -> Any:
        return _read(info, await self.details.load(info), convert)

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


def _read(info: Info, item: Item, convert: Convert | None = None) -> Any:
    """Return the member that the field is named after, converted.

    Raises UpstreamInvalidResponseError if it does not match the service model.
    """
    member, of_type = info.field_name, cast("Any", info.return_type)
    try:
        return (convert or _converter(of_type))(item.get(member))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UpstreamInvalidResponseError(
            f"Clean Rooms ML returned an invalid response: `{member}` does not match its model."
        ) from error


@cache
def _converter(of_type: Any) -> Convert:
    """Return a function that converts a value of AWS to a type of the graph."""
    if isinstance(of_type, StrawberryOptional):
        inner = _converter(of_type.of_type)
        return lambda value: None if value is None else inner(value)
    if isinstance(of_type, StrawberryList):
        inner = _converter(of_type.of_type)
        return lambda values: [inner(value) for value in values]
    if isinstance(of_type, StrawberryEnumDefinition):
        enumeration: Any = of_type.wrapped_cls
        return lambda value: enum_member(enumeration, value)
    if (definition := get_object_definition(of_type)) is None:
        return lambda value: value
    members = [(each.python_name, NAMES.from_field(each), each.type) for each in definition.fields]

    def read(structure: Mapping[str, Any]) -> Any:
        values = {}
        for attribute, name, member_type in members:
            optional = isinstance(member_type, StrawberryOptional)
            value = structure.get(name) if optional else structure[name]
            values[attribute] = _converter(cast("Any", member_type))(value)
        return of_type(**values)

    return read
