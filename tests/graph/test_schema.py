"""The schema is published, fully described, and has the shapes of Relay and of AWS's model."""

from pathlib import Path

import pytest
from botocore.model import Shape, StructureShape
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    SchemaDefinitionNode,
    get_named_type,
    graphql_sync,
    is_list_type,
    is_non_null_type,
    is_specified_scalar_type,
    parse,
)

from gateway.graph.schema import (
    Subgraph,
    build_schema,
    client_sdl,
    executable_schema,
    subgraph_sdl,
)
from gateway.upstream.model import service_model
from tests.gateways import Sandbox, gateway_over

FEDERATION = ("_", "link__", "federation__")
"""Prefixes of federation's own names."""

PUBLISHED = Path(__file__).parents[2] / "schema.graphql"


@pytest.fixture(scope="module")
def schema() -> GraphQLSchema:
    return executable_schema(build_schema())


def object_type(schema: GraphQLSchema, name: str) -> GraphQLObjectType:
    found = schema.type_map[name]
    assert isinstance(found, GraphQLObjectType)
    return found


def test_the_published_schema_is_up_to_date() -> None:
    """`make schema` regenerates it."""
    assert PUBLISHED.read_text() == subgraph_sdl()


def test_everything_is_described(schema: GraphQLSchema) -> None:
    """Each type, field, argument and value has a description that ends like a sentence."""
    lacking = []
    for name, kind in schema.type_map.items():
        if name.startswith(FEDERATION) or is_specified_scalar_type(kind):
            continue
        described = {name: kind.description}
        if isinstance(kind, GraphQLEnumType):
            described |= {f"{name}.{value}": v.description for value, v in kind.values.items()}
        if isinstance(kind, GraphQLObjectType | GraphQLInterfaceType | GraphQLInputObjectType):
            fields = {f: v for f, v in kind.fields.items() if not f.startswith(FEDERATION)}
            described |= {f"{name}.{f}": v.description for f, v in fields.items()}
        if isinstance(kind, GraphQLObjectType):
            described |= {
                f"{name}.{f}({a})": argument.description
                for f, field in kind.fields.items()
                if not f.startswith(FEDERATION)
                for a, argument in field.args.items()
            }
        lacking += [
            place for place, text in described.items() if not text or text.strip()[-1] not in ".`"
        ]
    assert lacking == []


def test_the_schema_describes_itself(schema: GraphQLSchema) -> None:
    """In introspection, which GraphiQL shows first, and in the form for clients.

    Not in the form for composition: a graph would take the description for its own.
    """
    introspected = graphql_sync(schema, "{ __schema { description } }").data
    assert introspected is not None
    description = introspected["__schema"]["description"]
    for word in ("X-Aws-Session-Token", "endCursor", "extensions.code", "X-Gateway-Cost"):
        assert word in description
    for sdl, expected in ((client_sdl(), description), (subgraph_sdl(), None)):
        (definition,) = (
            each for each in parse(sdl).definitions if isinstance(each, SchemaDefinitionNode)
        )
        assert (definition.description and definition.description.value) == expected


def everything(of: GraphQLObjectType, levels: int) -> str:
    """Select all fields of a type, and of the types of its fields."""
    parts = []
    for name, each in of.fields.items():
        inner = get_named_type(each.type)
        if not isinstance(inner, GraphQLObjectType):
            parts.append(name)
        elif levels:
            parts.append(f"{name} {{ {everything(inner, levels - 1)} }}")
    return " ".join(parts)


def test_the_whole_schema_can_be_introspected(schema: GraphQLSchema) -> None:
    """No field fails, on types of any kind."""
    selected = everything(object_type(schema, "__Schema"), 3)
    result = graphql_sync(schema, f"{{ __schema {{ {selected} }} }}")

    assert result.errors is None


def test_the_sdl_is_printed_once(monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox) -> None:
    printed = []
    print_sdl = Subgraph.as_str

    def recording(schema: Subgraph) -> str:
        printed.append(schema)
        return print_sdl(schema)

    monkeypatch.setattr(Subgraph, "as_str", recording)
    with gateway_over(sandbox) as gateway:
        for _ in range(2):
            service = gateway.ask("{ _service { sdl again: sdl } }", caller=None).data["_service"]
            assert service["sdl"] == service["again"] == PUBLISHED.read_text().strip()

    assert len(printed) == 1


def test_relay_1_to_10_and_25_connections_have_their_shape(schema: GraphQLSchema) -> None:
    """Each `…Connection` has edges of `…Edge` with node and cursor, and a `PageInfo!`."""
    connections = [name for name in schema.type_map if name.endswith("Connection")]
    assert sorted(connections) == [
        "AudienceExportJobConnection",
        "AudienceGenerationJobConnection",
        "AudienceModelConnection",
        "ConfiguredAudienceModelConnection",
        "TrainingDatasetConnection",
    ]
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
        "filter": "AudienceGenerationJobFilter",
        "orderBy": "AudienceGenerationJobOrder",
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


DOMAIN = ("Audience", "ConfiguredAudience", "TrainingDataset", "CleanRooms")
"""How the name of a type begins that no other subgraph has by chance."""

SHARED_NAMES = {
    *("Query", "Subscription", "Mutation", "PageInfo"),
    "Node",  # Relay's: interfaces of subgraphs merge
    "DateTime",  # scalars merge
    *("ChangeKind", "OrderDirection"),  # enums merge, and these have the usual values
    "Collaboration",  # an entity, which another subgraph may own
}
"""The other names. Composition merges these types with those of other subgraphs."""


def test_names_of_types_are_those_of_their_domain(schema: GraphQLSchema) -> None:
    """Two subgraphs cannot both have a `Tag`, so a new type must not take such a name."""
    others = {
        name
        for name, each in schema.type_map.items()
        if not name.startswith((*DOMAIN, *FEDERATION)) and not is_specified_scalar_type(each)
    }
    assert others <= SHARED_NAMES


def test_root_fields_are_nullable(schema: GraphQLSchema) -> None:
    """A failing root field leaves the others intact."""
    fields = object_type(schema, "Query").fields
    assert [name for name, f in fields.items() if is_non_null_type(f.type)] == [
        "_entities",
        "_service",
    ]


MODELLED: dict[str, tuple[str, set[str]]] = {
    "AudienceGenerationJob": ("GetAudienceGenerationJobResponse", set()),
    "ConfiguredAudienceModel": ("GetConfiguredAudienceModelResponse", set()),
    "AudienceModel": ("GetAudienceModelResponse", set()),
    "TrainingDataset": ("GetTrainingDatasetResponse", set()),
    "AudienceExportJob": ("AudienceExportJobSummary", set()),
    "AudienceSizeConfig": ("AudienceSizeConfig", set()),
    "ConfiguredAudienceModelOutputConfig": ("ConfiguredAudienceModelOutputConfig", set()),
    "AudienceDestination": ("AudienceDestination", set()),
    "CleanRoomsDataset": ("Dataset", set()),
    "CleanRoomsDatasetInputConfig": ("DatasetInputConfig", set()),
    "CleanRoomsColumnSchema": ("ColumnSchema", set()),
    "CleanRoomsDataSource": ("DataSource", set()),
    "CleanRoomsGlueDataSource": ("GlueDataSource", set()),
    "CleanRoomsStatusDetails": ("StatusDetails", set()),
    # What AWS marks as sensitive is left out.
    "AudienceGenerationJobDataSource": ("AudienceGenerationJobDataSource", {"sqlParameters"}),
    "CleanRoomsS3ConfigMap": ("S3ConfigMap", set()),
    "CleanRoomsComputeConfiguration": ("ComputeConfiguration", set()),
    "CleanRoomsWorkerComputeConfiguration": ("WorkerComputeConfiguration", set()),
    "AudienceQualityMetrics": ("AudienceQualityMetrics", set()),
    "CleanRoomsRelevanceMetric": ("RelevanceMetric", set()),
    "AudienceSize": ("AudienceSize", set()),
}
ADDED = {
    "AudienceGenerationJob": {"id", "configuredAudienceModel", "exportJobs", "collaboration"},
    "ConfiguredAudienceModel": {"id", "audienceModel", "audienceGenerationJobs"},
    "AudienceModel": {"id", "trainingDataset"},
    "TrainingDataset": {"id"},
    "AudienceExportJob": {"id", "audienceGenerationJob"},
}
"""Ids and links, which the model does not have."""
ROWS = {
    "AudienceGenerationJob": "AudienceGenerationJobSummary",
    "ConfiguredAudienceModel": "ConfiguredAudienceModelSummary",
    "AudienceModel": "AudienceModelSummary",
    "TrainingDataset": "TrainingDatasetSummary",
}
"""Fields that need a Get can fail by themselves, so they are nullable, unlike in the model."""


@pytest.mark.parametrize("name", MODELLED)
def test_types_have_the_members_of_their_shapes(schema: GraphQLSchema, name: str) -> None:
    """They have exactly those, by the same names."""
    shape_name, left_out = MODELLED[name]
    shape = service_model().shape_for(shape_name)
    assert isinstance(shape, StructureShape)
    fields = object_type(schema, name).fields
    assert set(fields) - ADDED.get(name, set()) == set(shape.members) - left_out
    for member in set(fields) & set(shape.members):
        row = service_model().shape_for(ROWS.get(name, shape_name))
        assert isinstance(row, StructureShape)
        required = member in row.required_members
        assert is_non_null_type(fields[member].type) == required, member


def test_enums_have_the_values_of_their_shapes_and_unknown(schema: GraphQLSchema) -> None:
    own = {"ChangeKind", "OrderDirection", "AudienceGenerationJobOrderField"}
    enums = {
        name: each
        for name, each in schema.type_map.items()
        if isinstance(each, GraphQLEnumType) and name not in own and not name.startswith(FEDERATION)
    }
    assert len(enums) == 11
    for name, enum in enums.items():
        shape: Shape = service_model().shape_for(name.removeprefix("CleanRooms"))
        values = {value.value for value in enum.values.values()}
        assert values == {*shape.metadata["enum"], "UNKNOWN"}, name
