"""A graph of the gateway and another subgraph, which extend each other's types."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.federation.routers import REVIEWS_SDL, node_server, router_over
from tests.gateways import Answer, Gateway, Sandbox, gateway_over

SERVICE = "{ _service { sdl } }"
JOBS = "query J($first: Int!) { audienceGenerationJobs(first: $first) { nodes { %s } } }"
ROW = "audienceGenerationJobArn name status"
# The status of the sandbox's newest jobs changes; later ones are final.
NEWEST, SEEN = 20, 60
FINAL = {"ACTIVE", "CREATE_FAILED"}


@dataclass(frozen=True)
class Graph:
    """A running graph, and the jobs of its tests."""

    router: Gateway
    """The router has the gateway's interface."""
    gateway: Gateway
    reviews_url: str
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


def _final_job(gateway: Gateway, caller: str) -> Any:
    jobs = nodes(gateway, ROW, SEEN, caller)[NEWEST:]
    return next(job for job in jobs if job["status"] in FINAL)


@contextlib.contextmanager
def running_graph(router_script: str, sandbox: Sandbox, folder: Path) -> Iterator[Graph]:
    """Run the gateway without root `node`, the other subgraph, and a router over both."""
    with gateway_over(sandbox, root_node=False, cache_seconds=0, watch_seconds=0.1) as gateway:
        of_ada, of_grace = (_final_job(gateway, caller) for caller in ("ada", "grace"))
        arn = of_ada["audienceGenerationJobArn"]
        gone = arn[:-8] + ("00000000" if arn[-8:] != "00000000" else "11111111")
        reviewed = (arn, of_grace["audienceGenerationJobArn"], gone)
        with node_server("reviews.mjs", *reviewed) as reviews_url:
            sdl = gateway.ask(SERVICE).data["_service"]["sdl"]
            subgraphs = {
                "audience": (f"{gateway.url}/graphql", sdl),
                "reviews": (reviews_url, REVIEWS_SDL),
            }
            with router_over(router_script, folder, subgraphs) as url:
                yield Graph(Gateway(url, sandbox), gateway, reviews_url, of_ada, of_grace, gone)
