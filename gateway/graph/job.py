"""The audience generation job: a row of the list, with details that a Get adds on demand."""

import asyncio
from collections.abc import Callable, Mapping
from operator import itemgetter, methodcaller
from typing import Any, TypeVar

import strawberry

from gateway.errors import NotFoundError, UpstreamInvalidResponseError
from gateway.graph.connection import Source
from gateway.graph.context import Info
from gateway.graph.details import (
    AudienceGenerationJobDataSource,
    AudienceQualityMetrics,
    StatusDetails,
    Tag,
)
from gateway.graph.enums import AudienceGenerationJobStatus, known
from gateway.graph.node import Node, to_global_id
from gateway.graph.scalars import DateTime
from gateway.upstream.model import check_input, row_shape
from gateway.upstream.page import Item, ItemRequest
from gateway.upstream.reader import Reader

T = TypeVar("T")

TYPE_NAME = "AudienceGenerationJob"
ARN = "audienceGenerationJobArn"
LIST = "ListAudienceGenerationJobs"
GET = "GetAudienceGenerationJob"

_STATUSES = {member.value: member.value for member in AudienceGenerationJobStatus}

PLAIN: Mapping[str, Callable[[Item], Any]] = {
    "id": lambda item: to_global_id(TYPE_NAME, item[ARN]),
    ARN: itemgetter(ARN),
    "collaborationId": methodcaller("get", "collaborationId"),
    "configuredAudienceModelArn": itemgetter("configuredAudienceModelArn"),
    "createTime": itemgetter("createTime"),
    "description": methodcaller("get", "description"),
    "name": itemgetter("name"),
    "startedBy": methodcaller("get", "startedBy"),
    "status": lambda item: _STATUSES.get(item["status"], "UNKNOWN"),
    "updateTime": itemgetter("updateTime"),
}
"""Field -> how to read it off an item, in the form that it has in an answer."""


@strawberry.type(
    description="A job that generates an audience: people who are like those in a seed audience, "
    "found by a configured audience model. AWS: AudienceGenerationJobSummary, and "
    "GetAudienceGenerationJob for the details."
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
    details: strawberry.Private["Details"]

    @classmethod
    def from_row(cls, item: Item) -> "AudienceGenerationJob":
        """Make the job of a row of the list; its details are one Get away."""
        return cls._of(item, Details(item[ARN]))

    @classmethod
    async def fetch(cls, info: Info, arn: str, *, argument: str) -> "AudienceGenerationJob":
        """Get the job with this ARN, which is checked already but for its region.

        Raises BadUserInputError naming the argument if that is not served, NotFoundError where
        there is no such job.
        """
        info.context.scope.check(region_of(arn), argument=argument)
        details = Details(arn)
        return cls._of(await details.read(info), details)

    @classmethod
    def _of(cls, item: Item, details: "Details") -> "AudienceGenerationJob":
        return cls(
            id=strawberry.ID(to_global_id(TYPE_NAME, item[ARN])),
            audience_generation_job_arn=item[ARN],
            collaboration_id=item.get("collaborationId"),
            configured_audience_model_arn=item["configuredAudienceModelArn"],
            create_time=item["createTime"],
            description=item.get("description"),
            name=item["name"],
            started_by=item.get("startedBy"),
            status=known(AudienceGenerationJobStatus, item["status"]),
            update_time=item["updateTime"],
            details=details,
        )

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
        return await self.details.part(info, "includeSeedInOutput", _as_is)

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
        return await self.details.part(info, "protectedQueryIdentifier", _as_is)


class Details:
    """What GetAudienceGenerationJob tells of one job: asked once, when the first part is wanted."""

    def __init__(self, arn: str) -> None:
        self._arn = arn
        self._asked: asyncio.Future[Item] | None = None

    async def read(self, info: Info) -> Item:
        """Return the whole answer."""
        if self._asked is None:
            self._asked = asyncio.ensure_future(self._ask(info.context.reader))
        return await self._asked

    async def _ask(self, reader: Reader) -> Item:
        item = await reader.item(ItemRequest(GET, region_of(self._arn), ((ARN, self._arn),)))
        shown = reader.first_seen(self._arn, item)
        if shown is item:
            return item
        # The job has been shown as a row of the list; what the row tells stays as it was.
        row = row_shape(LIST).texts
        told = {name: shown[name] for name in row if name in shown}
        return {name: value for name, value in item.items() if name not in row} | told

    async def part(self, info: Info, member: str, read: Callable[[Any], T]) -> T:
        """Return one member as `read` makes it.

        Raises UpstreamInvalidResponseError if it has not the form that the model promises.
        """
        item = await self.read(info)
        try:
            return read(item.get(member))
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise UpstreamInvalidResponseError(
                f"Clean Rooms ML's answer made no sense: `{member}` is not as its model says."
            ) from error


def _as_is(value: Any) -> Any:
    return value


def check_arn(arn: str, *, argument: str) -> str:
    """Return a job's ARN if the upstream would take it.

    Raises BadUserInputError naming the argument.
    """
    return check_input(GET, ARN, arn, argument=argument)


def region_of(arn: str) -> str:
    """Read the region that an ARN names."""
    return arn.split(":", 4)[3]


async def refetch(info: Info, arn: str, *, argument: str) -> AudienceGenerationJob | None:
    """Return the job that an id names, or None where it is gone, as Relay asks."""
    try:
        return await AudienceGenerationJob.fetch(info, arn, argument=argument)
    except NotFoundError:
        return None


SOURCE = Source(key_of=itemgetter(ARN), make=AudienceGenerationJob.from_row)
