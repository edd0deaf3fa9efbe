"""The schema: what is in query.py as graphql-core knows it, and as text."""

from typing import Any

import strawberry
from graphql import GraphQLSchema, Undefined
from strawberry.schema.config import StrawberryConfig

from gateway.graph.query import Query
from gateway.graph.scalars import DATE_TIME, DateTime


def _build() -> strawberry.Schema:
    scalars: dict[object, Any] = {DateTime: DATE_TIME}
    schema = strawberry.Schema(query=Query, config=StrawberryConfig(scalar_map=scalars))
    for field in schema._schema.type_map["Query"].fields.values():  # type: ignore[attr-defined]  # noqa: SLF001
        for argument in field.args.values():
            # An absent argument and a null mean the same; Python's default is not the graph's.
            if argument.default_value is None:
                argument.default_value = Undefined
    return schema


_SCHEMA = _build()


def core_schema() -> GraphQLSchema:
    """Return the schema that is executed."""
    return _SCHEMA._schema  # noqa: SLF001  Strawberry has no public name for it


def sdl() -> str:
    """Return the schema as text, ending in a newline."""
    return _SCHEMA.as_str() + "\n"
