"""A subscription through Hive Gateway, which subscribes to the gateway by Server-Sent Events.

Apollo's gateway in JavaScript has no subscriptions.
"""

import pytest

from gateway.dev import aws_headers
from gateway.sandbox import CALLERS
from tests.clients.live_clients import ADA, LiveClient, Program
from tests.federation.graphs import Graph
from tests.processes import until
from tests.telemetry.programs import metric

JOB = """subscription Job($arn: String!) { audienceGenerationJob(audienceGenerationJobArn: $arn) {
  name status reviews(first: 1) { edges { node { text } } } } }"""
DENIED = dict(aws_headers(CALLERS["denied"]))

pytestmark = pytest.mark.parametrize("shared_graph", ["hive.mjs"], indirect=True)


def client(graph: Graph, program: Program, headers: dict[str, str]) -> LiveClient:
    """Return graphql-sse's client of the router."""
    return LiveClient("graphql-sse", program, f"{graph.router.url}/graphql", headers)


def watches(graph: Graph) -> float:
    return metric(graph.gateway.url, "gateway_watches")


def test_a_job_is_watched_until_it_is_settled(graph: Graph, live_program: Program) -> None:
    arn = graph.sandbox.start_job()
    stream = client(graph, live_program, ADA).subscribe(JOB, {"arn": arn})
    until(lambda: stream.statuses == ["CREATE_PENDING"])
    graph.sandbox.set_job_status(arn, "CREATE_IN_PROGRESS")
    until(lambda: len(stream.statuses) > 1)
    graph.sandbox.set_job_status(arn, "ACTIVE")
    until(lambda: stream.is_complete)

    assert stream.statuses == ["CREATE_PENDING", "CREATE_IN_PROGRESS", "ACTIVE"]
    assert stream.errors == []
    until(lambda: watches(graph) == 0)


def test_each_event_has_fields_of_the_other_subgraph(graph: Graph, live_program: Program) -> None:
    stream = client(graph, live_program, ADA).subscribe(JOB, {"arn": graph.reviewed[0]})
    until(lambda: stream.is_complete)

    (data,) = stream.data
    job = data["audienceGenerationJob"]
    assert job["name"] == graph.of_ada["name"]
    assert job["reviews"] == {"edges": [{"node": {"text": "Review 1 of job 1"}}]}


def test_the_poll_stops_when_the_client_of_the_router_leaves(
    graph: Graph, live_program: Program
) -> None:
    stream = client(graph, live_program, ADA).subscribe(JOB, {"arn": graph.sandbox.start_job()})
    until(lambda: stream.statuses)
    watched = watches(graph)
    stream.leave()

    assert watched == 1
    until(lambda: watches(graph) == 0)


@pytest.mark.parametrize(
    ("headers", "code"), [(DENIED, "FORBIDDEN"), ({}, "UNAUTHENTICATED")], ids=["denied", "none"]
)
def test_an_error_has_its_code(
    graph: Graph, live_program: Program, headers: dict[str, str], code: str
) -> None:
    stream = client(graph, live_program, headers).subscribe(JOB, {"arn": graph.sandbox.start_job()})
    until(lambda: stream.errors)

    (error,) = stream.errors
    assert error["codes"] == [code]
