"""Entities: objects that other parts of a federated graph name by a key.

Source: Apollo Federation 2, subgraph specification. A representation is only ever a name: what
it names is fetched under the caller's credentials, and nothing in it is taken for the object's.
"""

from collections.abc import Awaitable
from typing import Any

from gateway.errors import BadUserInputError, LimitExceededError
from gateway.graph.context import Info
from gateway.graph.node import Node, from_global_id
from gateway.graph.objects import ENTITY_TYPES, named_by_arn, named_by_id

ARGUMENT = "representations"


def resolve_entities(info: Info, representations: list[Any]) -> list[Awaitable[Node | None]]:
    """Resolve each representation in its place: the object, null where it is gone, or an error.

    Raises LimitExceededError for more than one request may name. What is named twice is
    fetched once.
    """
    most = info.context.scope.max_ids
    if len(representations) > most:
        raise LimitExceededError(
            f"`{ARGUMENT}` has {len(representations)} entries. Accepted: up to {most}."
        )
    return [_resolve(info, each) for each in representations]


async def _resolve(info: Info, representation: Any) -> Node | None:
    type_name, key, value = _read(representation)
    if key == "id":
        read = from_global_id(value)
        if read is None or read[0] != type_name:
            raise BadUserInputError(f"`id` is not the id of a {type_name}.")
        fetch = named_by_id(value, argument="id")
    else:
        fetch = named_by_arn(type_name, value, argument=key)
    return await fetch(info)


def _read(representation: Any) -> tuple[str, str, str]:
    """Return type name, key and value of a representation that is exactly that."""
    if not isinstance(representation, dict):
        raise BadUserInputError("A representation is not an object.")
    type_name = representation.get("__typename")
    if not isinstance(type_name, str) or type_name not in ENTITY_TYPES:
        raise BadUserInputError(
            f"`__typename` is not that of an entity. Accepted: {', '.join(sorted(ENTITY_TYPES))}."
        )
    keys = ("id", ENTITY_TYPES[type_name][0].arn)
    given = representation.keys() - {"__typename"}
    if len(given) != 1 or not given <= set(keys):
        raise BadUserInputError(
            f"A representation of {type_name} is not its type and one key. Accepted: "
            f"{' or '.join(keys)}."
        )
    (key,) = given
    value = representation[key]
    if not isinstance(value, str):
        raise BadUserInputError(f"`{key}` is not a text.")
    return type_name, key, value
