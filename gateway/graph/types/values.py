"""Types that several object types share: scalars, enums, and the value types of AWS's shapes."""

from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import Any, NewType, TypeVar

import strawberry
from graphql import GraphQLError
from strawberry import enum_value

DateTime = NewType("DateTime", str)
"""An RFC 3339 date-time as text, as AWS writes it."""


def parse_datetime(text: DateTime) -> datetime:
    return datetime.fromisoformat(text)


def _validate_datetime(value: Any) -> DateTime:
    try:
        parsed = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        parsed = None
    if parsed is None or parsed.tzinfo is None:
        raise GraphQLError(
            "not a date-time. Accepted: RFC 3339 with an offset, such as 2026-03-14T09:26:53Z."
        )
    return DateTime(value)


DATE_TIME = strawberry.scalar(
    name="DateTime",
    description="A date-time in RFC 3339 form, such as `2026-03-14T09:26:53.589Z`.",
    specified_by_url="https://www.rfc-editor.org/rfc/rfc3339",
    serialize=str,
    parse_value=_validate_datetime,
)

UNKNOWN = "UNKNOWN"
UNKNOWN_VALUE = "A value that this version of the gateway does not know."

Member = TypeVar("Member", bound=Enum)


def enum_member(enumeration: type[Member], value: str) -> Member:
    """Return the member for a value of AWS; UNKNOWN if AWS has added the value since."""
    try:
        return enumeration(value)
    except ValueError:
        return enumeration(UNKNOWN)


@strawberry.enum(description="The unit of an audience size.")
class AudienceSizeType(Enum):
    ABSOLUTE = enum_value("ABSOLUTE", description="A number of users.")
    PERCENTAGE = enum_value("PERCENTAGE", description="A percentage of the whole audience.")
    UNKNOWN = enum_value(UNKNOWN, description=UNKNOWN_VALUE)


@strawberry.federation.type(
    shareable=True, description="The size of an audience, absolute or as a percentage."
)
class AudienceSize:
    type: AudienceSizeType = strawberry.field(description="The unit of the value.")
    value: int = strawberry.field(description="The size: a number of users, or a percentage.")


@strawberry.federation.type(shareable=True, description="Why an object has its status.")
class StatusDetails:
    status_code: str | None = strawberry.field(description="A short code for the reason.")
    message: str | None = strawberry.field(description="The reason in words.")


@strawberry.federation.type(shareable=True, description="A location in Amazon S3.")
class S3ConfigMap:
    s3_uri: str = strawberry.field(
        name="s3Uri", description="The S3 location, such as `s3://bucket/key`."
    )


@strawberry.federation.type(shareable=True, description="A tag of an AWS resource.")
class Tag:
    key: str = strawberry.field(description="The tag's key.")
    value: str = strawberry.field(description="The tag's value.")


def tag_list(tags: Mapping[str, str] | None) -> list[Mapping[str, str]]:
    """Return AWS's TagMap as a list of tags; an object without tags has an empty list."""
    return [{"key": key, "value": value} for key, value in (tags or {}).items()]
