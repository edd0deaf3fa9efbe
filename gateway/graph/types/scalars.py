"""The scalars that GraphQL itself does not have."""

from datetime import datetime
from typing import Any, NewType

import strawberry
from graphql import GraphQLError

DateTime = NewType("DateTime", str)
"""A moment as RFC 3339 text, as the upstream writes it."""


def moment_of(text: DateTime) -> datetime:
    """Return the moment that a text stands for."""
    return datetime.fromisoformat(text)


def _checked(value: Any) -> DateTime:
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        moment = None
    if moment is None or moment.tzinfo is None:
        raise GraphQLError(
            "not a moment. Accepted: RFC 3339 with an offset, such as 2026-03-14T09:26:53Z."
        )
    return DateTime(value)


DATE_TIME = strawberry.scalar(
    name="DateTime",
    description="A moment in RFC 3339 form, such as `2026-03-14T09:26:53.589Z`.",
    specified_by_url="https://www.rfc-editor.org/rfc/rfc3339",
    serialize=str,
    parse_value=_checked,
)
