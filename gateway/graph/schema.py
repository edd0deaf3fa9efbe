"""The schema: what is in query.py as graphql-core knows it, and as text."""

from collections.abc import Iterator
from typing import Any

import strawberry
from graphql import (
    GraphQLArgument,
    GraphQLFieldResolver,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLSchema,
    Undefined,
    print_schema,
)
from strawberry.federation.schema import FederationAny
from strawberry.schema.config import StrawberryConfig

from gateway.graph.context import Context, Info
from gateway.graph.entities import resolve_entities
from gateway.graph.objects import TYPES
from gateway.graph.query import Query, QueryWithNodes
from gateway.graph.types.scalars import DATE_TIME, DateTime


class Subgraph(strawberry.federation.Schema):
    """Strawberry's federation schema, whose entities are fetched, not built from what is sent."""

    def entities_resolver(
        self, info: Info, representations: list[FederationAny]
    ) -> list[FederationAny]:
        """Resolve `_entities`."""
        return resolve_entities(info, representations)  # type: ignore[return-value]


def build_schema(*, root_node: bool = True) -> Subgraph:
    """Build the schema; `root_node` False leaves root `node` and `nodes` out."""
    query = QueryWithNodes if root_node else Query
    scalars: dict[object, Any] = {DateTime: DATE_TIME}
    schema = Subgraph(
        query=query,
        types=TYPES,
        config=StrawberryConfig(scalar_map=scalars),
        federation_version="2.0",  # nothing newer is used, and older routers compose it
    )
    for name in ("_service", "_entities"):
        field = _root(schema).fields[name]
        field.resolve = _for_the_router(field.resolve)
    # An absent input and a null mean the same; Python's default is not the graph's.
    for each in _inputs(core(schema)):
        if each.default_value is None:
            each.default_value = Undefined
    return schema


def core(schema: strawberry.Schema) -> GraphQLSchema:
    """Return the schema that is executed."""
    return schema._schema  # noqa: SLF001  Strawberry has no public name for it


def subgraph_sdl() -> str:
    """Return the schema as a federation composes it, ending in a newline."""
    return build_schema().as_str() + "\n"


def client_sdl() -> str:
    """Return the schema as clients see it, without what federation adds, ending in a newline."""
    schema = build_schema()
    ours, query = core(schema), _root(schema)
    fields = {name: field for name, field in query.fields.items() if not name.startswith("_")}
    root = GraphQLObjectType("Query", fields, description=query.description)
    others = (kind for kind in ours.type_map.values() if kind is not query)
    shown = [kind for kind in others if not kind.name.startswith(("_", "link__", "federation__"))]
    return print_schema(GraphQLSchema(root, types=shown)) + "\n"


def _root(schema: strawberry.Schema) -> GraphQLObjectType:
    root = core(schema).query_type
    assert root is not None  # noqa: S101  each schema has one
    return root


def _for_the_router(resolve: GraphQLFieldResolver) -> GraphQLFieldResolver:
    def guarded(source: Any, info: GraphQLResolveInfo[Context], **arguments: Any) -> Any:
        info.context.check_router()
        return resolve(source, info, **arguments)

    return guarded


def _inputs(schema: GraphQLSchema) -> Iterator[GraphQLArgument | GraphQLInputField]:
    for kind in schema.type_map.values():
        if isinstance(kind, GraphQLInputObjectType):
            yield from kind.fields.values()
        elif isinstance(kind, GraphQLObjectType):
            for field in kind.fields.values():
                yield from field.args.values()
