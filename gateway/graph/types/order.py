"""The order of the job list, which AWS does not support: the gateway sorts the list itself."""

from collections.abc import Callable
from datetime import datetime
from enum import Enum
from operator import itemgetter

import strawberry
from strawberry import enum_value

from gateway.graph.node import RESOURCE_TYPES
from gateway.graph.pagination.ordering import ItemOrder, OrderField
from gateway.upstream.values import Item


@strawberry.enum(description="The direction of an order.")
class OrderDirection(Enum):
    ASC = enum_value("ASC", description="Ascending: earliest first, or A to Z.")
    DESC = enum_value("DESC", description="Descending: the exact reverse of `ASC`.")


@strawberry.enum(description="A field that jobs can be ordered by.")
class AudienceGenerationJobOrderField(Enum):
    CREATE_TIME = enum_value("CREATE_TIME", description="By `createTime`.")
    UPDATE_TIME = enum_value("UPDATE_TIME", description="By `updateTime`.")
    NAME = enum_value(
        "NAME",
        description="By `name`, ignoring case; names that differ in case only by code point.",
    )
    STATUS = enum_value("STATUS", description="By the name of the `status`, alphabetically.")


@strawberry.input(
    description="The order of a list of jobs: by a field, then by ARN. AWS does not support it, so "
    "the gateway reads the whole list, one upstream call per page of 100, within the upstream call "
    "budget. These pages stay in the cache for some seconds; a page of the result that is "
    "requested later reads the list again."
)
class AudienceGenerationJobOrder:
    field: AudienceGenerationJobOrderField = strawberry.field(description="What to order by.")
    direction: OrderDirection = strawberry.field(description="The direction.")


def _time_of(member: str) -> Callable[[Item], str]:
    def read(item: Item) -> str:
        # All in UTC and of one length, so that the order of the texts is that of the moments.
        return datetime.fromisoformat(item[member]).isoformat(timespec="microseconds")

    return read


def _status(item: Item) -> str:
    return RESOURCE_TYPES["AudienceGenerationJob"].status_of(item)


_FIELDS = {
    AudienceGenerationJobOrderField.CREATE_TIME: OrderField("createTime", _time_of("createTime")),
    AudienceGenerationJobOrderField.UPDATE_TIME: OrderField("updateTime", _time_of("updateTime")),
    AudienceGenerationJobOrderField.NAME: OrderField("name", itemgetter("name"), str.casefold),
    AudienceGenerationJobOrderField.STATUS: OrderField("status", _status),
}


def item_order(arguments: AudienceGenerationJobOrder | None) -> ItemOrder | None:
    """Return the order; None is AWS's own."""
    if arguments is None:
        return None
    return ItemOrder(_FIELDS[arguments.field], arguments.direction is OrderDirection.DESC)
