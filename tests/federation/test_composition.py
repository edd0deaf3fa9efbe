"""The subgraph's schema composes, by Apollo's own composition."""

from pathlib import Path
from typing import Any

import pytest
from graphql import ObjectTypeDefinitionNode, UnionTypeDefinitionNode, parse

from tests.federation.parts import REVIEWS_SDL, ROOT, compose
from tests.gateways import Gateway, Sandbox, gateway_over

OURS = "http://audience.invalid/graphql"
THEIRS = "http://reviews.invalid/graphql"
SERVICE = "{ _service { sdl } }"


@pytest.fixture(scope="module")
def written() -> str:
    """Give the schema that is in the repository."""
    return (ROOT / "schema.graphql").read_text()


@pytest.fixture(scope="module")
def without_root_node(shared_sandbox: Sandbox) -> str:
    """Give the schema of a running gateway that leaves `node` and `nodes` to others."""
    with gateway_over(shared_sandbox, root_node=False) as gateway:
        sdl: str = gateway.ask(SERVICE).data["_service"]["sdl"]
    return sdl


def composes(folder: Path, subgraphs: dict[str, tuple[str, str]]) -> str:
    """Compose what must compose without an error and without a hint."""
    done: Any = compose(folder, subgraphs)
    assert done["errors"] == []
    assert done["hints"] == []
    supergraph: str = done["supergraphSdl"]
    return supergraph


def test_the_service_tells_the_schema_in_the_repository(gateway: Gateway, written: str) -> None:
    """What a registry reads from a running gateway is what was reviewed."""
    assert gateway.ask(SERVICE).data["_service"]["sdl"].strip() == written.strip()


@pytest.mark.parametrize("introspection", [True, False])
def test_the_service_needs_no_caller(
    sandbox: Sandbox, written: str, *, introspection: bool
) -> None:
    """A registry has no AWS credentials; the SDL is told with introspection off, too."""
    with gateway_over(sandbox, introspection=introspection) as gateway:
        answer = gateway.ask(SERVICE, caller=None)
    assert answer.status == 200
    assert answer.data["_service"]["sdl"].strip() == written.strip()
    assert sandbox.calls == []


def test_it_composes_alone(tmp_path: Path, written: str) -> None:
    """With root `node` and `nodes` in it."""
    supergraph = composes(tmp_path, {"audience": (OURS, written)})
    assert "node(" in supergraph
    assert "nodes(" in supergraph


def test_it_composes_alone_without_root_node(tmp_path: Path, without_root_node: str) -> None:
    """Nothing in the supergraph asks for `node` or `nodes` any more."""
    supergraph = composes(tmp_path, {"audience": (OURS, without_root_node)})
    assert "node(" not in supergraph
    assert "nodes(" not in supergraph


def test_nothing_but_root_node_is_left_out(written: str, without_root_node: str) -> None:
    """The setting removes two fields with their descriptions, and no line else."""
    kept = set(without_root_node.splitlines())
    assert kept <= set(written.splitlines())
    assert "interface Node {" in kept
    assert "node(" not in without_root_node


def test_it_composes_with_another_relay_subgraph(tmp_path: Path, without_root_node: str) -> None:
    """One that has a `PageInfo`, a `Node` and a root `node` of its own, and extends our job."""
    subgraphs = {"audience": (OURS, without_root_node), "reviews": (THEIRS, REVIEWS_SDL)}
    supergraph = composes(tmp_path, subgraphs)
    for key in ('key: "id"', 'key: "audienceGenerationJobArn"'):
        assert f"@join__type(graph: AUDIENCE, {key})" in supergraph
    assert '@join__type(graph: AUDIENCE, key: "id", resolvable: false)' in supergraph


def test_two_root_nodes_do_not_compose(tmp_path: Path, written: str) -> None:
    """Why the setting exists: `node` in both subgraphs is the one thing that is refused."""
    done = compose(tmp_path, {"audience": (OURS, written), "reviews": (THEIRS, REVIEWS_SDL)})
    assert [error["code"] for error in done["errors"]] == ["INVALID_FIELD_SHARING"]
    assert "Query.node" in done["errors"][0]["message"]


def test_every_type_with_a_key_is_an_entity(written: str) -> None:
    """The union `_Entity` is of just these."""
    definitions = parse(written).definitions
    (union,) = (
        {member.name.value for member in each.types or ()}
        for each in definitions
        if isinstance(each, UnionTypeDefinitionNode) and each.name.value == "_Entity"
    )
    assert union == {name for name, marks in marked(written).items() if "key" in marks}
    assert len(union) == 5


def test_every_value_type_is_shareable(written: str) -> None:
    """Another subgraph may have what is no object with an identity, and no part of our lists."""
    ours = {"Query", "_Service", "AudienceExportJob"}
    for name, marks in marked(written).items():
        own = name in ours or "key" in marks or name.endswith(("Connection", "Edge"))
        assert ("shareable" in marks) != own, name


def marked(sdl: str) -> dict[str, set[str]]:
    """Give the directives of each object type."""
    return {
        each.name.value: {directive.name.value for directive in each.directives or ()}
        for each in parse(sdl).definitions
        if isinstance(each, ObjectTypeDefinitionNode)
    }
