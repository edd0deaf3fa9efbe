"""The scalars that GraphQL itself does not have."""

from typing import NewType

import strawberry

DateTime = NewType("DateTime", str)
"""A moment as RFC 3339 text, as the upstream writes it."""

DATE_TIME = strawberry.scalar(
    name="DateTime",
    description="A moment in RFC 3339 form, such as `2026-03-14T09:26:53.589Z`.",
    specified_by_url="https://www.rfc-editor.org/rfc/rfc3339",
    serialize=str,
)
