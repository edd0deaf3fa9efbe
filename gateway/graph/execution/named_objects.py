"""Completion of lists whose objects the request names: `nodes` and `_entities`."""

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import orjson
from graphql import GraphQLList, GraphQLOutputType, get_nullable_type, is_non_null_type
from graphql.execution.collect_fields import FieldDetailsList
from graphql.pyutils import Path

from gateway.concurrency import settle
from gateway.errors import GatewayError, UnauthenticatedError
from gateway.graph.execution.columns import NULL
from gateway.graph.node import NamedObject, NamedObjects
from gateway.graph.types.resource_type import EntityType, ResourceObject
from gateway.upstream.loader import CONCURRENT_ITEMS

if TYPE_CHECKING:
    from gateway.graph.execution.executor import ObjectExecutor


async def complete_named(
    executor: "ObjectExecutor",
    field_type: GraphQLOutputType,
    selected: FieldDetailsList,
    path: Path,
    result: NamedObjects,
) -> orjson.Fragment:
    """Find and complete the objects, each once, and render the list."""
    executor.meter.charge_values(len(result.named))
    indexes: dict[NamedObject, int] = {}
    for index, each in enumerate(result.named):
        if isinstance(each, NamedObject):
            indexes.setdefault(each, index)
    known = set() if result.must_exist else _known_by_key(executor, indexes, selected)
    calls = [partial(_find, executor, each, by_key=each.entity in known) for each in indexes]
    found = await settle(calls, concurrency=CONCURRENT_ITEMS, errors=GatewayError)
    values: dict[Any, Any] = dict(zip(indexes, found, strict=True))
    objects = {n: each for n, each in values.items() if isinstance(each, ResourceObject)}
    paths = [path.add_key(indexes[each]) for each in objects]
    completed = await executor.complete_objects(selected, [*objects.values()], paths)
    values.update(zip(objects, completed, strict=True))
    rendered: list[bytes] = []
    element_type = cast("GraphQLList[Any]", get_nullable_type(field_type)).of_type
    for index, each in enumerate(result.named):
        value = values.get(each, each)
        if isinstance(value, UnauthenticatedError) and not is_non_null_type(field_type):
            raise value  # the reason is the caller, not one of the objects
        if isinstance(value, Exception):
            executor.handle_field_error(value, element_type, selected, path.add_key(index))
            value = None
        text: bytes = NULL if value is None else value
        # An object that is named many times is rendered once, and counted before it is copied.
        repeated = isinstance(each, NamedObject) and indexes[each] != index
        if value is None or repeated:
            executor.meter.charge_bytes(len(text))
        rendered.append(text)
    return executor.list_of(rendered)


def _known_by_key(
    executor: "ObjectExecutor", named: Iterable[NamedObject], selected: FieldDetailsList
) -> set[EntityType]:
    """Return the types of objects of which only fields that their keys give are selected."""
    known = set()
    for entity in {each.entity for each in named}:
        collected = executor.collect_subfields(executor.object_type(entity.name), selected)
        fields = collected.grouped_field_set.values()
        if entity.key_fields.issuperset(nodes[0].node.name.value for nodes in fields):
            known.add(entity)
    return known


async def _find(
    executor: "ObjectExecutor", named: NamedObject, *, by_key: bool
) -> ResourceObject | None:
    entity, context = named.entity, executor.context_value
    found: ResourceObject | None
    if by_key:
        found = entity.from_key(context, named.key, argument=named.argument)
    else:
        found = await entity.find(context, named.key, argument=named.argument)
    await executor.meter.pause()
    return found
