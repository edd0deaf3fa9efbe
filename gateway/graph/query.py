"""The root of the graph: what may be asked."""

from typing import Annotated

import strawberry

from gateway.errors import BadUserInputError, LimitExceededError
from gateway.graph.context import Info
from gateway.graph.node import Node
from gateway.graph.objects import named_by_id
from gateway.graph.pagination.connection import After, Before, Connection, First, Last, connect
from gateway.graph.types.audience_export_job import EXPORT_SOURCE, EXPORTS, AudienceExportJob
from gateway.graph.types.audience_generation_job import JOB, JOB_SOURCE, AudienceGenerationJob
from gateway.graph.types.audience_model import AUDIENCE_MODEL, AUDIENCE_MODEL_SOURCE, AudienceModel
from gateway.graph.types.configured_audience_model import (
    CONFIGURED_MODEL,
    CONFIGURED_MODEL_SOURCE,
    ConfiguredAudienceModel,
)
from gateway.graph.types.job_filter import AudienceGenerationJobFilter, checked
from gateway.graph.types.resource_type import region_of
from gateway.graph.types.training_dataset import (
    TRAINING_DATASET,
    TRAINING_DATASET_SOURCE,
    TrainingDataset,
)
from gateway.upstream.model import check_input
from gateway.upstream.values import Listing

Region = Annotated[
    str | None,
    strawberry.argument(
        description="The AWS region to ask, one of those that the gateway serves. Its own "
        "default if absent."
    ),
]


def listing(info: Info, operation: str, region: str | None, **filters: str | None) -> Listing:
    """Name a list of the upstream.

    Raises BadUserInputError naming the argument whose value the upstream would not take.
    """
    scope = info.context.scope
    return Listing(
        operation,
        scope.region if region is None else scope.check(region, argument="region"),
        tuple(
            (name, check_input(operation, name, value, argument=name))
            for name, value in filters.items()
            if value is not None
        ),
    )


@strawberry.type(description="What may be asked.")
class Query:
    """The root type, without `node` and `nodes`."""

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
        filter: Annotated[  # noqa: A002  the contract's name
            AudienceGenerationJobFilter | None,
            strawberry.argument(description="Only jobs that pass this filter."),
        ] = None,
        region: Region = None,
    ) -> Connection[AudienceGenerationJob] | None:
        """Page through the jobs."""
        jobs = listing(
            info,
            JOB.lists,
            region,
            collaborationId=collaboration_id,
            configuredAudienceModelArn=configured_audience_model_arn,
        )
        item_filter = checked(filter)
        taken = await connect(info, jobs, JOB_SOURCE, first, after, last, before, item_filter)
        return Connection(slice=taken)

    @strawberry.field(
        description="The audience export jobs that the caller may see. AWS: ListAudienceExportJobs."
    )
    async def audience_export_jobs(
        self,
        info: Info,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        audience_generation_job_arn: Annotated[
            str | None,
            strawberry.argument(
                description="Only exports of the job with this ARN, asked in its region."
            ),
        ] = None,
        region: Region = None,
    ) -> Connection[AudienceExportJob] | None:
        """Page through the exports."""
        arn = audience_generation_job_arn
        exports = listing(info, EXPORTS, region, audienceGenerationJobArn=arn)
        if arn is not None:
            own = info.context.scope.check(region_of(arn), argument=JOB.arn)
            if region is not None and region != own:
                raise BadUserInputError(f"`region` is not that of `{JOB.arn}`. Accepted: {own}.")
            exports = Listing(EXPORTS, own, exports.filters)
        taken = await connect(info, exports, EXPORT_SOURCE, first, after, last, before)
        return Connection(slice=taken)

    @strawberry.field(
        description="The configured audience models that the caller may see. AWS: "
        "ListConfiguredAudienceModels."
    )
    async def configured_audience_models(
        self,
        info: Info,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        region: Region = None,
    ) -> Connection[ConfiguredAudienceModel] | None:
        """Page through the configured models."""
        models = listing(info, CONFIGURED_MODEL.lists, region)
        source = CONFIGURED_MODEL_SOURCE
        taken = await connect(info, models, source, first, after, last, before)
        return Connection(slice=taken)

    @strawberry.field(
        description="The audience models that the caller may see. AWS: ListAudienceModels."
    )
    async def audience_models(
        self,
        info: Info,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        region: Region = None,
    ) -> Connection[AudienceModel] | None:
        """Page through the models."""
        models = listing(info, AUDIENCE_MODEL.lists, region)
        taken = await connect(info, models, AUDIENCE_MODEL_SOURCE, first, after, last, before)
        return Connection(slice=taken)

    @strawberry.field(
        description="The training datasets that the caller may see. AWS: ListTrainingDatasets."
    )
    async def training_datasets(
        self,
        info: Info,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        region: Region = None,
    ) -> Connection[TrainingDataset] | None:
        """Page through the datasets."""
        datasets = listing(info, TRAINING_DATASET.lists, region)
        source = TRAINING_DATASET_SOURCE
        taken = await connect(info, datasets, source, first, after, last, before)
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
        arn = JOB.check_arn(audience_generation_job_arn, argument=JOB.arn)
        return await AudienceGenerationJob.fetch(info, arn, argument=JOB.arn)

    @strawberry.field(
        description="The configured audience model with this ARN, asked in the region that the "
        "ARN names. AWS: GetConfiguredAudienceModel."
    )
    async def configured_audience_model(
        self,
        info: Info,
        configured_audience_model_arn: Annotated[
            str, strawberry.argument(description="The configured model's Amazon Resource Name.")
        ],
    ) -> ConfiguredAudienceModel | None:
        """Get one configured model."""
        kind = CONFIGURED_MODEL
        arn = kind.check_arn(configured_audience_model_arn, argument=kind.arn)
        return await ConfiguredAudienceModel.fetch(info, arn, argument=kind.arn)

    @strawberry.field(
        description="The audience model with this ARN, asked in the region that the ARN names. "
        "AWS: GetAudienceModel."
    )
    async def audience_model(
        self,
        info: Info,
        audience_model_arn: Annotated[
            str, strawberry.argument(description="The model's Amazon Resource Name.")
        ],
    ) -> AudienceModel | None:
        """Get one model."""
        arn = AUDIENCE_MODEL.check_arn(audience_model_arn, argument=AUDIENCE_MODEL.arn)
        return await AudienceModel.fetch(info, arn, argument=AUDIENCE_MODEL.arn)

    @strawberry.field(
        description="The training dataset with this ARN, asked in the region that the ARN names. "
        "AWS: GetTrainingDataset."
    )
    async def training_dataset(
        self,
        info: Info,
        training_dataset_arn: Annotated[
            str, strawberry.argument(description="The dataset's Amazon Resource Name.")
        ],
    ) -> TrainingDataset | None:
        """Get one dataset."""
        arn = TRAINING_DATASET.check_arn(training_dataset_arn, argument=TRAINING_DATASET.arn)
        return await TrainingDataset.fetch(info, arn, argument=TRAINING_DATASET.arn)


@strawberry.type(name="Query", description="What may be asked.")
class QueryWithNodes(Query):
    """The root type as Relay wants it. In a federated graph one subgraph alone may have these."""

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
        return await named_by_id(id, argument="id")(info)

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
        info.context.loader  # noqa: B018  without a caller the whole field fails, not each id
        # Awaitables, not objects: each id fails or is null in its own place.
        return [_node(info, each) for each in ids]  # type: ignore[misc]


async def _node(info: Info, global_id: str) -> Node | None:
    try:
        fetch = named_by_id(global_id, argument="ids")
    except BadUserInputError:
        return None
    return await fetch(info)
