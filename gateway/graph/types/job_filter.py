"""The filter of the jobs: what the upstream cannot narrow, narrowed while its list is walked."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import strawberry

from gateway.errors import BadUserInputError
from gateway.graph.types.enums import AudienceGenerationJobStatus, known
from gateway.graph.types.scalars import DateTime, moment_of
from gateway.upstream.model import output_constraint
from gateway.upstream.values import Item

LIST = "ListAudienceGenerationJobs"

Test = Callable[[Item], bool]


@strawberry.input(
    description="Which jobs to list. The fields combine by and; one that is absent, null or an "
    "empty list restricts nothing. The upstream knows none of them, so its list is walked until "
    "the page is full, within the upstream call budget."
)
class AudienceGenerationJobFilter:
    """The filter as it is written in a query."""

    status: list[AudienceGenerationJobStatus] | None = strawberry.field(
        default=None, description="Jobs in one of these statuses."
    )
    name_contains: str | None = strawberry.field(
        default=None, description="Jobs whose name holds this text, capitals or not."
    )
    started_by: str | None = strawberry.field(
        default=None, description="Jobs that the AWS account with this id started."
    )
    created_after: DateTime | None = strawberry.field(
        default=None, description="Jobs made after this moment, not at it."
    )
    created_before: DateTime | None = strawberry.field(
        default=None, description="Jobs made before this moment, not at it."
    )
    updated_after: DateTime | None = strawberry.field(
        default=None, description="Jobs that last changed after this moment, not at it."
    )
    updated_before: DateTime | None = strawberry.field(
        default=None, description="Jobs that last changed before this moment, not at it."
    )


@dataclass(frozen=True, slots=True)
class JobFilter:
    """The filter, checked: which items it keeps, and a text that is equal for equal filters."""

    tests: tuple[Test, ...]
    key: str

    def keeps(self, item: Item) -> bool:
        """Say whether an item passes."""
        return all(test(item) for test in self.tests)


def checked(asked: AudienceGenerationJobFilter | None) -> JobFilter | None:
    """Check a filter; None where nothing is restricted.

    Raises BadUserInputError that names the field.
    """
    if asked is None:
        return None
    tests: dict[str, Test] = {}
    if asked.status:
        wanted = frozenset(asked.status)
        names = ",".join(sorted(status.name for status in wanted))
        tests[f"status={names}"] = lambda item: (
            known(AudienceGenerationJobStatus, item["status"]) in wanted
        )
    if asked.name_contains:
        part = _text("name", "nameContains", asked.name_contains, partly=True).casefold()
        tests[f"nameContains={part}"] = lambda item: part in item["name"].casefold()
    if asked.started_by is not None:
        account = _text("startedBy", "startedBy", asked.started_by, partly=False)
        tests[f"startedBy={account}"] = lambda item: item.get("startedBy") == account
    tests |= _between("created", "createTime", asked.created_after, asked.created_before)
    tests |= _between("updated", "updateTime", asked.updated_after, asked.updated_before)
    return JobFilter(tuple(tests.values()), "\n".join(tests)) if tests else None


def _text(member: str, field: str, value: str, *, partly: bool) -> str:
    accepted = output_constraint(LIST, member)
    too_long = accepted.maximum is not None and len(value) > accepted.maximum
    if too_long or not (partly or accepted.accepts(value)):
        what = f"up to {accepted.maximum} characters" if partly else str(accepted)
        raise BadUserInputError(f"`filter.{field}` is not valid. Accepted: {what}.")
    return value


def _between(
    name: str, member: str, after: DateTime | None, before: DateTime | None
) -> dict[str, Test]:
    start, end = (None if each is None else moment_of(each) for each in (after, before))
    if start is not None and end is not None and start >= end:
        raise BadUserInputError(
            f"`filter.{name}After` is not before `filter.{name}Before`, so nothing is between them."
        )
    tests: dict[str, Test] = {}
    if start is not None:
        tests[f"{name}After={start.timestamp()}"] = lambda item: _time(item, member) > start
    if end is not None:
        tests[f"{name}Before={end.timestamp()}"] = lambda item: _time(item, member) < end
    return tests


def _time(item: Item, member: str) -> datetime:
    return datetime.fromisoformat(item[member])
