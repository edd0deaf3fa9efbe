"""The root of the graph: what may be asked."""

from typing import Annotated

import strawberry

from gateway.errors import BadUserInputError, LimitExceededError
from gateway.graph import job
from gateway.graph.connection import After, Before, Connection, First, Last, connect
from gateway.graph.context import Info
from gateway.graph.job import AudienceGenerationJob
from gateway.graph.node import Node, from_global_id
from gateway.upstream.model import check_input
from gateway.upstream.page import Listing


@strawberry.type(description="What may be asked.")
class Query:
    """The root type."""

    @strawberry.field(
        description="The audience generation jobs that the caller may see, newest first as the "
        "upstream lists them. AWS: ListAudienceGenerationJobs."
    )
    async def audience_generation_jobs(
        self,
        info: Info,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        collaboration_id: Annotated[
            strawberry.ID | None,
            strawberry.argument(description="Only jobs of the collaboration with this id."),
        ] = None,
        configured_audience_model_arn: Annotated[
            str | None,
            strawberry.argument(description="Only jobs that use the model with this ARN."),
        ] = None,
        region: Annotated[
            str | None,
            strawberry.argument(
                description="The AWS region to ask, one of those that the gateway serves. Its "
                "own default if absent."
            ),
        ] = None,
    ) -> Connection[AudienceGenerationJob] | None:
        """Page through the jobs."""
        scope = info.context.scope
        filters = {
            "collaborationId": collaboration_id,
            "configuredAudienceModelArn": configured_audience_model_arn,
        }
        listing = Listing(
            job.LIST,
            scope.region if region is None else scope.check(region, argument="region"),
            tuple(
                (name, check_input(job.LIST, name, value, argument=name))
                for name, value in filters.items()
                if value is not None
            ),
        )
        taken = await connect(info, listing, job.SOURCE, first, after, last, before)
        return Connection(slice=taken)

    @strawberry.field(
        description="The job with this ARN, asked in the region that the ARN names. AWS: "
        "GetAudienceGenerationJob."
    )
    async def audience_generation_job(
        self,
        info: Info,
        audience_generation_job_arn: Annotated[
            str, strawberry.argument(description="The job's Amazon Resource Name.")
        ],
    ) -> AudienceGenerationJob | None:
        """Get one job."""
        arn = job.check_arn(audience_generation_job_arn, argument=job.ARN)
        return await AudienceGenerationJob.fetch(info, arn, argument=job.ARN)

    @strawberry.field(
        description="The object with this global id, null where it is gone. Relay: Global Object "
        "Identification."
    )
    async def node(
        self,
        info: Info,
        id: Annotated[  # noqa: A002  Relay's name
            strawberry.ID, strawberry.argument(description="An `id` from an earlier answer.")
        ],
    ) -> Node | None:
        """Fetch one object again."""
        arn = _arn_of(id)
        if arn is None:
            raise BadUserInputError(
                "`id` is not an id of this graph. Accepted: an `id` from an earlier answer."
            )
        return await job.refetch(info, arn, argument="id")

    @strawberry.field(
        description="The objects with these global ids, one to one and in their order; null in "
        "the place of an id that is malformed or whose object is gone."
    )
    async def nodes(
        self,
        info: Info,
        ids: Annotated[
            list[strawberry.ID],
            strawberry.argument(description="`id`s from earlier answers."),
        ],
    ) -> list[Node | None] | None:
        """Fetch objects again."""
        most = info.context.scope.max_ids
        if len(ids) > most:
            raise LimitExceededError(f"`ids` has {len(ids)} ids. Accepted: up to {most}.")
        info.context.reader  # noqa: B018  without a caller the whole field fails, not each id
        # Awaitables, not objects: each id fails or is null in its own place.
        return [_node(info, id_) for id_ in ids]  # type: ignore[misc]


async def _node(info: Info, global_id: str) -> Node | None:
    arn = _arn_of(global_id)
    return None if arn is None else await job.refetch(info, arn, argument="ids")


def _arn_of(global_id: str) -> str | None:
    read = from_global_id(global_id)
    if read is None or read[0] != job.TYPE_NAME:
        return None
    try:
        return job.check_arn(read[1], argument="id")
    except BadUserInputError:
        return None
