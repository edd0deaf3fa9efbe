"""Types that several object types share: scalars, enums, and the value types of AWS's shapes."""

import re
from calendar import monthrange
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any, NewType

import strawberry
from graphql import GraphQLError
from graphql.pyutils import inspect
from strawberry import enum_value

DateTime = NewType("DateTime", str)
"""An RFC 3339 date-time as text, as AWS writes it."""

_RFC_3339 = re.compile(
    r"(?P<year>[0-9]{4})(?P<day>-[0-9]{2}-[0-9]{2})"
    r"[Tt](?P<minute>(?:[01][0-9]|2[0-3]):[0-5][0-9]):(?P<second>[0-5][0-9]|60)"
    r"(?P<fraction>\.[0-9]+)?"
    r"(?P<offset>[Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
)


def parse_datetime(text: str) -> datetime:
    """Return the moment of an RFC 3339 date-time, without what is shorter than a microsecond.

    A leap second counts as the end of the second before it, and the year 0000, which Python does
    not have, as the start of the year 0001.

    Raises ValueError for any other form. Source: RFC 3339, sections 5.6 and 5.7.
    """
    match = _RFC_3339.fullmatch(text)
    if match is None:
        raise ValueError("not in the form of RFC 3339")
    year, day, minute, second, fraction, offset = match.groups(default="")
    is_leap_second, is_year_zero = second == "60", year == "0000"
    if is_leap_second:
        second, fraction = "59", ".999999"
    if is_year_zero:
        year = "0400"  # its calendar is the same
    moment = datetime.fromisoformat(f"{year}{day}T{minute}:{second}{fraction[:7]}{offset.upper()}")
    if is_leap_second and not _ends_month(moment):
        raise ValueError("not a leap second: these end months in UTC")
    return datetime.min.replace(tzinfo=UTC) if is_year_zero else moment


def _ends_month(moment: datetime) -> bool:
    """Return whether this is in the last minute of a month in UTC."""
    try:
        utc = moment.astimezone(UTC)
    except OverflowError:
        return False
    last_day = monthrange(utc.year, utc.month)[1]
    return (utc.day, utc.hour, utc.minute) == (last_day, 23, 59)


def _validate_datetime(value: Any) -> DateTime:
    try:
        parse_datetime(value)
    except (TypeError, ValueError):
        raise GraphQLError(
            f"DateTime cannot represent value: {inspect(value)}. Accepted: RFC 3339 with an "
            "offset, such as 2026-03-14T09:26:53Z."
        ) from None
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
class CleanRoomsStatusDetails:
    status_code: str | None = strawberry.field(description="A short code for the reason.")
    message: str | None = strawberry.field(description="The reason in words.")


@strawberry.federation.type(shareable=True, description="A location in Amazon S3.")
class CleanRoomsS3ConfigMap:
    s3_uri: str = strawberry.field(
        name="s3Uri", description="The S3 location, such as `s3://bucket/key`."
    )


@strawberry.federation.type(shareable=True, description="A tag of an AWS resource.")
class CleanRoomsTag:
    key: str = strawberry.field(description="The tag's key.")
    value: str = strawberry.field(description="The tag's value.")


def tag_list(tags: Mapping[str, str] | None) -> list[Mapping[str, str]]:
    """Return AWS's TagMap as a list of tags; an object without tags has an empty list."""
    return [{"key": key, "value": value} for key, value in (tags or {}).items()]
