"""A client's query of many jobs, which the other subgraph names.

Apollo Gateway fetches each job by a request; Hive Gateway merges them into one document.
"""

from typing import Any

import pytest

from gateway.sandbox import CALLERS
from tests.federation.graphs import Graph, data_with_nulls, nodes

GET = "GetAudienceGenerationJob"
ARN = "audienceGenerationJobArn"


def exports(first: int) -> str:
    return f"exportJobs(first: {first}) {{ nodes {{ name }} }}"


def job_fields(root_field: str, arns: list[str]) -> str:
    """Select a job by each alias. The selections differ, so that no router makes them one."""
    return " ".join(
        f'job{n}: {root_field}({ARN}: "{arn}") {{ name {exports(n + 1)} }}'
        for n, arn in enumerate(arns)
    )


@pytest.fixture
def arns(graph: Graph) -> list[str]:
    """Return the ARNs of 30 jobs of ada's, of which the first has exports."""
    query = f"{{ audienceExportJobs(first: 1) {{ nodes {{ {ARN} }} }} }}"
    (export,) = graph.gateway.ask(query).data["audienceExportJobs"]["nodes"]
    found = [export[ARN], *(job[ARN] for job in nodes(graph.gateway, ARN))]
    graph.sandbox.reset()
    return [*dict.fromkeys(found)][:30]


def directly(graph: Graph, arns: list[str]) -> dict[str, Any]:
    """Ask the gateway for each job."""
    answers = [
        graph.gateway.ask(
            f'{{ audienceGenerationJob({ARN}: "{arn}") {{ name {exports(n + 1)} }} }}'
        )
        for n, arn in enumerate(arns)
    ]
    graph.sandbox.reset()
    return {f"job{n}": answer.data["audienceGenerationJob"] for n, answer in enumerate(answers)}


@pytest.mark.parametrize("count", [12, 30])
@pytest.mark.parametrize("named", ["", "query Campaigns "], ids=["anonymous", "named"])
def test_a_query_of_many_jobs_is_answered_whole(
    graph: Graph, arns: list[str], count: int, named: str
) -> None:
    """Each job is one Get, with the caller's credentials."""
    expected = directly(graph, arns[:count])
    assert expected["job0"]["exportJobs"]["nodes"]
    answer = graph.router.ask(f"{named}{{ {job_fields('reviewedJob', arns[:count])} }}")
    assert answer.data == expected
    assert graph.sandbox.count(GET) == count
    keys = {call["access_key_id"] for call in graph.sandbox.calls}
    assert keys == {CALLERS["ada"].access_key_id}


def test_of_many_jobs_only_those_that_are_not_the_caller_s_are_null(
    graph: Graph, arns: list[str]
) -> None:
    expected = directly(graph, arns[:12])
    others = [graph.of_grace[ARN], graph.gone]
    answer = graph.router.ask(f"{{ {job_fields('reviewedJob', arns[:12] + others)} }}")
    assert data_with_nulls(answer) == {**expected, "job12": None, "job13": None}


def test_of_many_jobs_only_the_one_that_fails_is_null(graph: Graph, arns: list[str]) -> None:
    """The gateway's error reaches the client at its place."""
    expected = directly(graph, arns[:12])
    graph.sandbox.fault("denied", operation=GET, times=1)
    answer = graph.router.ask(f"{{ {job_fields('reviewedJob', arns[:12])} }}")
    (failed,) = [name for name, job in answer.content["data"].items() if job is None]
    assert answer.content["data"] == {**expected, failed: None}
    assert answer.code == "FORBIDDEN"
    assert answer.errors[0]["path"][0] == failed


def test_without_credentials_each_of_many_jobs_is_null(graph: Graph, arns: list[str]) -> None:
    answer = graph.router.ask(f"{{ {job_fields('reviewedJob', arns[:12])} }}", caller=None)
    assert answer.content["data"] == {f"job{n}": None for n in range(12)}
    assert {error["extensions"]["code"] for error in answer.errors} == {"UNAUTHENTICATED"}
    assert {error["path"][0] for error in answer.errors} == answer.content["data"].keys()
    assert graph.sandbox.calls == []


def test_jobs_of_two_fetches_are_answered(graph: Graph, arns: list[str]) -> None:
    """The client's jobs come from the gateway, and those of their reviews from both subgraphs."""
    fields = " ".join(
        f'job{n}: audienceGenerationJob({ARN}: "{arn}") {{'
        f" reviews {{ edges {{ node {{ job {{ {exports(n + 1)} }} }} }} }} }}"
        for n, arn in enumerate([graph.of_ada[ARN], *arns[:9]])
    )
    found = graph.router.ask(f"{{ {fields} }}").data
    expected = {"exportJobs": directly(graph, [graph.of_ada[ARN]])["job0"]["exportJobs"]}
    assert found["job0"]["reviews"]["edges"] == [{"node": {"job": expected}}] * 3
    assert len(found) == 10


def test_the_router_s_own_introspection_shows_the_gateway_s_types(graph: Graph) -> None:
    """Without a call to the gateway."""
    query = '{ __type(name: "AudienceGenerationJob") { description fields { name } } }'
    found = graph.router.ask(query, caller=None).data["__type"]
    assert found["description"]
    assert {field["name"] for field in found["fields"]} >= {"name", "exportJobs", "reviews"}
