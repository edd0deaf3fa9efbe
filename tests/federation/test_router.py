"""Routers over the gateway and another subgraph, which extend each other's types."""

import json
from pathlib import Path

import pytest
from starlette.types import Receive, Scope, Send

from gateway.dev import aws_headers
from gateway.sandbox import CALLERS
from tests.federation.graphs import JOBS, ROW, SERVICE, Graph, data_with_nulls, nodes
from tests.federation.routers import ROUTERS, node_server, router_over
from tests.gateways import Gateway, bearer, http
from tests.serving import serve

GET = "GetAudienceGenerationJob"

CANARY = "canaryfortytwo"
RECENT = """query Recent($first: Int) {
  recentReviews(first: $first) { text stars job { audienceGenerationJobArn name status } }
}"""


def test_jobs_have_reviews_and_collaborations_of_the_other_subgraph(graph: Graph) -> None:
    """Reviews are found by ARN, collaborations by id."""
    jobs = nodes(
        graph.router,
        f"{ROW} collaborationId collaboration {{ id name }}"
        " reviews(first: 1) { edges { node { text job { name } } } }",
    )
    assert [job["audienceGenerationJobArn"] for job in jobs] == [
        job["audienceGenerationJobArn"] for job in nodes(graph.gateway, ROW)
    ]
    for job in jobs:
        member_of = job["collaborationId"]
        assert job["collaboration"] == (
            member_of and {"id": member_of, "name": f"Collaboration {member_of[:8]}"}
        )
    reviewed = [job for job in jobs if job["reviews"]["edges"]]
    assert [job["audienceGenerationJobArn"] for job in reviewed] == graph.reviewed[:1]
    review = reviewed[0]["reviews"]["edges"][0]["node"]
    assert review == {"text": "Review 1 of job 1", "job": {"name": graph.of_ada["name"]}}


def test_one_job_with_its_details_and_reviews(graph: Graph) -> None:
    """Details are one Get, and the other subgraph's fields cost no call."""
    query = """query Job($arn: String!) { audienceGenerationJob(audienceGenerationJobArn: $arn) {
      name includeSeedInOutput configuredAudienceModel { name } reviews(first: 3) {
        edges { node { stars } } } } }"""
    found = graph.router.ask(query, {"arn": graph.reviewed[0]}).data["audienceGenerationJob"]
    assert found["name"] == graph.of_ada["name"]
    assert isinstance(found["includeSeedInOutput"], bool)
    assert found["configuredAudienceModel"]["name"]
    assert len(found["reviews"]["edges"]) == 3
    operations = [call["operation"] for call in graph.sandbox.calls]
    assert operations == [GET, "GetConfiguredAudienceModel"]


@pytest.mark.parametrize("caller", ["ada", "grace"])
def test_jobs_of_reviews_are_read_as_the_caller(graph: Graph, caller: str) -> None:
    """A job is null if it is another caller's or does not exist."""
    own = {"ada": graph.of_ada, "grace": graph.of_grace}
    answer = graph.router.ask(RECENT, {"first": 3}, caller=caller)
    assert answer.status == 200
    reviews = data_with_nulls(answer)["recentReviews"]
    assert [review["text"] for review in reviews] == [f"Review 1 of job {n}" for n in (1, 2, 3)]
    expected = [own[name] if name == caller else None for name in own]
    assert [review["job"] for review in reviews] == [*expected, None]
    assert {call["access_key_id"] for call in graph.sandbox.calls} == {
        CALLERS[caller].access_key_id
    }


def test_many_reviews_of_a_job_are_one_get(graph: Graph) -> None:
    reviews = data_with_nulls(graph.router.ask(RECENT))["recentReviews"]
    assert [review["job"] for review in reviews] == [graph.of_ada, None, None] * 3
    assert [call["operation"] for call in graph.sandbox.calls] == [GET] * 3


def test_without_credentials_the_other_subgraph_is_unaffected(graph: Graph) -> None:
    """Each job is null, with an UNAUTHENTICATED error at its path."""
    answer = graph.router.ask(RECENT, {"first": 3}, caller=None)
    assert answer.status == 200
    reviews = answer.content["data"]["recentReviews"]
    assert [review["text"] for review in reviews] == [f"Review 1 of job {n}" for n in (1, 2, 3)]
    assert [review["job"] for review in reviews] == [None, None, None]
    errors = [(error["extensions"]["code"], error["path"][:3]) for error in answer.errors]
    assert errors == [("UNAUTHENTICATED", ["recentReviews", place, "job"]) for place in range(3)]
    assert graph.sandbox.calls == []


def test_without_credentials_only_our_root_field_is_null(graph: Graph) -> None:
    """The gateway's 401 reaches the router's caller as the same code."""
    query = "{ recentReviews(first: 1) { text } audienceGenerationJobs { nodes { name } } }"
    answer = graph.router.ask(query, caller=None)
    assert answer.status == 200
    assert answer.code == "UNAUTHENTICATED"
    assert answer.content["data"] == {
        "recentReviews": [{"text": "Review 1 of job 1"}],
        "audienceGenerationJobs": None,
    }


@pytest.mark.parametrize(
    "headers",
    [
        bearer(CANARY),
        {"X-Aws-Access-Key-Id": f"ASIA{CANARY.upper()}"},
    ],
    ids=["invalid token", "incomplete key"],
)
def test_malformed_credentials_do_not_affect_the_other_subgraph(
    graph: Graph, headers: dict[str, str]
) -> None:
    """The gateway rejects the request; the router returns the code, and not our address."""
    answer = graph.router.ask(RECENT, {"first": 1}, caller=None, headers=headers)
    assert answer.status == 200
    assert answer.code == "UNAUTHENTICATED"
    (review,) = answer.content["data"]["recentReviews"]
    assert (review["text"], review["job"]) == ("Review 1 of job 1", None)
    assert graph.gateway.url not in str(answer.content)
    assert CANARY not in str(answer.content).lower()
    assert graph.sandbox.calls == []


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("throttle", "THROTTLED"),
        ("unavailable", "UPSTREAM_UNAVAILABLE"),
        ("denied", "FORBIDDEN"),
        ("expired-token-credentials", "UNAUTHENTICATED"),
    ],
)
def test_an_upstream_fault_does_not_affect_the_other_subgraph(
    graph: Graph, fault: str, code: str
) -> None:
    graph.sandbox.fault(fault)
    # Refused credentials are remembered for a while: so they are not those of other tests.
    answer = graph.router.ask(RECENT, {"first": 1}, caller="ada_again")
    assert answer.status == 200
    assert answer.code == code
    assert answer.errors[0]["path"][:3] == ["recentReviews", 0, "job"]
    (review,) = answer.content["data"]["recentReviews"]
    assert (review["text"], review["job"]) == ("Review 1 of job 1", None)


def test_paging_through_the_router(graph: Graph) -> None:
    """Each row has fields of the other subgraph."""
    query = """query Page($after: String) { audienceGenerationJobs(first: 25, after: $after) {
      edges { cursor node { name reviews { pageInfo { hasNextPage } } } }
      pageInfo { hasNextPage hasPreviousPage endCursor } } }"""
    names: list[str] = []
    after = None
    for turn in range(3):
        page = graph.router.ask(query, {"after": after}).data["audienceGenerationJobs"]
        names += [edge["node"]["name"] for edge in page["edges"]]
        after = page["pageInfo"]["endCursor"]
        assert page["edges"][-1]["cursor"] == after
        assert page["pageInfo"]["hasNextPage"]
        assert page["pageInfo"]["hasPreviousPage"] == (turn > 0)
    assert names == [job["name"] for job in nodes(graph.gateway, "name", 75)]


def test_paging_a_list_of_the_other_subgraph_within_a_job(graph: Graph) -> None:
    query = """query Page($arn: String!, $after: String) {
      audienceGenerationJob(audienceGenerationJobArn: $arn) { reviews(first: 2, after: $after) {
        edges { node { text } } pageInfo { hasNextPage endCursor } } } }"""
    texts: list[str] = []
    after = None
    for remains in (True, False):
        variables = {"arn": graph.reviewed[0], "after": after}
        page = graph.router.ask(query, variables).data["audienceGenerationJob"]["reviews"]
        texts += [edge["node"]["text"] for edge in page["edges"]]
        after = page["pageInfo"]["endCursor"]
        assert page["pageInfo"]["hasNextPage"] == remains
    assert texts == [f"Review {n} of job 1" for n in (1, 2, 3)]


def test_root_node_belongs_to_the_other_subgraph(graph: Graph) -> None:
    """It leads to a job."""
    ids = graph.router.ask("{ recentReviews(first: 1) { id } }").data["recentReviews"]
    query = "query N($id: ID!) { node(id: $id) { id ... on Review { job { name } } } }"
    found = graph.router.ask(query, {"id": ids[0]["id"]}).data["node"]
    assert found == {"id": ids[0]["id"], "job": {"name": graph.of_ada["name"]}}


def test_credentials_never_reach_the_other_subgraphs(graph: Graph) -> None:
    """Requests start at any subgraph and continue at another."""
    for query in (
        RECENT,
        JOBS % "collaboration { name } reviews { edges { node { text } } }",
        "{ team { collaborations { audienceGenerationJobs { nodes { name } } } } }",
        "{ campaigns { edges { node { model { name campaigns { title } } } } } }",
    ):
        assert data_with_nulls(graph.router.ask(query, {"first": 30}))
    token = bearer(CANARY)
    assert graph.router.ask(RECENT, caller=None, headers=token).content["data"]
    received = graph.neighbours.received()
    assert {request["subgraph"] for request in received} >= {"reviews", "teams", "campaigns"}
    names = {name for request in received for name in request["headers"]}
    # Hive Gateway sends an id of the request to each subgraph.
    assert {name for name in names if name.startswith("x-")} <= {"x-request-id"}
    assert "authorization" not in names
    for value in (*aws_headers(CALLERS["ada"]).values(), CANARY):
        assert value not in json.dumps(received)


@pytest.mark.parametrize("script", ROUTERS)
def test_the_router_sends_the_gateway_only_the_credential_headers(
    script: str, tmp_path: Path
) -> None:
    """It sends neither cookies nor other headers of the client."""
    received: list[dict[str, str]] = []

    async def recorder(scope: Scope, _receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        received.append({name.decode(): value.decode() for name, value in scope["headers"]})
        kind = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": kind})
        await send({"type": "http.response.body", "body": b'{"data":{"done":true}}'})

    credentials = {**aws_headers(CALLERS["ada"]), "Authorization": "Bearer canary"}
    others = {"Cookie": "canary=1", "X-Amz-Security-Token": "canary", "X-Other": "canary"}
    with serve(recorder) as url:
        subgraphs = {"audience": (url, "type Query { done: Boolean }")}
        with router_over(script, tmp_path, subgraphs) as router:
            answer = http(
                "POST",
                f"{router}/graphql",
                json={"query": "{ done }"},
                headers={**credentials, **others},
            )
    assert answer.json() == {"data": {"done": True}}
    (headers,) = received
    assert {name: headers.get(name.lower()) for name in credentials} == credentials
    assert not {name.lower() for name in others} & headers.keys()


@pytest.mark.parametrize("script", ROUTERS)
def test_alone_in_a_graph_our_root_node_works(
    script: str, gateway: Gateway, tmp_path: Path
) -> None:
    """`nodes` keeps the order of the ids."""
    jobs = nodes(gateway, f"__typename id {ROW}", 2)
    ids = [jobs[1]["id"], CANARY, jobs[0]["id"], jobs[1]["id"]]
    query = f"""query N($id: ID!, $ids: [ID!]!) {{
      node(id: $id) {{ ...Job }} nodes(ids: $ids) {{ ...Job }} }}
      fragment Job on Node {{ __typename id ... on AudienceGenerationJob {{ {ROW} }} }}"""
    sdl = gateway.ask(SERVICE).data["_service"]["sdl"]
    with router_over(script, tmp_path, {"audience": (f"{gateway.url}/graphql", sdl)}) as url:
        found = Gateway(url, gateway.sandbox).ask(query, {"id": jobs[0]["id"], "ids": ids}).data
    assert found == {"node": jobs[0], "nodes": [jobs[1], None, jobs[0], jobs[1]]}


@pytest.mark.parametrize("script", ROUTERS)
def test_a_router_can_read_the_schema_itself(script: str, gateway: Gateway) -> None:
    """Apollo Gateway reads `_service`, and Hive Gateway introspects; neither has credentials."""
    with node_server(script, f"{gateway.url}/graphql", "audience") as url:
        found = nodes(Gateway(url, gateway.sandbox), ROW)
    assert found == nodes(gateway, ROW)
