"""The other subgraphs of a company's graph, each for a kind of neighbour that the gateway has."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphql import ObjectTypeDefinitionNode, TypeDefinitionNode, parse

from tests.federation.routers import ROOT, node_server
from tests.gateways import http

OUR_SDL = (ROOT / "schema.graphql").read_text()
FOLDER = Path(__file__).parent / "neighbours"
FEDERATION = (
    'extend schema @link(url: "https://specs.apollo.dev/federation/v2.9", import: ["@key"])'
)
PREFIX = "CleanRooms"


def _definitions() -> list[TypeDefinitionNode]:
    return [each for each in parse(OUR_SDL).definitions if isinstance(each, TypeDefinitionNode)]


def _keyed() -> list[ObjectTypeDefinitionNode]:
    return [
        each
        for each in _definitions()
        if isinstance(each, ObjectTypeDefinitionNode)
        and any(directive.name.value == "key" for directive in each.directives or ())
    ]


ENTITIES = sorted(each.name.value for each in _keyed())
"""Our types with a key."""

NODES = sorted(each.name.value for each in _keyed() if each.interfaces)
"""Those that implement `Node`."""

PLAIN_NAMES = sorted(
    each.name.value.removeprefix(PREFIX)
    for each in _definitions()
    if each.name.value.startswith(PREFIX)
)
"""What our prefixed types would be called without their prefix."""


def field_name(type_name: str) -> str:
    return type_name[0].lower() + type_name[1:]


def _directory() -> str:
    """Write a subgraph that names each of our entities by its id, and finds any node."""
    stubs = (
        f"type {name} {'implements Node' if name in NODES else ''}"
        ' @key(fields: "id", resolvable: false) { id: ID! }'
        for name in ENTITIES
    )
    fields = (f"{field_name(name)}: {name}" for name in ENTITIES)
    return "\n".join(
        (
            FEDERATION,
            "interface Node { id: ID! }",
            *stubs,
            f"type Directory {{ {' '.join(fields)} }}",
            "type Query { directory: Directory object(id: ID!): Node }",
        )
    )


def _plain() -> str:
    """Write a subgraph whose types have the plain names, and nothing else in common with ours."""
    types = (f"type {name} {{ id: ID! label: String! }}" for name in PLAIN_NAMES)
    fields = (f"{field_name(name)}: {name}" for name in PLAIN_NAMES)
    return "\n".join((FEDERATION, *types, f"type Query {{ {' '.join(fields)} }}"))


SDLS: Mapping[str, str] = {
    **{path.stem: path.read_text() for path in sorted(FOLDER.glob("*.graphql"))},
    "directory": _directory(),
    "plain": _plain(),
}
"""Name -> SDL of each neighbour."""


@dataclass(frozen=True)
class Neighbours:
    """Running neighbours, all of one process."""

    url: str

    def received(self) -> list[Any]:
        """Return all requests so far: the subgraph, the headers and the query of each."""
        requests: list[Any] = http("GET", self.url).json()
        return requests

    def subgraphs(self) -> dict[str, tuple[str, str]]:
        """Return the URL and the SDL of each."""
        return {name: (f"{self.url}/{name}", sdl) for name, sdl in SDLS.items()}


@contextlib.contextmanager
def running_neighbours(data: Mapping[str, Any]) -> Iterator[Neighbours]:
    """Serve the neighbours. Their data are root fields, or what `neighbours.mjs` reads."""
    with node_server("neighbours.mjs", json.dumps({"sdls": SDLS, "data": data})) as url:
        yield Neighbours(url)
