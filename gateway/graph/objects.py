"""Every kind of object of the graph: by its type's name, how one is fetched again."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from gateway.errors import BadUserInputError
from gateway.graph.context import Info
from gateway.graph.node import Node, from_global_id
from gateway.graph.types.audience_export_job import (
    EXPORT_PLAIN,
    TYPE_NAME,
    AudienceExportJob,
    find_export,
    job_arn_of,
)
from gateway.graph.types.audience_generation_job import JOB, AudienceGenerationJob
from gateway.graph.types.audience_model import AUDIENCE_MODEL, AudienceModel
from gateway.graph.types.configured_audience_model import CONFIGURED_MODEL, ConfiguredAudienceModel
from gateway.graph.types.resource_type import Read, ResourceType, none_if_not_found
from gateway.graph.types.training_dataset import TRAINING_DATASET, TrainingDataset

Fetch = Callable[[Info], Awaitable[Node | None]]
"""Ask for an object that an id or ARN of the right form names; None where it is gone."""

ENTITY_TYPES: Mapping[str, tuple[ResourceType, type[Any]]] = {
    kind.type_name: (kind, of_type)
    for kind, of_type in (
        (JOB, AudienceGenerationJob),
        (CONFIGURED_MODEL, ConfiguredAudienceModel),
        (AUDIENCE_MODEL, AudienceModel),
        (TRAINING_DATASET, TrainingDataset),
    )
}
"""Type name -> kind and class of what is got by an ARN: the entities of a federated graph."""

TYPES = (*(of_type for _, of_type in ENTITY_TYPES.values()), AudienceExportJob)

SCALAR_FIELDS: Mapping[str, Mapping[str, Read]] = {
    TYPE_NAME: EXPORT_PLAIN,
    **{name: kind.plain for name, (kind, _) in ENTITY_TYPES.items()},
}
"""Type name -> field -> how to read it off a row."""


def named_by_id(global_id: str, *, argument: str) -> Fetch:
    """Read a global id; raises BadUserInputError naming the argument if it is none of ours."""
    type_name, key = from_global_id(global_id) or ("", "")
    try:
        if type_name == TYPE_NAME:
            arn = job_arn_of(key, argument=argument)
            return partial(find_export, key=key, arn=arn, argument=argument)
        if type_name in ENTITY_TYPES:
            return named_by_arn(type_name, key, argument=argument)
    except BadUserInputError:
        pass  # what an id is made of is not the caller's to know
    raise BadUserInputError(
        f"`{argument}` is not an id of this graph. Accepted: an `id` from an earlier answer."
    )


def named_by_arn(type_name: str, arn: str, *, argument: str) -> Fetch:
    """Check the ARN of an object of a type in GOT; raises BadUserInputError for another."""
    kind, of_type = ENTITY_TYPES[type_name]
    kind.check_arn(arn, argument=argument)

    async def fetch(info: Info) -> Node | None:
        found: Node | None = await none_if_not_found(of_type.fetch(info, arn, argument=argument))
        return found

    return fetch
