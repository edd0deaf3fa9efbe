"""The audience export job, which has no ARN and no Get operation, only rows in a list."""

import orjson
import strawberry

from gateway.errors import BadUserInputError
from gateway.graph.context import Context
from gateway.graph.node import Node
from gateway.graph.types.audience_generation_job import JOB, AudienceGenerationJob
from gateway.graph.types.resource_type import (
    ResourceObject,
    ResourceType,
    link_field,
    region_of,
    row_field,
)
from gateway.graph.types.statuses import AudienceExportJobStatus
from gateway.graph.types.values import (
    AudienceSize,
    CleanRoomsStatusDetails,
    DateTime,
)
from gateway.upstream.values import Item, Listing


@strawberry.federation.type(
    keys=["id"],
    description="A job that exports a generated audience. AWS: AudienceExportJobSummary. It has "
    "no ARN, so its id consists of its job's ARN, its name and its creation time.",
)
class AudienceExportJob(Node):
    audience_generation_job_arn: str = strawberry.field(
        description="The ARN of the job whose audience is exported."
    )
    create_time: DateTime = strawberry.field(description="When the export was created.")
    description: str | None = strawberry.field(description="The export's description.")
    name: str = strawberry.field(description="The export's name.")
    output_location: str | None = strawberry.field(
        description="The location in Amazon S3 that the audience is written to, such as "
        "`s3://bucket/key`."
    )
    status: AudienceExportJobStatus = strawberry.field(description="The export's status.")
    update_time: DateTime = strawberry.field(description="When the export was last updated.")
    audience_size: AudienceSize = row_field("The size of the exported audience.")
    status_details: CleanRoomsStatusDetails | None = row_field("Why the export has its status.")
    audience_generation_job: AudienceGenerationJob | None = link_field(
        JOB, "The job whose audience is exported."
    )


class AudienceExportJobType(ResourceType):
    """Identifies an export by its job's ARN, its name and its creation time, which never change."""

    def __init__(self) -> None:
        super().__init__(AudienceExportJob)
        self.key_of = _key_of

    def check_key(self, key: str, *, argument: str) -> None:
        row = _row_of(key, argument)
        JOB.check_key(row[JOB.arn_member], argument=argument)

    def from_key(self, context: Context, key: str, *, argument: str) -> ResourceObject:
        row = _row_of(key, argument)
        context.check_region(region_of(row[JOB.arn_member]), argument=argument)
        return ResourceObject(self, row)

    async def find(self, context: Context, key: str, *, argument: str) -> ResourceObject | None:
        """Search the list of the export's job."""
        arn = _row_of(key, argument)[JOB.arn_member]
        region = context.check_region(region_of(arn), argument=argument)
        listing = Listing(self.list_operation, region, ((JOB.arn_member, arn),))
        found = await context.search(listing, self.key_of).find(key)
        if found is None:
            return None
        return ResourceObject(self, context.loader.first_seen(key, found))


def _key_of(item: Item) -> str:
    return orjson.dumps([item[JOB.arn_member], item["name"], item["createTime"]]).decode()


def _row_of(key: str, argument: str) -> Item:
    """Return what a key says of an export."""
    try:
        arn, name, create_time = orjson.loads(key)
    except (ValueError, TypeError):
        arn = name = create_time = None
    if isinstance(arn, str) and isinstance(name, str) and isinstance(create_time, str):
        row = {JOB.arn_member: arn, "name": name, "createTime": create_time}
        # An export has one key only, but several JSON texts have the same values.
        if _key_of(row) == key:
            return row
    raise BadUserInputError(f"`{argument}` is not the key of an export.")


EXPORT_JOB = AudienceExportJobType()
