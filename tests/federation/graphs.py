"""A running graph of the gateway and its neighbours, which extend each other's types."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.federation.neighbours import (
    ENTITIES,
    PLAIN_NAMES,
    Neighbours,
    field_name,
    running_neighbours,
)
from tests.federation.routers import router_over
from tests.gateways import Answer, Gateway, Sandbox, gateway_over

SERVICE = "{ _service { sdl } }"
JOBS = "query J($first: Int!) { audienceGenerationJobs(first: $first) { nodes { %s } } }"
ROW = "audienceGenerationJobArn name status"
SEEN = 60
LISTED = [name for name in ENTITIES if name != "Collaboration"]


@dataclass(frozen=True)
class Graph:
    """A running graph, and the jobs of its tests."""

    router: Gateway
    """The router has the gateway's interface."""
    gateway: Gateway
    neighbours: Neighbours
    of_ada: Any
    """The ARN, name and status of a job of ada's."""
    of_grace: Any
    gone: str
    """The ARN of a job that does not exist."""

    @property
    def reviewed(self) -> list[str]:
        """The ARNs of the jobs that have reviews, three each."""
        return [
            *(job["audienceGenerationJobArn"] for job in (self.of_ada, self.of_grace)),
            self.gone,
        ]

    @property
    def sandbox(self) -> Sandbox:
        return self.gateway.sandbox


def data_with_nulls(answer: Answer) -> Any:
    """Return data in which objects that do not exist are null.

    Hive Gateway lists an error of its own for each, because their fields may not be null.
    """
    codes = {error["extensions"]["code"] for error in answer.errors}
    assert codes <= {"INTERNAL_SERVER_ERROR"}
    assert "data" in answer.content
    return answer.content["data"]


def nodes(server: Gateway, fields: str, first: int = SEEN, caller: str = "ada") -> list[Any]:
    """Return fields of a caller's newest jobs."""
    found = server.ask(JOBS % fields, {"first": first}, caller=caller).data
    of_list: list[Any] = found["audienceGenerationJobs"]["nodes"]
    return of_list


def _nodes_of(gateway: Gateway, type_name: str, fields: str) -> list[Any]:
    root = f"{field_name(type_name)}s"
    found: list[Any] = gateway.ask(f"{{ {root}(first: {SEEN}) {{ nodes {{ {fields} }} }} }}").data[
        root
    ]["nodes"]
    return found


def _settled_job(gateway: Gateway, caller: str) -> Any:
    arguments = "first: 1, filter: {status: [ACTIVE]}"
    query = f"{{ audienceGenerationJobs({arguments}) {{ nodes {{ {ROW} }} }} }}"
    (job,) = gateway.ask(query, caller=caller).data["audienceGenerationJobs"]["nodes"]
    return job


def _data(gateway: Gateway, reviewed: Sequence[str]) -> dict[str, Any]:
    """Return what the neighbours know of ada's objects, and of jobs that are reviewed."""
    ids = {name: [each["id"] for each in _nodes_of(gateway, name, "id")] for name in LISTED}
    collaborations = {
        job["collaborationId"]: None
        for job in _nodes_of(gateway, "AudienceGenerationJob", "collaborationId")
        if job["collaborationId"]
    }
    ids["Collaboration"] = [*collaborations]
    return {
        "reviews": {"jobArns": reviewed},
        "campaigns": {"modelIds": ids["ConfiguredAudienceModel"][:3]},
        "teams": {"collaborationIds": [*collaborations]},
        "directory": {"directory": {field_name(n): {"id": ids[n][-1]} for n in ENTITIES}},
        "plain": {field_name(name): {"id": "1", "label": name} for name in PLAIN_NAMES},
    }


@contextlib.contextmanager
def running_graph(router_script: str, sandbox: Sandbox, folder: Path) -> Iterator[Graph]:
    """Run the gateway without root `node`, its neighbours, and a router over all."""
    with gateway_over(
        sandbox, root_node=False, cache_seconds=0, watch_seconds=0.1, caller_calls_per_second=0
    ) as gateway:
        of_ada, of_grace = (_settled_job(gateway, caller) for caller in ("ada", "grace"))
        arn = of_ada["audienceGenerationJobArn"]
        gone = arn[:-8] + ("00000000" if arn[-8:] != "00000000" else "11111111")
        reviewed = (arn, of_grace["audienceGenerationJobArn"], gone)
        with running_neighbours(_data(gateway, reviewed)) as neighbours:
            sdl = gateway.ask(SERVICE).data["_service"]["sdl"]
            subgraphs = {"audience": (f"{gateway.url}/graphql", sdl), **neighbours.subgraphs()}
            with router_over(router_script, folder, subgraphs) as url:
                yield Graph(Gateway(url, sandbox), gateway, neighbours, of_ada, of_grace, gone)
