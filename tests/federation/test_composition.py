"""The schema composed with those of other subgraphs, by the compositions of three makers."""

import re
from collections.abc import Mapping

import pytest
from graphql import (
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    ObjectTypeDefinitionNode,
    UnionTypeDefinitionNode,
    build_schema,
    find_breaking_changes,
    parse,
)

from gateway.graph.schema import build_schema as build_our_schema
from gateway.graph.schema import client_sdl, executable_schema, subgraph_sdl
from tests.federation.neighbours import ENTITIES, OUR_SDL, PLAIN_NAMES, PREFIX, SDLS, field_name
from tests.federation.routers import COMPOSITIONS, ROOT, Composition, compose
from tests.gateways import Gateway, Sandbox, gateway_over

SERVICE = "{ _service { sdl } }"
OURS = {"audience": OUR_SDL}
WITHOUT_ROOT_NODE = {"audience": subgraph_sdl(root_node=False)}
DOCUMENTED = (
    (ROOT / "docs/federation.md").read_text().partition("```graphql\n")[2].partition("```")[0]
)

IN_README = (
    (ROOT / "README.md").read_text().partition("/teams.graphql <<'END'\n")[2].partition("END")[0]
)

GRAPHS: dict[str, Mapping[str, str]] = {
    "alone": OURS,
    "alone without root node": WITHOUT_ROOT_NODE,
    "with two in Relay's style": {
        **WITHOUT_ROOT_NODE,
        **{name: SDLS[name] for name in ("reviews", "campaigns")},
    },
    "with the owner of collaborations": {**OURS, "teams": SDLS["teams"]},
    "with one that names each entity by id": {**OURS, "directory": SDLS["directory"]},
    "with one that has types of the plain names": {**OURS, "plain": SDLS["plain"]},
    "with the documentation's": {**OURS, "example": DOCUMENTED},
    "with that of README.md": {**OURS, "teams": IN_README},
    "with all of these": {**WITHOUT_ROOT_NODE, **SDLS},
}
"""Subgraphs by name, each with its SDL."""

CLASHES: dict[str, tuple[Mapping[str, str], str]] = {
    "two root nodes": ({**OURS, "reviews": SDLS["reviews"]}, "node"),
    "two gateways": ({**OURS, "other": WITHOUT_ROOT_NODE["audience"]}, "audienceGenerationJobs"),
}
"""Subgraphs that do not compose, with a root field that both have."""


@pytest.fixture(scope="module")
def composed() -> dict[str, dict[str, Composition]]:
    """Compose all graphs at once."""
    graphs = {**GRAPHS, **{name: subgraphs for name, (subgraphs, _) in CLASHES.items()}}
    return compose(
        {
            graph: {name: (f"http://{name}.invalid/", sdl) for name, sdl in subgraphs.items()}
            for graph, subgraphs in graphs.items()
        },
        *COMPOSITIONS,
    )


def api_of(composition: Composition) -> GraphQLSchema:
    assert composition.api is not None, composition.errors
    return build_schema(composition.api)


def fields(schema: GraphQLSchema, type_name: str) -> set[str]:
    found = schema.type_map[type_name]
    assert isinstance(found, GraphQLObjectType)
    return set(found.fields)


def test_the_service_sdl_is_the_committed_schema(gateway: Gateway) -> None:
    assert gateway.ask(SERVICE).data["_service"]["sdl"].strip() == OUR_SDL.strip()


@pytest.mark.parametrize("introspection", [True, False])
def test_the_service_sdl_needs_no_caller(sandbox: Sandbox, *, introspection: bool) -> None:
    """A registry has no AWS credentials; introspection may be off."""
    with gateway_over(sandbox, introspection=introspection) as gateway:
        answer = gateway.ask(SERVICE, caller=None)
    assert answer.status == 200
    assert answer.data["_service"]["sdl"].strip() == OUR_SDL.strip()
    assert sandbox.calls == []


def test_root_node_is_all_that_the_setting_removes(sandbox: Sandbox) -> None:
    with gateway_over(sandbox, root_node=False) as gateway:
        sdl = gateway.ask(SERVICE).data["_service"]["sdl"]
    assert sdl.strip() == WITHOUT_ROOT_NODE["audience"].strip()
    assert set(sdl.splitlines()) <= set(OUR_SDL.splitlines())
    assert "interface Node {" in sdl
    assert "node(" not in sdl


@pytest.mark.parametrize("composition", COMPOSITIONS)
@pytest.mark.parametrize("graph", GRAPHS)
def test_it_composes(
    composed: dict[str, dict[str, Composition]], graph: str, composition: str
) -> None:
    """Without a hint, and for clients everything stays as it is."""
    result = composed[graph][composition]
    assert (result.errors, result.hints) == ([], [])
    ours = build_schema(client_sdl(root_node=GRAPHS[graph]["audience"] == OUR_SDL))
    api = api_of(result)
    assert find_breaking_changes(ours, api) == []
    assert not {name for name in api.type_map if name.startswith("_") and name[:2] != "__"}


@pytest.mark.parametrize("composition", COMPOSITIONS)
@pytest.mark.parametrize("clash", CLASHES)
def test_it_does_not_compose_with(
    composed: dict[str, dict[str, Composition]], clash: str, composition: str
) -> None:
    """A router could ask either of the two: there is an error, and it names the root field."""
    result = composed[clash][composition]
    _, field = CLASHES[clash]
    assert result.supergraph is result.api is None
    assert any(field in error["message"] for error in result.errors)
    assert {error["code"] for error in result.errors} <= {None, "INVALID_FIELD_SHARING"}


@pytest.mark.parametrize("composition", COMPOSITIONS)
def test_the_graph_has_the_fields_of_all(
    composed: dict[str, dict[str, Composition]], composition: str
) -> None:
    api = api_of(composed["with all of these"][composition])
    assert api.description is None
    assert fields(api, "Collaboration") == {*("id", "number", "name", "audienceGenerationJobs")}
    assert fields(api, "AudienceGenerationJob") >= {"name", "exportJobs", "reviews"}
    assert fields(api, "ConfiguredAudienceModel") >= {"name", "audienceGenerationJobs", "campaigns"}
    assert fields(api, "Directory") == {field_name(name) for name in ENTITIES}
    assert PLAIN_NAMES
    for name in PLAIN_NAMES:
        assert fields(api, name) == {"id", "label"}
        assert PREFIX + name in api.type_map


def test_every_type_with_an_id_is_an_entity() -> None:
    definitions = parse(OUR_SDL).definitions
    objects = [each for each in definitions if isinstance(each, ObjectTypeDefinitionNode)]
    with_id = {
        each.name.value
        for each in objects
        if any(field.name.value == "id" for field in each.fields or ())
    }
    (union,) = (
        {member.name.value for member in each.types or ()}
        for each in definitions
        if isinstance(each, UnionTypeDefinitionNode) and each.name.value == "_Entity"
    )
    assert with_id == union == set(ENTITIES)


def test_every_value_type_is_shareable() -> None:
    """Value types are all but roots, entities, connections and edges."""
    own_types = {
        "Query",
        "Subscription",
        "AudienceGenerationJobChange",
        "_Service",
    }
    for name, directives in directives_by_type(OUR_SDL).items():
        own = name in own_types or "key" in directives or name.endswith(("Connection", "Edge"))
        assert ("shareable" in directives) != own, name


SHARED = {"Query", "Subscription", "Node", "PageInfo", "DateTime", "Collaboration"}
"""Types that other subgraphs have too: composition takes the description of one for all."""


@pytest.mark.parametrize("name", sorted(SHARED))
def test_shared_types_are_described_for_all_subgraphs(name: str) -> None:
    shared = executable_schema(build_our_schema()).type_map[name]
    described = {name: shared.description}
    if name in {"Node", "PageInfo"}:
        assert isinstance(shared, GraphQLObjectType | GraphQLInterfaceType)
        described |= {field: each.description for field, each in shared.fields.items()}
    for text in described.values():
        assert text
        assert not re.search("AWS|gateway|upstream|subgraph", text), text


def directives_by_type(sdl: str) -> dict[str, set[str]]:
    return {
        each.name.value: {directive.name.value for directive in each.directives or ()}
        for each in parse(sdl).definitions
        if isinstance(each, ObjectTypeDefinitionNode)
    }
