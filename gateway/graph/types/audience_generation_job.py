"""The audience generation job."""

from enum import Enum
from operator import itemgetter
from typing import TYPE_CHECKING, Annotated

import strawberry
from strawberry import enum_value

from gateway.graph.context import Info
from gateway.graph.node import Node
from gateway.graph.pagination.connection import (
    Connection,
    PageInfo,
    connection_field,
    counts_by_status,
    page_info_field,
)
from gateway.graph.types.collaboration import COLLABORATION, Collaboration
from gateway.graph.types.configured_audience_model import (
    CONFIGURED_AUDIENCE_MODEL,
    ConfiguredAudienceModel,
)
from gateway.graph.types.lists import list_exports
from gateway.graph.types.resource_type import (
    MAX_SIZE,
    ArnResourceType,
    detail_field,
    known_link_field,
    link_field,
    region_of,
)
from gateway.graph.types.statuses import AudienceGenerationJobStatus
from gateway.graph.types.values import (
    UNKNOWN,
    UNKNOWN_VALUE,
    AudienceSize,
    CleanRoomsS3ConfigMap,
    CleanRoomsStatusDetails,
    CleanRoomsTag,
    DateTime,
    tag_list,
)

if TYPE_CHECKING:
    from gateway.graph.types.audience_export_job import AudienceExportJob


@strawberry.enum(description="The size of a worker.")
class CleanRoomsWorkerComputeType(Enum):
    # GraphQL allows no dot in the name of a value.
    CR_1X = enum_value("CR.1X", description="`CR.1X` in AWS.")
    CR_4X = enum_value("CR.4X", description="`CR.4X` in AWS.")
    UNKNOWN = enum_value(UNKNOWN, description=UNKNOWN_VALUE)


@strawberry.federation.type(shareable=True, description="The workers that run a query.")
class CleanRoomsWorkerComputeConfiguration:
    type: CleanRoomsWorkerComputeType | None = strawberry.field(
        description="The size of each worker."
    )
    number: int | None = strawberry.field(description="The number of workers.")


@strawberry.federation.type(
    shareable=True, description="The resources that run a query. One of the fields is set."
)
class CleanRoomsComputeConfiguration:
    worker: CleanRoomsWorkerComputeConfiguration | None = strawberry.field(
        description="Workers of one size."
    )


@strawberry.federation.type(
    shareable=True,
    description="The source of a job's seed audience. The SQL that selects it is sensitive and "
    "left out.",
)
class AudienceGenerationJobDataSource:
    data_source: CleanRoomsS3ConfigMap | None = strawberry.field(
        description="The location of the seed data. Null if a query selects it."
    )
    role_arn: str = strawberry.field(
        description="The ARN of the IAM role that reads the seed data."
    )
    sql_compute_configuration: CleanRoomsComputeConfiguration | None = strawberry.field(
        description="The resources that run the query for the seed data."
    )


@strawberry.federation.type(shareable=True, description="The relevance of an audience of one size.")
class CleanRoomsRelevanceMetric:
    audience_size: AudienceSize = strawberry.field(description="The size of the audience.")
    score: float | None = strawberry.field(
        description="The similarity to the seed audience: 0 to 10."
    )


@strawberry.federation.type(shareable=True, description="The quality of a generated audience.")
class AudienceQualityMetrics:
    relevance_metrics: list[CleanRoomsRelevanceMetric] = strawberry.field(
        description="The relevance at several audience sizes."
    )
    recall_metric: float | None = strawberry.field(
        description="The fraction of the seed audience that the model finds: 0 to 1."
    )


Export = Annotated["AudienceExportJob", strawberry.lazy("gateway.graph.types.audience_export_job")]


@strawberry.federation.type(
    keys=["id", "audienceGenerationJobArn"],
    description="A job that generates an audience: users similar to a seed audience, found by a "
    "configured audience model. AWS: AudienceGenerationJobSummary, and GetAudienceGenerationJob "
    "for the details.",
)
class AudienceGenerationJob(Node):
    audience_generation_job_arn: str = strawberry.field(
        description="The job's Amazon Resource Name."
    )
    collaboration_id: strawberry.ID | None = strawberry.field(
        description="The id of the job's collaboration, if it has one."
    )
    configured_audience_model_arn: str = strawberry.field(
        description="The ARN of the configured audience model that the job uses."
    )
    create_time: DateTime = strawberry.field(description="When the job was created.")
    description: str | None = strawberry.field(description="The job's description.")
    name: str = strawberry.field(description="The job's name.")
    started_by: str | None = strawberry.field(
        description="The id of the AWS account that started the job."
    )
    status: AudienceGenerationJobStatus = strawberry.field(description="The job's status.")
    update_time: DateTime = strawberry.field(description="When the job was last updated.")
    status_details: CleanRoomsStatusDetails | None = detail_field("Why the job has its status.")
    seed_audience: AudienceGenerationJobDataSource | None = detail_field(
        "The source of the seed audience."
    )
    include_seed_in_output: bool | None = detail_field(
        "Whether the audience includes the seed audience."
    )
    metrics: AudienceQualityMetrics | None = detail_field("The quality of the audience.")
    tags: list[CleanRoomsTag] | None = detail_field("The job's tags.", tag_list)
    protected_query_identifier: str | None = detail_field(
        "The id of the protected query that selected the seed audience."
    )
    configured_audience_model: ConfiguredAudienceModel | None = link_field(
        CONFIGURED_AUDIENCE_MODEL, "The configured audience model that the job uses."
    )
    export_jobs: Connection[Export] | None = connection_field(
        "AudienceExportJob",
        list_exports,
        "The exports of the job's audience.",
        fixed={
            "audience_generation_job_arn": itemgetter("audienceGenerationJobArn"),
            "region": lambda job: region_of(job["audienceGenerationJobArn"]),
        },
    )

    collaboration: Collaboration | None = known_link_field(
        COLLABORATION, "The job's collaboration, if it has one.", member="collaborationId"
    )


@strawberry.federation.type(shareable=True, description="How many jobs have a status.")
class AudienceGenerationJobStatusCount:
    status: AudienceGenerationJobStatus = strawberry.field(description="The status.")
    count: int = strawberry.field(description="The number of jobs that have it.")


@strawberry.type(description="A page of a list.")
class AudienceGenerationJobConnection(Connection[AudienceGenerationJob]):
    page_info: PageInfo = page_info_field("`last` or `orderBy`")

    @strawberry.field(
        description="The number of jobs in the whole filtered list by status, regardless of "
        "cursors, for each status that occurs. Costs what `totalCount` costs, once for "
        "both; null if the remaining upstream call budget does not suffice.",
        metadata={MAX_SIZE: len(AudienceGenerationJobStatus)},
    )
    async def status_counts(self, info: Info) -> list[AudienceGenerationJobStatusCount] | None:
        counts = await counts_by_status(self, info)
        if counts is None:
            return None
        return [
            AudienceGenerationJobStatusCount(status=each, count=counts[each.name])
            for each in AudienceGenerationJobStatus
            if counts[each.name]
        ]


JOB = ArnResourceType(AudienceGenerationJob)
