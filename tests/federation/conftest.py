"""Fixtures for tests of routers."""

from collections.abc import Iterator

import pytest

from tests.federation.graphs import Graph, running_graph
from tests.federation.routers import ROUTERS
from tests.gateways import Sandbox


@pytest.fixture(scope="session", params=ROUTERS, ids=lambda script: script.partition(".")[0])
def shared_graph(
    request: pytest.FixtureRequest,
    shared_sandbox: Sandbox,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Graph]:
    with running_graph(request.param, shared_sandbox, tmp_path_factory.mktemp("graph")) as graph:
        yield graph


@pytest.fixture
def graph(shared_graph: Graph, sandbox: Sandbox) -> Graph:
    """Return the running graph of each router, with no faults in the sandbox."""
    assert shared_graph.sandbox is sandbox
    return shared_graph
