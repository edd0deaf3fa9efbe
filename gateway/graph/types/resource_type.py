"""Entity types: how objects of a type are found, and how their fields are declared.

Those that AWS lists are resource types. No resolver reads an object's fields: `execution.executor`
completes objects from what AWS returned of them, as the declarations here say.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from itertools import repeat
from operator import itemgetter
from typing import Any, TypeAlias

import strawberry
from strawberry.federation.schema_directives import Key
from strawberry.schema.name_converter import NameConverter
from strawberry.types import get_object_definition
from strawberry.types.base import StrawberryOptional
from strawberry.types.enum import StrawberryEnumDefinition

from gateway.errors import BadUserInputError, NotFoundError
from gateway.graph.context import Context
from gateway.graph.node import (
    ENTITY_TYPES,
    RESOURCE_TYPES,
    from_global_id,
    parse_id,
    to_global_ids,
)
from gateway.graph.types.values import UNKNOWN
from gateway.upstream.loader import RequestLoader
from gateway.upstream.model import check_input, row_shape
from gateway.upstream.values import PAGE_SIZE, Item, ItemRequest

NAMES = NameConverter()

COST = "cost"
SOURCE = "source"
RESOLVE = "resolve"
MAX_SIZE = "max_size"
"""The keys, in a field's metadata, of its cost, its source, the resolver of graphql-core that takes
the place of Strawberry's, and the greatest number of elements of a list that AWS does not have."""

Convert = Callable[[Any], Any]

ReadAll = Callable[[Sequence[Item]], Iterable[Any]]
"""Reads a field of all these items, in the form that it has in a response."""


@dataclass(frozen=True, slots=True)
class ValueSource:
    """A member of the row, or of the Get response, that a field shows."""

    in_detail: bool
    member: str | None = None
    """None: the member is named like the field."""
    convert: Convert | None = None
    """Converts the member, None if it is absent, to the form of the field's type."""


@dataclass(frozen=True, slots=True)
class LinkSource:
    """The object whose key the row has; null if the row has none, or the object is gone."""

    target: "EntityType"
    member: str
    """The member of the row that is the key."""


Source: TypeAlias = ValueSource | LinkSource


@dataclass(frozen=True, slots=True)
class ResourceObject:
    """An object, by its row in a list or by its Get response."""

    resource: "EntityType"
    item: Item


class EntityType(ABC):
    """A type of object that other subgraphs may refer to, by the keys of the object type.

    A row is read by the annotations of the object type.
    """

    def __init__(self, object_type: type[Any]) -> None:
        definition = get_object_definition(object_type, strict=True)
        fields = {NAMES.from_field(each): each for each in definition.fields}
        self.name = definition.name
        self.object_type = object_type
        directives = definition.directives or ()
        self.keys = [str(each.fields) for each in directives if isinstance(each, Key)]
        """The fields by which a representation can name an object."""
        self.key_fields = frozenset({"__typename", *self.keys})
        """The fields that any key gives: an entity of which only these are selected needs no
        call."""
        self.sources: Mapping[str, Source] = {
            name: each.metadata[SOURCE] for name, each in fields.items() if SOURCE in each.metadata
        }
        """The source of each field that is neither a scalar of the row nor has a resolver."""
        self.scalar_fields: Mapping[str, ReadAll] = {
            name: _scalar_reader(name, each.type)
            for name, each in fields.items()
            if name not in self.sources and each.base_resolver is None
        } | {"__typename": lambda items: repeat(self.name, len(items))}
        """The fields that are read from a row without further work."""
        ENTITY_TYPES[self.name] = self

    @abstractmethod
    def check_key(self, key: str, *, argument: str) -> None:
        """Raise BadUserInputError naming the argument if no object can have this key."""

    def parse_key(self, member: str, value: str) -> str:
        """Return the key that one of `keys` gives.

        Raises BadUserInputError naming the member if no object can have the value.
        """
        self.check_key(value, argument=member)
        return value

    @abstractmethod
    async def find(self, context: Context, key: str, *, argument: str) -> ResourceObject | None:
        """Return the object with this key, which is checked; None if there is none.

        Raises BadUserInputError naming the argument if the key's region is not served.
        """

    @abstractmethod
    def from_key(self, context: Context, key: str, *, argument: str) -> ResourceObject:
        """Return an object with `key_fields` only, by its key, which is checked. It may not exist.

        Raises BadUserInputError naming the argument if the key's region is not served.
        """


class ResourceType(EntityType):
    """A type of object that AWS lists, and that has a global id.

    AWS names operations and members after the type: ListAudienceModels, audienceModelArn.
    """

    arn_member: str = ""
    """The member that holds the ARN; empty for a type without one."""
    key_of: Callable[[Item], str]
    """Returns what identifies an item, such as its ARN."""
    detail_operation: str
    """The operation that returns all members of an object."""

    def __init__(self, object_type: type[Any]) -> None:
        super().__init__(object_type)
        self.list_operation = self.detail_operation = f"List{self.name}s"
        status = get_object_definition(object_type, strict=True).get_field("status")
        assert status is not None  # noqa: S101  all that AWS lists has a status
        self.status_of = _status_reader(status.type)
        """Returns the name of an item's status, as its field `status` has it."""
        self.scalar_fields = {
            **self.scalar_fields,
            "id": lambda items: to_global_ids(self.name, map(self.key_of, items)),
        }
        RESOURCE_TYPES[self.name] = self

    def parse_key(self, member: str, value: str) -> str:
        if member != "id":
            return super().parse_key(member, value)
        type_name, _ = from_global_id(value) or ("", "")
        if type_name != self.name:
            raise BadUserInputError(
                f"`id` is not valid. Accepted: the `id` of an object of type {self.name}."
            )
        _, key = parse_id(value, argument="id")
        return key


class ArnResourceType(ResourceType):
    """A resource type whose objects have an ARN, by which a Get operation returns them."""

    def __init__(self, object_type: type[Any]) -> None:
        super().__init__(object_type)
        self.get_operation = self.detail_operation = f"Get{self.name}"
        self.arn_member = f"{self.name[0].lower()}{self.name[1:]}Arn"
        self.key_of = itemgetter(self.arn_member)

    def check_key(self, key: str, *, argument: str) -> None:
        check_input(self.get_operation, self.arn_member, key, argument=argument)

    def from_key(self, context: Context, key: str, *, argument: str) -> ResourceObject:
        context.check_region(region_of(key), argument=argument)
        return ResourceObject(self, {self.arn_member: key})

    async def find(self, context: Context, key: str, *, argument: str) -> ResourceObject | None:
        try:
            return await self.fetch(context, key, argument=argument)
        except NotFoundError:
            return None

    async def fetch(self, context: Context, arn: str, *, argument: str) -> ResourceObject:
        """Return the object with this ARN, which is checked.

        Raises BadUserInputError naming the argument if the ARN's region is not served,
        NotFoundError if there is no such object.
        """
        context.check_region(region_of(arn), argument=argument)
        return ResourceObject(self, await self.load_detail(context.loader, arn))

    async def load_detail(self, loader: RequestLoader, arn: str) -> Item:
        """Return the Get response of the object with this ARN."""
        parameters = ((self.arn_member, arn),)
        item = await loader.item(ItemRequest(self.get_operation, region_of(arn), parameters))
        seen = loader.first_seen(arn, item)
        if seen is item:
            return item
        # The response already shows the object as a row, whose members must not change.
        row = row_shape(self.list_operation).members
        details = {name: value for name, value in item.items() if name not in row}
        return details | {name: seen[name] for name in row if name in seen}


def region_of(arn: str) -> str:
    return arn.split(":", 4)[3]


def _scalar_reader(name: str, of_type: Any) -> ReadAll:
    # A call for each item would take longer than all the rest.
    if isinstance(of_type, StrawberryOptional):
        return lambda items: [item.get(name) for item in items]
    if isinstance(of_type, StrawberryEnumDefinition):
        names = _names_of_values(of_type)
        return lambda items: [names.get(item[name], UNKNOWN) for item in items]
    return partial(map, itemgetter(name))


def _status_reader(of_type: Any) -> Callable[[Item], str]:
    names = _names_of_values(of_type)
    return lambda item: names.get(item["status"], UNKNOWN)


def _names_of_values(enum: StrawberryEnumDefinition) -> Mapping[str, str]:
    members: Any = enum.wrapped_cls
    return {each.value: each.name for each in members}


class FieldCost(Enum):
    """The cost of selecting a field, in words; `execution.cost` estimates that of an operation."""

    DETAIL = "one upstream call per object, for all such fields together"
    OBJECT = "one upstream call per distinct object"
    KNOWN_OBJECT = "no upstream call by itself"
    CONNECTION = f"one upstream call per list and page of {PAGE_SIZE}"
    NAMED_OBJECTS = "one upstream call per distinct id"
    ENTITIES = "one upstream call per distinct key, unless only fields that are keys are selected"
    WATCHED_OBJECT = "one upstream call per interval, for all of the caller's subscriptions to it"
    WATCHED_LIST = (
        f"one upstream call per page of {PAGE_SIZE} and interval, for all of the caller's "
        "subscriptions to the list"
    )


def costly(cost: FieldCost, description: str) -> dict[str, Any]:
    """Return the arguments of `strawberry.field` that declare and describe a field's cost."""
    return {"description": f"{description} Costs {cost.value}.", "metadata": {COST: cost}}


def row_field(
    description: str, convert: Convert | None = None, *, member: str | None = None
) -> Any:
    """Declare a field that each row of a list has. Its type is that of the annotation."""
    source = ValueSource(in_detail=False, member=member, convert=convert)
    return strawberry.field(description=description, metadata={SOURCE: source})


def detail_field(description: str, convert: Convert | None = None) -> Any:
    """Declare a field that only the Get operation returns.

    The member has the form of the annotation, or gets it by `convert`, which gets None for an
    absent member.
    """
    return _sourced(FieldCost.DETAIL, description, ValueSource(in_detail=True, convert=convert))


def link_field(target: ArnResourceType, description: str) -> Any:
    """Declare a link to the object whose ARN the row has; null if that object is gone."""
    description = f"{description} Null if it no longer exists."
    return _sourced(FieldCost.OBJECT, description, LinkSource(target, target.arn_member))


def known_link_field(target: EntityType, description: str, *, member: str) -> Any:
    """Declare a link to the object whose key the row has; null if it has none."""
    return _sourced(FieldCost.KNOWN_OBJECT, description, LinkSource(target, member))


def _sourced(cost: FieldCost, description: str, source: Source) -> Any:
    arguments = costly(cost, description)
    arguments["metadata"][SOURCE] = source
    return strawberry.field(**arguments)
