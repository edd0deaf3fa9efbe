"""The audience export job: a row that has no ARN and no Get, known by what it is of."""

from collections.abc import Mapping

import orjson
import strawberry

from gateway.errors import BadUserInputError
from gateway.graph.context import Info
from gateway.graph.node import Node, to_global_id
from gateway.graph.pagination.connection import Source
from gateway.graph.pagination.walk import refuse_repeated
from gateway.graph.types.audience_generation_job import JOB, AudienceGenerationJob
from gateway.graph.types.details import AudienceSize, StatusDetails
from gateway.graph.types.enums import AudienceExportJobStatus, shown
from gateway.graph.types.resource_type import (
    Read,
    none_if_not_found,
    optional,
    python_names,
    read_member,
    region_of,
    required,
)
from gateway.graph.types.scalars import DateTime
from gateway.upstream.values import Item, Listing, PageRequest

TYPE_NAME = "AudienceExportJob"
EXPORTS = "ListAudienceExportJobs"


def key_of(item: Item) -> str:
    """Name an export: its job's ARN, its name and when it was made, which stay."""
    return orjson.dumps([item[JOB.arn], item["name"], item["createTime"]]).decode()


EXPORT_PLAIN: Mapping[str, Read] = {
    "id": lambda item: to_global_id(TYPE_NAME, key_of(item)),
    "audienceGenerationJobArn": required("audienceGenerationJobArn"),
    "createTime": required("createTime"),
    "description": optional("description"),
    "name": required("name"),
    "outputLocation": optional("outputLocation"),
    "status": shown(AudienceExportJobStatus),
    "updateTime": required("updateTime"),
}
_READS = python_names(EXPORT_PLAIN)


@strawberry.type(
    description="A job that exports a generated audience. AWS: AudienceExportJobSummary; it has "
    "no ARN, so its id carries its job's, its name and when it was made."
)
class AudienceExportJob(Node):
    """An audience export job."""

    audience_generation_job_arn: str = strawberry.field(
        description="The ARN of the job whose audience is exported."
    )
    create_time: DateTime = strawberry.field(description="When the export was made.")
    description: str | None = strawberry.field(description="What its maker says of the export.")
    name: str = strawberry.field(description="The export's name.")
    output_location: str | None = strawberry.field(
        description="Where in Amazon S3 the audience is written, such as `s3://bucket/key`."
    )
    status: AudienceExportJobStatus = strawberry.field(
        description="How far the export has come. `UNKNOWN` if AWS has added a status since."
    )
    update_time: DateTime = strawberry.field(description="When the export last changed.")
    item: strawberry.Private[Item]

    @classmethod
    def from_row(cls, item: Item) -> "AudienceExportJob":
        """Make the export of a row of the list, which tells all of it."""
        return cls(**{name: read(item) for name, read in _READS.items()}, item=item)

    @strawberry.field(description="How much of the audience is exported.")
    def audience_size(self) -> AudienceSize:
        """Read the shape."""
        return read_member(self.item, "audienceSize", AudienceSize.of)

    @strawberry.field(description="Why the export is in its status.")
    def status_details(self) -> StatusDetails | None:
        """Read the shape."""
        return read_member(self.item, "statusDetails", StatusDetails.of)

    @strawberry.field(
        description="The job whose audience is exported, null if it is gone. Costs one upstream "
        "call a job."
    )
    async def audience_generation_job(self, info: Info) -> AudienceGenerationJob | None:
        """Follow the link."""
        arn = self.audience_generation_job_arn
        return await none_if_not_found(AudienceGenerationJob.fetch(info, arn, argument=JOB.arn))


def job_arn_of(key: str, *, argument: str) -> str:
    """Read the ARN of its job off an export's key.

    Raises BadUserInputError naming the argument if the text is no such key.
    """
    try:
        arn, name, created = orjson.loads(key)
    except (ValueError, TypeError):
        arn = name = created = None
    if not (isinstance(arn, str) and isinstance(name, str) and isinstance(created, str)):
        raise BadUserInputError(f"`{argument}` names no export.")
    return JOB.check_arn(arn, argument=argument)


async def find_export(info: Info, *, key: str, arn: str, argument: str) -> AudienceExportJob | None:
    """Find the export with this key in the list of its job's; None where it is gone.

    Raises BadUserInputError naming the argument if the job's region is not served.
    """
    listing = Listing(
        EXPORTS, info.context.scope.check(region_of(arn), argument=argument), ((JOB.arn, arn),)
    )
    token, seen = None, set[str]()
    while True:
        page = await info.context.loader.page(PageRequest(listing, token), per_row=token is None)
        found = next((item for item in page.items if key_of(item) == key), None)
        if found is not None:
            return AudienceExportJob.from_row(info.context.loader.first_seen(key, found))
        if page.next_token is None:
            return None
        token = page.next_token
        refuse_repeated(token, seen)


EXPORT_SOURCE = Source(key_of=key_of, make=AudienceExportJob.from_row)
