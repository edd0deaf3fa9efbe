"""The filter of the job list, which AWS does not support: the gateway applies it itself."""

from collections.abc import Callable
from datetime import datetime

import strawberry

from gateway.errors import BadUserInputError
from gateway.graph.pagination.connection import ItemFilter, Predicate
from gateway.graph.types.statuses import AudienceGenerationJobStatus
from gateway.graph.types.values import DateTime, enum_member, parse_datetime
from gateway.upstream.model import output_constraint
from gateway.upstream.values import Item

LIST_JOBS = "ListAudienceGenerationJobs"


@strawberry.input(
    description="Which jobs to list. Fields are combined with AND; a field that is absent, null or "
    "an empty list has no effect. AWS does not support these filters, so the gateway reads the "
    "list until the page is full, within the upstream call budget."
)
class AudienceGenerationJobFilter:
    status: list[AudienceGenerationJobStatus] | None = strawberry.field(
        default=None, description="Jobs with one of these statuses."
    )
    name_contains: str | None = strawberry.field(
        default=None, description="Jobs whose name contains this text, case-insensitive."
    )
    started_by: str | None = strawberry.field(
        default=None, description="Jobs started by the AWS account with this id."
    )
    created_after: DateTime | None = strawberry.field(
        default=None, description="Jobs created after this time (exclusive)."
    )
    created_before: DateTime | None = strawberry.field(
        default=None, description="Jobs created before this time (exclusive)."
    )
    updated_after: DateTime | None = strawberry.field(
        default=None, description="Jobs last updated after this time (exclusive)."
    )
    updated_before: DateTime | None = strawberry.field(
        default=None, description="Jobs last updated before this time (exclusive)."
    )


def item_filter(arguments: AudienceGenerationJobFilter | None) -> ItemFilter | None:
    """Return the filter; None if it has no effect.

    Raises BadUserInputError naming the field.
    """
    if arguments is None:
        return None
    predicates: dict[str, Predicate] = {}
    if arguments.status:
        names = frozenset(status.name for status in arguments.status)
        predicates[f"status={','.join(sorted(names))}"] = Predicate(_status, names.__contains__)
    if arguments.name_contains:
        part = _check_substring("nameContains", "name", arguments.name_contains).casefold()
        predicates[f"nameContains={part}"] = Predicate(_name, lambda name: part in name)
    if arguments.started_by is not None:
        account = _check_value("startedBy", arguments.started_by)
        predicates[f"startedBy={account}"] = Predicate(
            _started_by, lambda started_by: started_by == account
        )
    predicates |= _between(
        "created", _create_time, arguments.created_after, arguments.created_before
    )
    predicates |= _between(
        "updated", _update_time, arguments.updated_after, arguments.updated_before
    )
    return ItemFilter(tuple(predicates.values()), "\n".join(predicates)) if predicates else None


def _check_value(field: str, value: str) -> str:
    constraint = output_constraint(LIST_JOBS, field)
    if not constraint.accepts(value):
        raise BadUserInputError(f"`filter.{field}` is not valid. Accepted: {constraint}.")
    return value


def _check_substring(field: str, member: str, value: str) -> str:
    maximum = output_constraint(LIST_JOBS, member).maximum
    if maximum is not None and len(value) > maximum:
        raise BadUserInputError(
            f"`filter.{field}` is not valid. Accepted: up to {maximum} characters."
        )
    return value


def _between(
    name: str, read: Callable[[Item], datetime], after: DateTime | None, before: DateTime | None
) -> dict[str, Predicate]:
    start, end = (None if each is None else parse_datetime(each) for each in (after, before))
    if start is not None and end is not None and start >= end:
        raise BadUserInputError(
            f"`filter.{name}After` is not before `filter.{name}Before`, so no job can match."
        )
    predicates: dict[str, Predicate] = {}
    if start is not None:
        predicates[f"{name}After={start.timestamp()}"] = Predicate(read, lambda time: time > start)
    if end is not None:
        predicates[f"{name}Before={end.timestamp()}"] = Predicate(read, lambda time: time < end)
    return predicates


# What the predicates compare, parsed once for each page.


def _status(item: Item) -> str:
    # The name, because an enum's hash is computed in Python.
    return enum_member(AudienceGenerationJobStatus, item["status"]).name


def _name(item: Item) -> str:
    name: str = item["name"]
    return name.casefold()


def _started_by(item: Item) -> str | None:
    return item.get("startedBy")


def _create_time(item: Item) -> datetime:
    return datetime.fromisoformat(item["createTime"])


def _update_time(item: Item) -> datetime:
    return datetime.fromisoformat(item["updateTime"])
