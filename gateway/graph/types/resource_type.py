"""Kinds of objects: what the upstream calls them, and how their rows are read."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter, methodcaller
from typing import Any, TypeVar

from gateway.errors import NotFoundError, UpstreamInvalidResponseError
from gateway.graph.context import Info
from gateway.graph.node import to_global_id
from gateway.upstream.loader import RequestLoader
from gateway.upstream.model import check_input, row_shape
from gateway.upstream.values import Item, ItemRequest

T = TypeVar("T")

Read = Callable[[Item], Any]
"""Read a field off an item, in the form that it has in an answer."""

required: Callable[[str], Read] = itemgetter


def optional(member: str) -> Read:
    """Read a member that an item may lack."""
    return methodcaller("get", member)


@dataclass(frozen=True)
class ResourceType:
    """A kind of object that the upstream lists, and gets by its ARN."""

    type_name: str
    lists: str
    """The operation that lists them."""
    gets: str
    """The operation that gets one."""
    arn: str
    """The member that is the ARN, by which they are got."""
    members: Mapping[str, Read]
    """Field -> how to read it off a row, beside `id` and the ARN."""

    @cached_property
    def plain(self) -> Mapping[str, Read]:
        """All fields that a row tells, `id` and the ARN too."""
        return {
            "id": lambda item: to_global_id(self.type_name, item[self.arn]),
            self.arn: itemgetter(self.arn),
            **self.members,
        }

    def values(self, item: Item) -> dict[str, Any]:
        """Read all plain fields, by the names that Python has for them."""
        return {name: read(item) for name, read in self._python_names.items()}

    @cached_property
    def _python_names(self) -> Mapping[str, Read]:
        return python_names(self.plain)

    def check_arn(self, arn: str, *, argument: str) -> str:
        """Return an ARN if the upstream would take it.

        Raises BadUserInputError naming the argument.
        """
        return check_input(self.gets, self.arn, arn, argument=argument)

    def details(self, item: Item) -> "Details":
        """Give the way to what a Get adds to a row."""
        return Details(self, item[self.arn])


class Details:
    """What the Get operation tells of one object: asked once, when the first part is wanted."""

    def __init__(self, kind: ResourceType, arn: str) -> None:
        self._kind = kind
        self._arn = arn
        self._asked: asyncio.Future[Item] | None = None

    async def read(self, info: Info) -> Item:
        """Return the whole answer."""
        if self._asked is None:
            self._asked = asyncio.ensure_future(self._ask(info.context.loader))
        return await self._asked

    async def part(self, info: Info, member: str, read: Callable[[Any], T]) -> T:
        """Return one member; raises as read_member does."""
        return read_member(await self.read(info), member, read)

    async def _ask(self, reader: RequestLoader) -> Item:
        kind = self._kind
        request = ItemRequest(kind.gets, region_of(self._arn), ((kind.arn, self._arn),))
        item = await reader.item(request)
        shown = reader.first_seen(self._arn, item)
        if shown is item:
            return item
        # The object has been shown as a row of a list; what the row tells stays as it was.
        row = row_shape(kind.lists).members
        told = {name: shown[name] for name in row if name in shown}
        return {name: value for name, value in item.items() if name not in row} | told


def read_member(item: Item, member: str, read: Callable[[Any], T]) -> T:
    """Return a member of an item as `read` makes it, which is given None where there is none.

    Raises UpstreamInvalidResponseError if it has not the form that the model promises.
    """
    try:
        return read(item.get(member))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UpstreamInvalidResponseError(
            f"Clean Rooms ML's answer made no sense: `{member}` is not as its model says."
        ) from error


async def got(kind: ResourceType, info: Info, arn: str, *, argument: str) -> tuple[Item, Details]:
    """Get the object with this ARN, which is checked already but for its region.

    Raises BadUserInputError naming the argument if that is not served, NotFoundError where
    there is no such object.
    """
    info.context.scope.check(region_of(arn), argument=argument)
    details = Details(kind, arn)
    return await details.read(info), details


async def none_if_not_found(fetched: Awaitable[T]) -> T | None:
    """Await what a link or an id leads to: None where it is gone, as the graph has null there."""
    try:
        return await fetched
    except NotFoundError:
        return None


def region_of(arn: str) -> str:
    """Read the region that an ARN names."""
    return arn.split(":", 4)[3]


def python_names(reads: Mapping[str, Read]) -> Mapping[str, Read]:
    """Name what reads fields as the attributes of their type are named."""
    return {
        re.sub("[A-Z]", lambda found: f"_{found[0].lower()}", name): read
        for name, read in reads.items()
    }


def identity(value: T) -> T:
    """Read a detail that is shown as it stands."""
    return value
