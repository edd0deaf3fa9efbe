"""Objects that can be fetched again: global ids, `node`, and federation's entities.

Sources: Relay's Global Object Identification specification; Apollo Federation 2, subgraph
specification.
"""

import binascii
from base64 import b64decode
from binascii import b2a_base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import strawberry

from gateway.errors import BadUserInputError, GatewayError, LimitExceededError
from gateway.graph.context import Context

if TYPE_CHECKING:
    from gateway.graph.types.resource_type import EntityType, ResourceType


@strawberry.interface(description="An object with a global id, by which it can be fetched again.")
class Node:
    id: strawberry.ID = strawberry.field(
        description="The object's global id. Opaque: use it with `node` and as a cache key."
    )


ENTITY_TYPES: dict[str, "EntityType"] = {}
"""Type name -> entity type. Each registers itself when its module is imported."""

RESOURCE_TYPES: dict[str, "ResourceType"] = {}
"""Those of them whose objects have a global id."""


def to_global_id(type_name: str, key: str) -> str:
    (global_id,) = to_global_ids(type_name, [key])
    return global_id


def to_global_ids(type_name: str, keys: Iterable[str]) -> list[str]:
    return [b2a_base64(f"{type_name}:{key}".encode(), newline=False).decode() for key in keys]


def from_global_id(text: str) -> tuple[str, str] | None:
    """Return type name and key; None if the text is not a global id."""
    try:
        type_name, found, key = b64decode(text, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return None
    # An object has one id only, but several base64 texts can decode to the same bytes.
    return (type_name, key) if found and to_global_id(type_name, key) == text else None


def parse_id(text: str, *, argument: str) -> "tuple[ResourceType, str]":
    """Return resource type and key; raises BadUserInputError naming the argument."""
    type_name, key = from_global_id(text) or ("", "")
    if type_name in RESOURCE_TYPES:
        resource = RESOURCE_TYPES[type_name]
        try:
            resource.check_key(key, argument=argument)
        except BadUserInputError:
            pass  # ids are opaque: the error must not describe what is in them
        else:
            return resource, key
    raise BadUserInputError(
        f"`{argument}` is not an id of this graph. Accepted: an `id` from an earlier response."
    )


@dataclass(frozen=True, slots=True)
class NamedObject:
    """An object to find: its type, its key, and the argument that names it."""

    entity: "EntityType"
    key: str
    argument: str


@dataclass(frozen=True, slots=True)
class NamedObjects:
    """The value of a list field whose objects the request names: each to find, null, or failed."""

    named: Sequence[NamedObject | GatewayError | None]
    must_exist: bool
    """Whether to fetch an object of which only fields that its key gives are selected."""


def resolve_entities(context: Context, representations: list[Any]) -> NamedObjects:
    """Resolve `_entities`: each representation to its object, null if that is gone, or an error.

    Only the key is read from a representation: the object is fetched with the caller's
    credentials, unless only fields that the key gives are selected. Raises LimitExceededError for
    too many representations, in all fields of the request.
    """
    limit = context.settings.limit_ids
    context.meter.representations += len(representations)
    if context.meter.representations > limit:
        raise LimitExceededError(
            f"The operation has more than {limit} representations of entities. Accepted: up to "
            f"{limit} (GATEWAY_LIMIT_IDS).",
            limit="ids",
        )
    if isinstance(context.loader_or_error, GatewayError):
        # The router expects a null for each, and the reason is the same for all.
        named: list[Any] = [context.loader_or_error] * len(representations)
    else:
        named = [_named_object(each) for each in representations]
    return NamedObjects(named, must_exist=False)


def _named_object(representation: Any) -> NamedObject | GatewayError:
    try:
        entity, member, value = _parse_representation(representation)
        key = entity.parse_key(member, value)
    except BadUserInputError as error:
        return error
    return NamedObject(entity, key, member)


def _parse_representation(representation: Any) -> "tuple[EntityType, str, str]":
    """Return entity type, key member and its value."""
    if not isinstance(representation, dict):
        raise BadUserInputError(
            "A representation is not valid. Accepted: an object with `__typename` and one key."
        )
    type_name = representation.get("__typename")
    if not isinstance(type_name, str) or type_name not in ENTITY_TYPES:
        raise BadUserInputError(
            f"`__typename` is not that of an entity. Accepted: {', '.join(sorted(ENTITY_TYPES))}."
        )
    entity = ENTITY_TYPES[type_name]
    members = representation.keys() - {"__typename"}
    if len(members) != 1 or not members <= set(entity.keys):
        raise BadUserInputError(
            f"A representation of {type_name} must have `__typename` and one key. Accepted: "
            f"{' or '.join(entity.keys)}."
        )
    (member,) = members
    value = representation[member]
    if not isinstance(value, str):
        raise BadUserInputError(f"`{member}` is not valid. Accepted: a string.")
    return entity, member, value
