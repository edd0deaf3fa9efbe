"""The arguments that select a list, for root fields and for the fields of other objects.

A field of an object has the arguments of the root field but those that the object fixes. The
functions here return what the arguments select; they raise BadUserInputError naming one.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import strawberry

from gateway.errors import BadUserInputError
from gateway.graph.context import Info
from gateway.graph.node import RESOURCE_TYPES
from gateway.graph.pagination.connection import ListQuery
from gateway.graph.types.filter import (
    AudienceExportJobFilter,
    AudienceGenerationJobFilter,
    AudienceModelFilter,
    ConfiguredAudienceModelFilter,
    ListFilter,
    TrainingDatasetFilter,
    item_filter,
)
from gateway.graph.types.order import AudienceGenerationJobOrder, item_order
from gateway.graph.types.resource_type import ResourceType, region_of
from gateway.upstream.model import check_input
from gateway.upstream.values import PAGE_SIZE

if TYPE_CHECKING:
    from gateway.graph.types.audience_generation_job import AudienceGenerationJobConnection

JobConnection = Annotated[
    "AudienceGenerationJobConnection",
    strawberry.lazy("gateway.graph.types.audience_generation_job"),
]
"""The type of fields that `list_jobs` declares, for object types that jobs link to."""

Region = Annotated[
    str | None,
    strawberry.argument(
        description="The AWS region to list, one of those that the gateway serves. Defaults to "
        "the gateway's own."
    ),
]


_FILTER = strawberry.argument(description="Only items that match this filter.")


def _list_by(resource_name: str, filter_type: type[ListFilter[Any]]) -> Callable[..., ListQuery]:
    """Return the function for a list that AWS does not filter."""

    def list_all(
        info: Info,
        filter: Annotated[filter_type | None, _FILTER] = None,  # type: ignore[valid-type]  # noqa: A002
        region: Region = None,
    ) -> ListQuery:
        resource = RESOURCE_TYPES[resource_name]
        return ListQuery(_check_region(info, region), (), item_filter(resource, filter))

    return list_all


list_configured_models = _list_by("ConfiguredAudienceModel", ConfiguredAudienceModelFilter)
list_audience_models = _list_by("AudienceModel", AudienceModelFilter)
list_training_datasets = _list_by("TrainingDataset", TrainingDatasetFilter)


CollaborationId = Annotated[
    strawberry.ID | None,
    strawberry.argument(description="Only jobs of the collaboration with this id."),
]
ModelArn = Annotated[
    str | None,
    strawberry.argument(description="Only jobs that use the model with this ARN."),
]
JobFilter = Annotated[AudienceGenerationJobFilter | None, _FILTER]


def list_jobs(
    info: Info,
    collaboration_id: CollaborationId = None,
    configured_audience_model_arn: ModelArn = None,
    filter: JobFilter = None,  # noqa: A002  the name in the schema
    order_by: Annotated[
        AudienceGenerationJobOrder | None,
        strawberry.argument(
            description="The order. Reads the whole list, whatever the `filter`: one upstream call "
            f"per page of {PAGE_SIZE} that is not cached, or `LIMIT_EXCEEDED` if the upstream call "
            "budget does not suffice. Defaults to AWS's own order, newest first, of which only the "
            "pages shown are read."
        ),
    ] = None,
    region: Region = None,
) -> ListQuery:
    query = select_jobs(info, collaboration_id, configured_audience_model_arn, filter, region)
    return replace(query, order=item_order(order_by))


def select_jobs(
    info: Info,
    collaboration_id: CollaborationId = None,
    configured_audience_model_arn: ModelArn = None,
    filter: JobFilter = None,  # noqa: A002  the name in the schema
    region: Region = None,
) -> ListQuery:
    resource = RESOURCE_TYPES["AudienceGenerationJob"]
    filters = _check_filters(
        resource,
        collaborationId=collaboration_id,
        configuredAudienceModelArn=configured_audience_model_arn,
    )
    return ListQuery(_check_region(info, region), filters, item_filter(resource, filter))


def list_exports(
    info: Info,
    audience_generation_job_arn: Annotated[
        str | None,
        strawberry.argument(
            description="Only exports of the job with this ARN, listed in the ARN's region."
        ),
    ] = None,
    filter: Annotated[AudienceExportJobFilter | None, _FILTER] = None,  # noqa: A002
    region: Region = None,
) -> ListQuery:
    resource, arn = RESOURCE_TYPES["AudienceExportJob"], audience_generation_job_arn
    checked_region = _check_region(info, region)
    filters = _check_filters(resource, audienceGenerationJobArn=arn)
    if arn is not None:
        checked_region = info.context.check_region(
            region_of(arn), argument="audienceGenerationJobArn"
        )
        if region not in {None, checked_region}:
            raise BadUserInputError(
                f"`region` is not that of `audienceGenerationJobArn`. Accepted: {checked_region}."
            )
    return ListQuery(checked_region, filters, item_filter(resource, filter))


def _check_region(info: Info, region: str | None) -> str:
    context = info.context
    if region is None:
        return context.settings.region
    return context.check_region(region, argument="region")


def _check_filters(resource: ResourceType, **filters: str | None) -> tuple[tuple[str, str], ...]:
    """Return the filters that are set; raises BadUserInputError naming one that AWS rejects."""
    operation = resource.list_operation
    return tuple(
        (name, check_input(operation, name, value, argument=name))
        for name, value in filters.items()
        if value is not None
    )
