"""Every kind of object of the graph: by its type's name, how one is fetched again."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from gateway.errors import BadUserInputError
from gateway.graph.audience_model import AUDIENCE_MODEL, AudienceModel
from gateway.graph.configured_model import CONFIGURED_MODEL, ConfiguredAudienceModel
from gateway.graph.context import Info
from gateway.graph.export_job import (
    EXPORT_PLAIN,
    TYPE_NAME,
    AudienceExportJob,
    find_export,
    job_arn_of,
)
from gateway.graph.job import JOB, AudienceGenerationJob
from gateway.graph.kind import Kind, Read, unless_gone
from gateway.graph.node import Node, from_global_id
from gateway.graph.training_dataset import TRAINING_DATASET, TrainingDataset

Fetch = Callable[[Info], Awaitable[Node | None]]
"""Ask for an object that an id or ARN of the right form names; None where it is gone."""

GOT: Mapping[str, tuple[Kind, type[Any]]] = {
    kind.type_name: (kind, of_type)
    for kind, of_type in (
        (JOB, AudienceGenerationJob),
        (CONFIGURED_MODEL, ConfiguredAudienceModel),
        (AUDIENCE_MODEL, AudienceModel),
        (TRAINING_DATASET, TrainingDataset),
    )
}
"""Type name -> kind and class of what is got by an ARN: the entities of a federated graph."""

TYPES = (*(of_type for _, of_type in GOT.values()), AudienceExportJob)

PLAIN: Mapping[str, Mapping[str, Read]] = {
    TYPE_NAME: EXPORT_PLAIN,
    **{name: kind.plain for name, (kind, _) in GOT.items()},
}
"""Type name -> field -> how to read it off a row."""


def named_by_id(global_id: str, *, argument: str) -> Fetch:
    """Read a global id; raises BadUserInputError naming the argument if it is none of ours."""
    type_name, key = from_global_id(global_id) or ("", "")
    try:
        if type_name == TYPE_NAME:
            arn = job_arn_of(key, argument=argument)
            return partial(find_export, key=key, arn=arn, argument=argument)
        if type_name in GOT:
            return named_by_arn(type_name, key, argument=argument)
    except BadUserInputError:
        pass  # what an id is made of is not the caller's to know
    raise BadUserInputError(
        f"`{argument}` is not an id of this graph. Accepted: an `id` from an earlier answer."
    )


def named_by_arn(type_name: str, arn: str, *, argument: str) -> Fetch:
    """Check the ARN of an object of a type in GOT; raises BadUserInputError for another."""
    kind, of_type = GOT[type_name]
    kind.check_arn(arn, argument=argument)

    async def fetch(info: Info) -> Node | None:
        found: Node | None = await unless_gone(of_type.fetch(info, arn, argument=argument))
        return found

    return fetch
