"""The schema is the one that is published, fully described, and shaped as Relay demands."""

from enum import Enum
from pathlib import Path

import pytest
from botocore.model import Shape, StructureShape
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    is_list_type,
    is_non_null_type,
    is_specified_scalar_type,
)

from gateway.graph.enums import AudienceGenerationJobStatus, AudienceSizeType, WorkerComputeType
from gateway.graph.schema import core_schema, sdl
from gateway.upstream.model import service_model

PUBLISHED = Path(__file__).parents[2] / "schema.graphql"


@pytest.fixture(scope="module")
def schema() -> GraphQLSchema:
    """Give the schema that is executed."""
    return core_schema()


def object_type(schema: GraphQLSchema, name: str) -> GraphQLObjectType:
    """Look an object type up."""
    found = schema.type_map[name]
    assert isinstance(found, GraphQLObjectType)
    return found


def test_the_published_schema_is_the_schema() -> None:
    """`make schema` was run: schema.graphql is what `gateway schema` prints."""
    assert PUBLISHED.read_text() == sdl()


def test_everything_is_described(schema: GraphQLSchema) -> None:
    """Each type, field, argument and value has a description that ends as a sentence does."""
    lacking = []
    for name, kind in schema.type_map.items():
        if name.startswith("__") or is_specified_scalar_type(kind):
            continue
        described = {name: kind.description}
        if isinstance(kind, GraphQLEnumType):
            described |= {f"{name}.{value}": v.description for value, v in kind.values.items()}
        if isinstance(kind, GraphQLObjectType | GraphQLInterfaceType | GraphQLInputObjectType):
            described |= {f"{name}.{f}": v.description for f, v in kind.fields.items()}
        if isinstance(kind, GraphQLObjectType):
            described |= {
                f"{name}.{f}({a})": argument.description
                for f, field in kind.fields.items()
                for a, argument in field.args.items()
            }
        lacking += [
            place for place, text in described.items() if not text or text.strip()[-1] not in ".`"
        ]
    assert lacking == []


def test_relay_1_to_10_and_25_connections_have_their_shape(schema: GraphQLSchema) -> None:
    """Every `…Connection` has edges of `…Edge` with node and cursor, and a `PageInfo!`."""
    connections = [name for name in schema.type_map if name.endswith("Connection")]
    assert connections == ["AudienceGenerationJobConnection"]
    for name in connections:
        connection = object_type(schema, name).fields
        edge_type = name.removesuffix("Connection") + "Edge"
        assert str(connection["edges"].type) == f"[{edge_type}!]!"
        assert str(connection["pageInfo"].type) == "PageInfo!"
        edge = object_type(schema, edge_type).fields
        assert str(edge["cursor"].type) == "String!"
        assert not is_list_type(edge["node"].type)
    info = {name: str(f.type) for name, f in object_type(schema, "PageInfo").fields.items()}
    assert info == {
        "hasNextPage": "Boolean!",
        "hasPreviousPage": "Boolean!",
        "startCursor": "String",
        "endCursor": "String",
    }
    arguments = object_type(schema, "Query").fields["audienceGenerationJobs"].args
    assert {name: str(argument.type) for name, argument in arguments.items()} == {
        "first": "Int",
        "after": "String",
        "last": "Int",
        "before": "String",
        "collaborationId": "ID",
        "configuredAudienceModelArn": "String",
        "region": "String",
    }


def test_relay_26_28_32_33_36_nodes_have_their_shape(schema: GraphQLSchema) -> None:
    """`Node` has one field, `node` one argument, `nodes` one list argument of non-nulls."""
    node = schema.type_map["Node"]
    assert isinstance(node, GraphQLInterfaceType)
    assert {name: str(f.type) for name, f in node.fields.items()} == {"id": "ID!"}
    query = object_type(schema, "Query").fields
    assert {name: str(a.type) for name, a in query["node"].args.items()} == {"id": "ID!"}
    assert {name: str(a.type) for name, a in query["nodes"].args.items()} == {"ids": "[ID!]!"}
    assert str(query["node"].type) == "Node"
    assert str(query["nodes"].type) == "[Node]"


def test_root_fields_are_nullable(schema: GraphQLSchema) -> None:
    """One failing root field leaves the rest of an answer whole."""
    fields = object_type(schema, "Query").fields
    assert [name for name, f in fields.items() if is_non_null_type(f.type)] == []


MODELLED = {
    "AudienceGenerationJob": ("GetAudienceGenerationJobResponse", set()),
    "StatusDetails": ("StatusDetails", set()),
    # What AWS marks as sensitive is left out.
    "AudienceGenerationJobDataSource": ("AudienceGenerationJobDataSource", {"sqlParameters"}),
    "S3ConfigMap": ("S3ConfigMap", set()),
    "ComputeConfiguration": ("ComputeConfiguration", set()),
    "WorkerComputeConfiguration": ("WorkerComputeConfiguration", set()),
    "AudienceQualityMetrics": ("AudienceQualityMetrics", set()),
    "RelevanceMetric": ("RelevanceMetric", set()),
    "AudienceSize": ("AudienceSize", set()),
}
OURS = {"AudienceGenerationJob": {"id"}}


@pytest.mark.parametrize("name", MODELLED)
def test_types_have_the_members_of_their_shapes(schema: GraphQLSchema, name: str) -> None:
    """Each member of the service model's shape is there by its own name, and no other."""
    shape_name, left_out = MODELLED[name]
    shape = service_model().shape_for(shape_name)
    assert isinstance(shape, StructureShape)
    fields = object_type(schema, name).fields
    assert set(fields) - OURS.get(name, set()) == set(shape.members) - left_out
    for member in set(fields) & set(shape.members):
        required = member in shape.required_members
        assert is_non_null_type(fields[member].type) == required, member


@pytest.mark.parametrize(
    ("enumeration", "shape"),
    [
        (AudienceGenerationJobStatus, "AudienceGenerationJobStatus"),
        (AudienceSizeType, "AudienceSizeType"),
        (WorkerComputeType, "WorkerComputeType"),
    ],
)
def test_enumerations_have_the_models_values_and_one_more(
    enumeration: type[Enum], shape: str
) -> None:
    """What the model lists is there, and UNKNOWN for what AWS adds tomorrow."""
    modelled: Shape = service_model().shape_for(shape)
    values = {member.value for member in enumeration}
    assert values == {*modelled.metadata["enum"], "UNKNOWN"}
