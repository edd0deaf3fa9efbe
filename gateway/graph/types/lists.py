"""The arguments that select a list, for root fields and for the fields of other objects.

A field of an object has the arguments of the root field but those that the object fixes. The
functions here return what the arguments select; they raise BadUserInputError naming one.
"""

from typing import Annotated

import strawberry

from gateway.errors import BadUserInputError
from gateway.graph.context import Info
from gateway.graph.pagination.connection import ListQuery
from gateway.graph.types.filter import AudienceGenerationJobFilter, item_filter
from gateway.graph.types.resource_type import region_of
from gateway.upstream.model import check_input

Region = Annotated[
    str | None,
    strawberry.argument(
        description="The AWS region to list, one of those that the gateway serves. Defaults to "
        "the gateway's own."
    ),
]


def list_all(info: Info, region: Region = None) -> ListQuery:
    return ListQuery(_check_region(info, region))


def list_jobs(
    info: Info,
    collaboration_id: Annotated[
        strawberry.ID | None,
        strawberry.argument(description="Only jobs of the collaboration with this id."),
    ] = None,
    configured_audience_model_arn: Annotated[
        str | None,
        strawberry.argument(description="Only jobs that use the model with this ARN."),
    ] = None,
    filter: Annotated[  # noqa: A002  the name in the schema
        AudienceGenerationJobFilter | None,
        strawberry.argument(description="Only jobs that match this filter."),
    ] = None,
    region: Region = None,
) -> ListQuery:
    region = _check_region(info, region)
    filters = _check_filters(
        "ListAudienceGenerationJobs",
        collaborationId=collaboration_id,
        configuredAudienceModelArn=configured_audience_model_arn,
    )
    return ListQuery(region, filters, item_filter(filter))


def list_exports(
    info: Info,
    audience_generation_job_arn: Annotated[
        str | None,
        strawberry.argument(
            description="Only exports of the job with this ARN, listed in the ARN's region."
        ),
    ] = None,
    region: Region = None,
) -> ListQuery:
    arn, checked_region = audience_generation_job_arn, _check_region(info, region)
    filters = _check_filters("ListAudienceExportJobs", audienceGenerationJobArn=arn)
    if arn is None:
        return ListQuery(checked_region, filters)
    arn_region = info.context.check_region(region_of(arn), argument="audienceGenerationJobArn")
    if region is not None and region != arn_region:
        raise BadUserInputError(
            f"`region` is not that of `audienceGenerationJobArn`. Accepted: {arn_region}."
        )
    return ListQuery(arn_region, filters)


def _check_region(info: Info, region: str | None) -> str:
    context = info.context
    if region is None:
        return context.settings.region
    return context.check_region(region, argument="region")


def _check_filters(operation: str, **filters: str | None) -> tuple[tuple[str, str], ...]:
    """Return the filters that are set; raises BadUserInputError naming one that AWS rejects."""
    return tuple(
        (name, check_input(operation, name, value, argument=name))
        for name, value in filters.items()
        if value is not None
    )
