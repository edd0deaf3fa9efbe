"""The subgraph's schema in Apollo's own composition."""

from pathlib import Path
from typing import Any

import pytest
from graphql import ObjectTypeDefinitionNode, UnionTypeDefinitionNode, parse

from tests.federation.routers import REVIEWS_SDL, ROOT, compose
from tests.gateways import Gateway, Sandbox, gateway_over

OUR_URL = "http://audience.invalid/graphql"
THEIR_URL = "http://reviews.invalid/graphql"
SERVICE = "{ _service { sdl } }"


@pytest.fixture(scope="module")
def committed_sdl() -> str:
    return (ROOT / "schema.graphql").read_text()


@pytest.fixture(scope="module")
def without_root_node(shared_sandbox: Sandbox) -> str:
    """Read the schema of a gateway without the root fields `node` and `nodes`."""
    with gateway_over(shared_sandbox, root_node=False) as gateway:
        sdl: str = gateway.ask(SERVICE).data["_service"]["sdl"]
    return sdl


def compose_cleanly(folder: Path, subgraphs: dict[str, tuple[str, str]]) -> str:
    """Compose subgraphs that must have neither errors nor hints."""
    done: Any = compose(folder, subgraphs)
    assert done["errors"] == []
    assert done["hints"] == []
    supergraph: str = done["supergraphSdl"]
    return supergraph


def test_the_service_sdl_is_the_committed_schema(gateway: Gateway, committed_sdl: str) -> None:
    assert gateway.ask(SERVICE).data["_service"]["sdl"].strip() == committed_sdl.strip()


@pytest.mark.parametrize("introspection", [True, False])
def test_the_service_sdl_needs_no_caller(
    sandbox: Sandbox, committed_sdl: str, *, introspection: bool
) -> None:
    """A registry has no AWS credentials; introspection may be off."""
    with gateway_over(sandbox, introspection=introspection) as gateway:
        answer = gateway.ask(SERVICE, caller=None)
    assert answer.status == 200
    assert answer.data["_service"]["sdl"].strip() == committed_sdl.strip()
    assert sandbox.calls == []


def test_it_composes_alone(tmp_path: Path, committed_sdl: str) -> None:
    supergraph = compose_cleanly(tmp_path, {"audience": (OUR_URL, committed_sdl)})
    assert "node(" in supergraph
    assert "nodes(" in supergraph


def test_it_composes_alone_without_root_node(tmp_path: Path, without_root_node: str) -> None:
    supergraph = compose_cleanly(tmp_path, {"audience": (OUR_URL, without_root_node)})
    assert "node(" not in supergraph
    assert "nodes(" not in supergraph


def test_root_node_is_all_that_the_setting_removes(
    committed_sdl: str, without_root_node: str
) -> None:
    kept = set(without_root_node.splitlines())
    assert kept <= set(committed_sdl.splitlines())
    assert "interface Node {" in kept
    assert "node(" not in without_root_node


def test_it_composes_with_another_relay_subgraph(tmp_path: Path, without_root_node: str) -> None:
    """It has its own `PageInfo`, `Node` and root `node`, and extends our job."""
    subgraphs = {"audience": (OUR_URL, without_root_node), "reviews": (THEIR_URL, REVIEWS_SDL)}
    supergraph = compose_cleanly(tmp_path, subgraphs)
    for key in ('key: "id"', 'key: "audienceGenerationJobArn"'):
        assert f"@join__type(graph: AUDIENCE, {key})" in supergraph
    assert '@join__type(graph: AUDIENCE, key: "id", resolvable: false)' in supergraph


def test_two_root_nodes_do_not_compose(tmp_path: Path, committed_sdl: str) -> None:
    """This is what the setting is for."""
    done = compose(
        tmp_path, {"audience": (OUR_URL, committed_sdl), "reviews": (THEIR_URL, REVIEWS_SDL)}
    )
    assert [error["code"] for error in done["errors"]] == ["INVALID_FIELD_SHARING"]
    assert "Query.node" in done["errors"][0]["message"]


def test_every_type_with_a_key_is_an_entity(committed_sdl: str) -> None:
    definitions = parse(committed_sdl).definitions
    (union,) = (
        {member.name.value for member in each.types or ()}
        for each in definitions
        if isinstance(each, UnionTypeDefinitionNode) and each.name.value == "_Entity"
    )
    assert union == {
        name
        for name, directives in directives_by_type(committed_sdl).items()
        if "key" in directives
    }
    assert len(union) == 5


def test_every_value_type_is_shareable(committed_sdl: str) -> None:
    """Value types are all but roots, entities, connections and edges."""
    own_types = {
        "Query",
        "Subscription",
        "AudienceGenerationJobChange",
        "AudienceExportJob",
        "_Service",
    }
    for name, directives in directives_by_type(committed_sdl).items():
        own = name in own_types or "key" in directives or name.endswith(("Connection", "Edge"))
        assert ("shareable" in directives) != own, name


def directives_by_type(sdl: str) -> dict[str, set[str]]:
    return {
        each.name.value: {directive.name.value for directive in each.directives or ()}
        for each in parse(sdl).definitions
        if isinstance(each, ObjectTypeDefinitionNode)
    }
