"""Of AWS's objects exactly what the schema can show is kept, and in a request what it selects."""

import re
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from graphql import (
    GraphQLObjectType,
    get_named_type,
    get_nullable_type,
    is_list_type,
)

from gateway.app import create_app
from gateway.graph.node import RESOURCE_TYPES
from gateway.graph.projections import projections
from gateway.graph.schema import build_schema, executable_schema
from gateway.graph.types.resource_type import COST, FieldCost
from gateway.settings import Settings
from gateway.upstream.model import row_shape
from tests.gateways import Gateway, Sandbox
from tests.hostile.maximal_upstream import MaximalUpstream
from tests.serving import serve

SCHEMA = executable_schema(build_schema())
TYPE_OF = {
    operation: name
    for name, resource in RESOURCE_TYPES.items()
    for operation in (resource.list_operation, f"Get{name}")
    if operation in projections()
}
UUID = "1b2c3d4e-0000-4000-8000-000000000001"
UNKNOWN = "addedByAws"
LINKS = {FieldCost.OBJECT, FieldCost.CONNECTION}
SMALL = {"tags": 2, "queryString": 10, "schema": 2, "trainingData": 2}


def with_unknown_members(value: Any) -> Any:
    """Add a member to each structure and map."""
    if isinstance(value, list):
        return [with_unknown_members(each) for each in value]
    if isinstance(value, dict):
        return {name: with_unknown_members(each) for name, each in value.items()} | {UNKNOWN: "x"}
    return value


def shown(value: Any, of_type: Any) -> Any:
    """Return what a type of the schema can show of a value; of maps, which it lists, everything."""
    if is_list_type(get_nullable_type(of_type)):
        inner = get_nullable_type(of_type).of_type
        return [shown(each, inner) for each in value] if isinstance(value, list) else value
    named = get_named_type(of_type)
    if not isinstance(named, GraphQLObjectType):
        return value
    fields = {name: field for name, field in named.fields.items() if name in value}
    return {name: shown(value[name], field.type) for name, field in fields.items()}


def an_object(operation: str) -> dict[str, Any]:
    """Return an object with each member of the service model, and with others."""
    upstream = MaximalUpstream(sizes=SMALL)
    found: Any
    if operation.startswith("Get"):
        found = orjson.loads(upstream._item(operation, "arn"))
    else:
        page = orjson.loads(upstream._page(operation, 0, "arn"))
        found = page[row_shape(operation).list_member][0]
    added: dict[str, Any] = with_unknown_members(found)
    return added


@pytest.mark.parametrize("operation", sorted(TYPE_OF))
def test_exactly_what_the_schema_can_show_is_kept(operation: str) -> None:
    whole = an_object(operation)
    kept = projections()[operation].apply(whole)

    assert kept == shown(whole, SCHEMA.type_map[TYPE_OF[operation]])
    assert UNKNOWN not in kept
    assert projections()[operation].apply(kept) == kept


def test_sensitive_members_are_not_kept() -> None:
    """AWS marks the SQL of a seed audience as sensitive."""
    operation = "GetAudienceGenerationJob"

    assert "sqlParameters" in an_object(operation)["seedAudience"]
    assert (
        "sqlParameters" not in projections()[operation].apply(an_object(operation))["seedAudience"]
    )


@pytest.fixture(scope="module")
def maximal_gateway() -> Iterator[Gateway]:
    with (
        serve(MaximalUpstream(sizes=SMALL)) as upstream_url,
        serve(create_app(Settings(upstream_url=upstream_url))) as url,
    ):
        yield Gateway(url, Sandbox(upstream_url))


def leaves(object_type: GraphQLObjectType) -> Iterator[str]:
    """Yield a selection for each field below, but not of the objects that it links to."""
    for name, field in object_type.fields.items():
        if field.extensions["strawberry-definition"].metadata.get(COST) in LINKS:
            continue
        named = get_named_type(field.type)
        if isinstance(named, GraphQLObjectType):
            yield from (f"{name} {{ {leaf} }}" for leaf in leaves(named))
        else:
            yield name


def at_path(value: Any, path: list[str]) -> Any:
    if isinstance(value, list):
        return [at_path(each, path) for each in value]
    return at_path(value[path[0]], path[1:]) if path else value


def has_null(value: Any) -> bool:
    values = value.values() if isinstance(value, dict) else value
    return value is None or (isinstance(value, dict | list) and any(map(has_null, values)))


@pytest.mark.parametrize("type_name", sorted(set(RESOURCE_TYPES) - {"AudienceExportJob"}))
def test_a_field_is_the_same_whatever_is_selected_beside_it(
    maximal_gateway: Gateway, type_name: str
) -> None:
    """Nothing is null, as AWS returned every member."""
    object_type = SCHEMA.type_map[type_name]
    assert isinstance(object_type, GraphQLObjectType)
    kind = re.sub(r"(?<!^)(?=[A-Z])", "-", type_name).lower()
    key = f"arn:aws:cleanrooms-ml:us-east-1:123456789012:{kind}/{UUID}"
    variables = {"id": b64encode(f"{type_name}:{key}".encode()).decode()}

    def ask(fields: str) -> dict[str, Any]:
        query = f"query($id: ID!) {{ node(id: $id) {{ ... on {type_name} {{ {fields} }} }} }}"
        found: dict[str, Any] = maximal_gateway.ask(query, variables).data["node"]
        return found

    whole = ask(" ".join(leaves(object_type)))
    assert not has_null(whole)
    for leaf in leaves(object_type):
        path = re.findall(r"\w+", leaf)
        assert at_path(ask(leaf), path) == at_path(whole, path)
        assert at_path(ask(f"other: {leaf}"), ["other", *path[1:]]) == at_path(whole, path)
