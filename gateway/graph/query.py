"""The root fields of the schema."""

from collections.abc import Callable
from typing import Annotated, Any

import strawberry

from gateway.errors import BadUserInputError, LimitExceededError
from gateway.graph.context import Info
from gateway.graph.node import NamedObject, NamedObjects, Node, parse_id
from gateway.graph.pagination.connection import Connection, ListQuery, connection_field
from gateway.graph.types.audience_export_job import EXPORT_JOB, AudienceExportJob
from gateway.graph.types.audience_generation_job import (
    JOB,
    AudienceGenerationJob,
    AudienceGenerationJobConnection,
)
from gateway.graph.types.audience_model import AUDIENCE_MODEL, AudienceModel
from gateway.graph.types.configured_audience_model import (
    CONFIGURED_AUDIENCE_MODEL,
    ConfiguredAudienceModel,
)
from gateway.graph.types.lists import (
    list_audience_models,
    list_configured_models,
    list_exports,
    list_jobs,
    list_training_datasets,
)
from gateway.graph.types.resource_type import (
    ArnResourceType,
    FieldCost,
    ResourceType,
    costly,
)
from gateway.graph.types.training_dataset import TRAINING_DATASET, TrainingDataset


def _list_field(
    resource: ResourceType, description: str, resolver: Callable[..., ListQuery]
) -> Any:
    return connection_field(
        resource.name, resolver, f"{description} AWS: {resource.list_operation}."
    )


def _object_field(resource: ArnResourceType, noun: str) -> Any:
    argument = resource.arn_member
    description = f"The {noun}'s Amazon Resource Name."

    async def resolve(
        info: Info,
        arn: Annotated[str, strawberry.argument(name=argument, description=description)],
    ) -> Any:
        resource.check_key(arn, argument=argument)
        return await resource.fetch(info.context, arn, argument=argument)

    text = f"The {noun} with this ARN, from the ARN's region. AWS: {resource.get_operation}."
    field: Any = strawberry.field(resolver=resolve, **costly(FieldCost.OBJECT, text))
    return field


@strawberry.type(description="The entry points.")
class Query:
    """The root type without `node` and `nodes`."""

    audience_generation_jobs: AudienceGenerationJobConnection | None = _list_field(
        JOB, "The caller's audience generation jobs.", list_jobs
    )
    audience_export_jobs: Connection[AudienceExportJob] | None = _list_field(
        EXPORT_JOB, "The caller's audience export jobs.", list_exports
    )
    configured_audience_models: Connection[ConfiguredAudienceModel] | None = _list_field(
        CONFIGURED_AUDIENCE_MODEL,
        "The caller's configured audience models.",
        list_configured_models,
    )
    audience_models: Connection[AudienceModel] | None = _list_field(
        AUDIENCE_MODEL, "The caller's audience models.", list_audience_models
    )
    training_datasets: Connection[TrainingDataset] | None = _list_field(
        TRAINING_DATASET, "The caller's training datasets.", list_training_datasets
    )
    audience_generation_job: AudienceGenerationJob | None = _object_field(JOB, "job")
    configured_audience_model: ConfiguredAudienceModel | None = _object_field(
        CONFIGURED_AUDIENCE_MODEL, "configured audience model"
    )
    audience_model: AudienceModel | None = _object_field(AUDIENCE_MODEL, "audience model")
    training_dataset: TrainingDataset | None = _object_field(TRAINING_DATASET, "training dataset")


@strawberry.type(name="Query", description="The entry points.")
class QueryWithNodes(Query):
    """The root type with Relay's `node` and `nodes`, which only one subgraph may have."""

    @strawberry.field(
        **costly(
            FieldCost.OBJECT,
            "The object with this global id; null if it no longer exists. Relay: Global Object "
            "Identification.",
        )
    )
    async def node(
        self,
        info: Info,
        id: Annotated[  # noqa: A002  Relay's name
            strawberry.ID, strawberry.argument(description="An `id` from an earlier response.")
        ],
    ) -> Node | None:
        resource, key = parse_id(id, argument="id")
        # `execution.executor` completes a ResourceObject as a Node, and NamedObjects as their list.
        return await resource.find(info.context, key, argument="id")  # type: ignore[return-value]

    @strawberry.field(
        **costly(
            FieldCost.NAMED_OBJECTS,
            "The objects with these global ids, one for each id and in the same order; null for "
            "an id that is malformed or whose object no longer exists.",
        )
    )
    async def nodes(
        self,
        info: Info,
        ids: Annotated[
            list[strawberry.ID],
            strawberry.argument(description="`id`s from earlier responses."),
        ],
    ) -> list[Node | None] | None:
        limit = info.context.settings.limit_ids
        if len(ids) > limit:
            raise LimitExceededError(
                f"`ids` has {len(ids)} ids. Accepted: up to {limit} (GATEWAY_LIMIT_IDS).",
                limit="ids",
            )
        info.context.loader  # noqa: B018  raises, so that without a caller the field fails, not each id
        return NamedObjects(  # type: ignore[return-value]
            [_parse_or_none(each) for each in ids], must_exist=True
        )


def _parse_or_none(global_id: str) -> NamedObject | None:
    try:
        resource, key = parse_id(global_id, argument="ids")
    except BadUserInputError:
        return None
    return NamedObject(resource, key, "ids")
