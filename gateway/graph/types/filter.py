"""The filters of lists, which AWS does not support: the gateway applies them itself."""

from collections.abc import Callable
from datetime import datetime
from enum import Enum
from typing import Any, Generic, TypeVar

import strawberry

from gateway.errors import BadUserInputError
from gateway.graph.pagination.connection import ItemFilter, Predicate
from gateway.graph.types.resource_type import ResourceType
from gateway.graph.types.statuses import (
    AudienceExportJobStatus,
    AudienceGenerationJobStatus,
    AudienceModelStatus,
    ConfiguredAudienceModelStatus,
    TrainingDatasetStatus,
)
from gateway.graph.types.values import DateTime, parse_datetime
from gateway.upstream.model import output_constraint
from gateway.upstream.values import Item

S = TypeVar("S", bound=Enum)


def _description(plural: str) -> str:
    return (
        f"Which {plural} to list. Fields are combined with AND; a field that is absent, null or an "
        "empty list has no effect. AWS does not support these filters, so the gateway reads the "
        "list until the page is full, within the upstream call budget."
    )


@strawberry.input
class ListFilter(Generic[S]):
    """The filter of a list whose objects have statuses of the enum S."""

    status: list[S] | None = strawberry.field(
        default=None, description="Items with one of these statuses."
    )
    name_contains: str | None = strawberry.field(
        default=None, description="Items whose name contains this text, case-insensitive."
    )
    created_after: DateTime | None = strawberry.field(
        default=None, description="Items created after this time (exclusive)."
    )
    created_before: DateTime | None = strawberry.field(
        default=None, description="Items created before this time (exclusive)."
    )
    updated_after: DateTime | None = strawberry.field(
        default=None, description="Items last updated after this time (exclusive)."
    )
    updated_before: DateTime | None = strawberry.field(
        default=None, description="Items last updated before this time (exclusive)."
    )

    def predicates(self, resource: ResourceType) -> dict[str, Predicate]:
        """Return the conditions that are set, each by a text that equal ones share.

        Raises BadUserInputError naming the field.
        """
        found: dict[str, Predicate] = {}
        if self.status:
            _check_number(self.status)
            names = frozenset(status.name for status in self.status)
            found[f"status={','.join(sorted(names))}"] = Predicate(
                resource.status_of, names.__contains__
            )
        if self.name_contains:
            part = _check_substring(resource, self.name_contains).casefold()
            found[f"nameContains={part}"] = Predicate(_name, lambda name: part in name)
        found |= _between("created", _create_time, self.created_after, self.created_before)
        return found | _between("updated", _update_time, self.updated_after, self.updated_before)


@strawberry.input(description=_description("jobs"))
class AudienceGenerationJobFilter(ListFilter[AudienceGenerationJobStatus]):
    started_by: str | None = strawberry.field(
        default=None, description="Items started by the AWS account with this id."
    )

    def predicates(self, resource: ResourceType) -> dict[str, Predicate]:
        found = super().predicates(resource)
        if self.started_by is not None:
            account = _check_value(resource, "startedBy", self.started_by)
            found[f"startedBy={account}"] = Predicate(
                _started_by, lambda started_by: started_by == account
            )
        return found


@strawberry.input(description=_description("exports"))
class AudienceExportJobFilter(ListFilter[AudienceExportJobStatus]):
    pass


@strawberry.input(description=_description("configured audience models"))
class ConfiguredAudienceModelFilter(ListFilter[ConfiguredAudienceModelStatus]):
    pass


@strawberry.input(description=_description("audience models"))
class AudienceModelFilter(ListFilter[AudienceModelStatus]):
    pass


@strawberry.input(description=_description("training datasets"))
class TrainingDatasetFilter(ListFilter[TrainingDatasetStatus]):
    pass


def item_filter(resource: ResourceType, arguments: ListFilter[Any] | None) -> ItemFilter | None:
    """Return the filter of a list of the resource type; None if it has no effect.

    Raises BadUserInputError naming the field.
    """
    predicates = {} if arguments is None else arguments.predicates(resource)
    return ItemFilter(tuple(predicates.values()), "\n".join(predicates)) if predicates else None


def _check_number(statuses: list[S]) -> None:
    # Each parent of a nested list reads them again.
    maximum = len(type(statuses[0]))
    if len(statuses) > maximum:
        raise BadUserInputError(
            f"`filter.status` has {len(statuses)} statuses. Accepted: up to {maximum}."
        )


def _check_value(resource: ResourceType, field: str, value: str) -> str:
    constraint = output_constraint(resource.list_operation, field)
    if not constraint.accepts(value):
        raise BadUserInputError(f"`filter.{field}` is not valid. Accepted: {constraint}.")
    return value


def _check_substring(resource: ResourceType, value: str) -> str:
    maximum = output_constraint(resource.list_operation, "name").maximum
    if maximum is not None and len(value) > maximum:
        raise BadUserInputError(
            f"`filter.nameContains` is not valid. Accepted: up to {maximum} characters."
        )
    return value


def _between(
    name: str, read: Callable[[Item], datetime], after: DateTime | None, before: DateTime | None
) -> dict[str, Predicate]:
    start, end = (None if each is None else parse_datetime(each) for each in (after, before))
    if start is not None and end is not None and start >= end:
        raise BadUserInputError(
            f"`filter.{name}After` is not before `filter.{name}Before`, so no item can match."
        )
    predicates: dict[str, Predicate] = {}
    if start is not None:
        predicates[f"{name}After={start.timestamp()}"] = Predicate(read, lambda time: time > start)
    if end is not None:
        predicates[f"{name}Before={end.timestamp()}"] = Predicate(read, lambda time: time < end)
    return predicates


# What the predicates compare, parsed once for each page.


def _name(item: Item) -> str:
    name: str = item["name"]
    return name.casefold()


def _started_by(item: Item) -> str | None:
    return item.get("startedBy")


def _create_time(item: Item) -> datetime:
    return datetime.fromisoformat(item["createTime"])


def _update_time(item: Item) -> datetime:
    return datetime.fromisoformat(item["updateTime"])
