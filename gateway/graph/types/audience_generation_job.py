"""The audience generation job: a row of the list, with details and links on demand."""

from typing import TYPE_CHECKING, Annotated

import strawberry

from gateway.graph.context import Info
from gateway.graph.node import Node
from gateway.graph.pagination.connection import (
    After,
    Before,
    Connection,
    First,
    Last,
    Source,
    connect,
)
from gateway.graph.types.collaboration import Collaboration
from gateway.graph.types.configured_audience_model import ConfiguredAudienceModel
from gateway.graph.types.details import (
    AudienceGenerationJobDataSource,
    AudienceQualityMetrics,
    StatusDetails,
    Tag,
)
from gateway.graph.types.enums import AudienceGenerationJobStatus, shown
from gateway.graph.types.resource_type import (
    Details,
    ResourceType,
    got,
    identity,
    none_if_not_found,
    optional,
    region_of,
    required,
)
from gateway.graph.types.scalars import DateTime
from gateway.upstream.values import Item, Listing

if TYPE_CHECKING:
    from gateway.graph.types.audience_export_job import AudienceExportJob

JOB = ResourceType(
    type_name="AudienceGenerationJob",
    lists="ListAudienceGenerationJobs",
    gets="GetAudienceGenerationJob",
    arn="audienceGenerationJobArn",
    members={
        "collaborationId": optional("collaborationId"),
        "configuredAudienceModelArn": required("configuredAudienceModelArn"),
        "createTime": required("createTime"),
        "description": optional("description"),
        "name": required("name"),
        "startedBy": optional("startedBy"),
        "status": shown(AudienceGenerationJobStatus),
        "updateTime": required("updateTime"),
    },
)


@strawberry.federation.type(
    keys=["id", "audienceGenerationJobArn"],
    description="A job that generates an audience: people who are like those in a seed audience, "
    "found by a configured audience model. AWS: AudienceGenerationJobSummary, and "
    "GetAudienceGenerationJob for the details.",
)
class AudienceGenerationJob(Node):
    """An audience generation job."""

    audience_generation_job_arn: str = strawberry.field(
        description="The job's Amazon Resource Name."
    )
    collaboration_id: strawberry.ID | None = strawberry.field(
        description="The id of the collaboration that the job belongs to, if it belongs to one."
    )
    configured_audience_model_arn: str = strawberry.field(
        description="The ARN of the configured audience model that the job uses."
    )
    create_time: DateTime = strawberry.field(description="When the job was made.")
    description: str | None = strawberry.field(description="What its maker says of the job.")
    name: str = strawberry.field(description="The job's name.")
    started_by: str | None = strawberry.field(
        description="The id of the AWS account that started the job."
    )
    status: AudienceGenerationJobStatus = strawberry.field(
        description="How far the job has come. `UNKNOWN` if AWS has added a status since."
    )
    update_time: DateTime = strawberry.field(description="When the job last changed.")
    details: strawberry.Private[Details]

    @classmethod
    def from_row(cls, item: Item) -> "AudienceGenerationJob":
        """Make the job of a row of the list; its details are one Get away."""
        return cls(**JOB.values(item), details=JOB.details(item))

    @classmethod
    async def fetch(cls, info: Info, arn: str, *, argument: str) -> "AudienceGenerationJob":
        """Get the job with this ARN; raises as kind.got does."""
        item, details = await got(JOB, info, arn, argument=argument)
        return cls(**JOB.values(item), details=details)

    @strawberry.field(description="Why the job is in its status. Costs one upstream call a job.")
    async def status_details(self, info: Info) -> StatusDetails | None:
        """Read the detail."""
        return await self.details.part(info, "statusDetails", StatusDetails.of)

    @strawberry.field(
        description="Where the seed audience comes from. Costs one upstream call a job."
    )
    async def seed_audience(self, info: Info) -> AudienceGenerationJobDataSource | None:
        """Read the detail."""
        return await self.details.part(info, "seedAudience", AudienceGenerationJobDataSource.of)

    @strawberry.field(
        description="Whether the audience holds the seed audience too. Costs one upstream call a "
        "job."
    )
    async def include_seed_in_output(self, info: Info) -> bool | None:
        """Read the detail."""
        return await self.details.part(info, "includeSeedInOutput", identity)

    @strawberry.field(description="How good the audience is. Costs one upstream call a job.")
    async def metrics(self, info: Info) -> AudienceQualityMetrics | None:
        """Read the detail."""
        return await self.details.part(info, "metrics", AudienceQualityMetrics.of)

    @strawberry.field(description="The job's labels. Costs one upstream call a job.")
    async def tags(self, info: Info) -> list[Tag] | None:
        """Read the detail."""
        return await self.details.part(info, "tags", Tag.all_of)

    @strawberry.field(
        description="The id of the protected query that selected the seed audience. Costs one "
        "upstream call a job."
    )
    async def protected_query_identifier(self, info: Info) -> str | None:
        """Read the detail."""
        return await self.details.part(info, "protectedQueryIdentifier", identity)

    @strawberry.field(
        description="The configured audience model that the job uses, null if it is gone. Costs "
        "one upstream call a model."
    )
    async def configured_audience_model(self, info: Info) -> ConfiguredAudienceModel | None:
        """Follow the link."""
        arn = self.configured_audience_model_arn
        return await none_if_not_found(
            ConfiguredAudienceModel.fetch(info, arn, argument="configuredAudienceModelArn")
        )

    @strawberry.field(
        description="The exports of the job's audience. Costs one upstream call a job."
    )
    async def export_jobs(
        self,
        info: Info,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> (
        Connection[
            Annotated[
                "AudienceExportJob", strawberry.lazy("gateway.graph.types.audience_export_job")
            ]
        ]
        | None
    ):
        """Page through the exports."""
        from gateway.graph.types.audience_export_job import EXPORT_SOURCE, EXPORTS  # noqa: PLC0415  they link back

        arn = self.audience_generation_job_arn
        listing = Listing(EXPORTS, region_of(arn), ((JOB.arn, arn),))
        taken = await connect(
            info, listing, EXPORT_SOURCE, first, after, last, before, per_row=True
        )
        return Connection(slice=taken)

    @strawberry.field(
        description="The collaboration that the job belongs to, if it belongs to one: its id "
        "here, and whatever another part of a federated graph knows of it."
    )
    def collaboration(self) -> Collaboration | None:
        """Name the collaboration."""
        return None if self.collaboration_id is None else Collaboration(id=self.collaboration_id)


JOB_SOURCE = Source(key_of=required(JOB.arn), make=AudienceGenerationJob.from_row)
