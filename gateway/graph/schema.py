"""Builds and prints the schema."""

from collections.abc import Iterator
from functools import cached_property, partial
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
from gateway.graph.node import ENTITY_TYPES, resolve_entities
from gateway.graph.query import Query, QueryWithNodes
from gateway.graph.subscription import Subscription
from gateway.graph.types.resource_type import COST, NAMES, RESOLVE, FieldCost
from gateway.graph.types.values import DATE_TIME, DateTime

DESCRIPTION = """\
AWS Clean Rooms ML as a graph: audience generation jobs, their exports, the models they use and the
datasets those are trained on.

- **Authentication**: send temporary AWS credentials in `X-Aws-Access-Key-Id`,
  `X-Aws-Secret-Access-Key` and `X-Aws-Session-Token`, or an OIDC token in `Authorization: Bearer`.
- **Paging**: lists are Relay connections. For the next page, pass `pageInfo.endCursor` as `after`.
- **Errors**: each has a public code in `extensions.code`. A root field that fails is null; the
  others are unaffected.
- **Cost**: fields that cost an AWS call say so. A query that needs more calls than allowed is
  rejected before the first one. With the header `X-Gateway-Cost: 1` a response has
  `extensions.cost`.
- **Subscriptions** are streams over HTTP: name `text/event-stream` or
  `multipart/mixed;subscriptionSpec=1.0` in `Accept`.
- **Caching**: data may be a few seconds old; `Cache-Control: no-cache` requests it from AWS.
"""


class Subgraph(strawberry.federation.Schema):
    """Strawberry's federation schema, with entities fetched from AWS."""

    def entities_resolver(
        self, info: Info, representations: list[FederationAny]
    ) -> list[FederationAny]:
        # Strawberry's own would build the objects from what the request contains;
        # `execution.executor` fetches those that NamedObjects name.
        return resolve_entities(info.context, representations)  # type: ignore[return-value]

    def _extend_introspection(self) -> None:
        """Keep graphql-core's `isOneOf`: Strawberry's fails for list and non-null types."""

    @cached_property
    def sdl(self) -> str:
        """The schema as printed for the first request: printing takes 10 ms."""
        return self.as_str()


def build_schema(*, root_node: bool = True) -> Subgraph:
    """Build the schema, with or without the root fields `node` and `nodes`."""
    scalars: dict[object, Any] = {DateTime: DATE_TIME}
    schema = Subgraph(
        query=QueryWithNodes if root_node else Query,
        subscription=Subscription,
        types=[each.object_type for each in ENTITY_TYPES.values()],
        config=StrawberryConfig(scalar_map=scalars),
        federation_version="2.0",  # nothing newer is used, and older routers compose it
    )
    graph = executable_schema(schema)
    graph.description = DESCRIPTION.strip()
    _bypass_strawberry(graph)
    fields = _query_type(graph).fields
    for name in ("_service", "_entities"):
        fields[name].resolve = _for_router(fields[name].resolve)
    fields["_entities"].extensions[COST] = FieldCost.ENTITIES
    service = graph.type_map["_Service"]
    assert isinstance(service, GraphQLObjectType)  # noqa: S101
    service.fields["sdl"].resolve = lambda *_: schema.sdl
    # An absent input and a null mean the same; Strawberry would print the default null.
    for each in _inputs(graph):
        if each.default_value is None:
            each.default_value = Undefined
    return schema


def executable_schema(schema: strawberry.Schema) -> GraphQLSchema:
    """Return graphql-core's schema, which is executed."""
    return schema._schema  # noqa: SLF001  Strawberry has no public name for it


def subgraph_sdl(*, root_node: bool = True) -> str:
    """Print the schema for composition, ending in a newline.

    Without its description, which would become that of the whole graph.
    """
    return build_schema(root_node=root_node).as_str() + "\n"


def client_sdl(*, root_node: bool = True) -> str:
    """Print the schema for clients, without federation, ending in a newline."""
    graph = executable_schema(build_schema(root_node=root_node))
    query = _query_type(graph)
    fields = {name: field for name, field in query.fields.items() if not name.startswith("_")}
    root = GraphQLObjectType("Query", fields, description=query.description)
    types = [
        each
        for each in graph.type_map.values()
        if each not in (query, graph.subscription_type)
        and not each.name.startswith(("_", "link__", "federation__"))
    ]
    schema = GraphQLSchema(
        root, subscription=graph.subscription_type, types=types, description=graph.description
    )
    return print_schema(schema) + "\n"


def _query_type(graph: GraphQLSchema) -> GraphQLObjectType:
    assert graph.query_type is not None  # noqa: S101
    return graph.query_type


def _for_router(resolve: GraphQLFieldResolver) -> GraphQLFieldResolver:
    def guarded(source: Any, info: GraphQLResolveInfo[Context], **arguments: Any) -> Any:
        info.context.check_router()
        return resolve(source, info, **arguments)

    return guarded


def _bypass_strawberry(graph: GraphQLSchema) -> None:
    """Let graphql-core call the resolvers of connections and of subscriptions.

    With arguments as they expect them.
    """
    for each in graph.type_map.values():
        if isinstance(each, GraphQLInputObjectType):
            definition = each.extensions["strawberry-definition"]
            each.out_type = partial(_instance, definition.origin)  # type: ignore[method-assign]
            for field in definition.fields:
                each.fields[NAMES.from_field(field)].out_name = field.python_name
        elif isinstance(each, GraphQLObjectType):
            for declared in each.fields.values():
                definition = declared.extensions.get("strawberry-definition")
                if definition is not None and RESOLVE in definition.metadata:
                    if definition.is_subscription:
                        declared.subscribe = definition.metadata[RESOLVE]
                        declared.resolve = _event_value
                    else:
                        declared.resolve = definition.metadata[RESOLVE]
                    for argument in definition.arguments:
                        name = NAMES.from_argument(argument)
                        declared.args[name].out_name = argument.python_name


def _event_value(event: Any, *_: object, **__: object) -> Any:
    if isinstance(event, Exception):
        raise event
    return event


def _instance(of_type: type[Any], values: dict[str, Any]) -> Any:
    return of_type(**values)


def _inputs(graph: GraphQLSchema) -> Iterator[GraphQLArgument | GraphQLInputField]:
    for each in graph.type_map.values():
        if isinstance(each, GraphQLInputObjectType):
            yield from each.fields.values()
        elif isinstance(each, GraphQLObjectType):
            for field in each.fields.values():
                yield from field.args.values()
