"""Every kind of object of the graph: by its type's name, how one is fetched again."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from gateway.errors import BadUserInputError
from gateway.graph.audience_model import AUDIENCE_MODEL, AudienceModel
from gateway.graph.configured_model import CONFIGURED_MODEL, ConfiguredAudienceModel
from gateway.graph.context import Info
from gateway.graph.export_job import EXPORT_PLAIN, TYPE_NAME, AudienceExportJob, refetch_export
from gateway.graph.job import JOB, AudienceGenerationJob
from gateway.graph.kind import Kind, Read, unless_gone
from gateway.graph.node import Node, from_global_id
from gateway.graph.training_dataset import TRAINING_DATASET, TrainingDataset

Fetch = Callable[[Info, str], Awaitable[Any]]

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


@dataclass(frozen=True, slots=True)
class Named:
    """An object that an id or ARN names, whose form was checked: `fetch` asks the upstream."""

    fetch: Callable[[Info], Awaitable[Node | None]]


def named_by_id(global_id: str, *, argument: str) -> Named:
    """Read a global id; raises BadUserInputError naming the argument if it is none of ours."""
    read = from_global_id(global_id)
    if read is not None and read[0] == TYPE_NAME:
        return Named(partial(refetch_export, key=read[1], argument=argument))
    if read is None or read[0] not in GOT:
        raise _no_id(argument)
    kind, _ = GOT[read[0]]
    try:
        return named_by_arn(kind.type_name, read[1], argument=argument)
    except BadUserInputError:
        raise _no_id(argument) from None


def named_by_arn(type_name: str, arn: str, *, argument: str) -> Named:
    """Check the ARN of an object of a type in GOT; raises BadUserInputError for another."""
    kind, of_type = GOT[type_name]
    kind.check_arn(arn, argument=argument)

    async def fetch(info: Info) -> Node | None:
        found: Node | None = await unless_gone(of_type.fetch(info, arn, argument=argument))
        return found

    return Named(fetch)


def _no_id(argument: str) -> BadUserInputError:
    return BadUserInputError(
        f"`{argument}` is not an id of this graph. Accepted: an `id` from an earlier answer."
    )
