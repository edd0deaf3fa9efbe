"""Queries that go from one subgraph to another and come back, through each router.

The teams' subgraph owns collaborations, the directory names each of our entities by its id, and
the campaigns' adds to our configured audience models.
"""

from typing import Any

import pytest

from gateway.sandbox import CALLERS
from tests.federation.graphs import Graph
from tests.federation.neighbours import ENTITIES, NODES, PLAIN_NAMES, field_name
from tests.telemetry.programs import samples

ARN = "audienceGenerationJobArn"
LIST = "ListAudienceGenerationJobs"

TEAM = """query Team($first: Int, $after: String, $filter: AudienceGenerationJobFilter) {
  team { name collaborations { id name
    audienceGenerationJobs(first: $first, after: $after, filter: $filter) {
      totalCount nodes { name status collaboration { id name } } pageInfo { hasNextPage endCursor }
    } } } }"""

JOBS_OF = """query Jobs($id: ID!, $first: Int, $filter: AudienceGenerationJobFilter) {
  audienceGenerationJobs(collaborationId: $id, first: $first, filter: $filter) {
    totalCount nodes { name } } }"""


def fetches_of(graph: Graph) -> float:
    """Return how many requests of the router the gateway has executed.

    Apollo Gateway sends the hash of a query first, so some of its requests are refused.
    """
    return sum(
        value
        for (name, labels), value in samples(graph.gateway.url).items()
        if name == "gateway_requests_total"
        and not dict(labels)["outcome"].startswith("PERSISTED_QUERY")
    )


def collaborations(graph: Graph, **variables: Any) -> list[Any]:
    found: list[Any] = graph.router.ask(TEAM, variables).data["team"]["collaborations"]
    return found


def test_the_jobs_of_the_collaborations_of_a_team(graph: Graph) -> None:
    """From the team to its collaborations, to their jobs, and back to the collaborations' names."""
    found = collaborations(graph, first=3)
    assert len(found) > 1
    for each in found:
        jobs = each["audienceGenerationJobs"]
        assert [job.pop("collaboration") for job in jobs["nodes"]] == 3 * [
            {"id": each["id"], "name": f"Collaboration {each['id'][:8]}"}
        ]
        del jobs["pageInfo"]
        for job in jobs["nodes"]:
            del job["status"]  # it may have changed
        expected = graph.gateway.ask(JOBS_OF, {"id": each["id"], "first": 3}).data
        assert jobs == expected["audienceGenerationJobs"]


def test_the_collaborations_of_a_team_are_one_fetch(graph: Graph) -> None:
    """And one list each, with the caller's credentials."""
    before = fetches_of(graph)
    found = collaborations(graph, first=3, filter={"status": ["ACTIVE"]})
    assert fetches_of(graph) == before + 1
    calls = graph.sandbox.calls
    assert {call["operation"] for call in calls} == {LIST}
    assert {call["access_key_id"] for call in calls} == {CALLERS["ada"].access_key_id}
    for each in found:
        statuses = {job["status"] for job in each["audienceGenerationJobs"]["nodes"]}
        assert statuses == {"ACTIVE"}


def test_paging_the_jobs_of_a_collaboration(graph: Graph) -> None:
    """A cursor of one collaboration is refused for the others, which leaves them alone."""
    first = collaborations(graph, first=5)
    after = first[0]["audienceGenerationJobs"]["pageInfo"]["endCursor"]
    answer = graph.router.ask(TEAM, {"first": 5, "after": after})
    second, *others = answer.content["data"]["team"]["collaborations"]
    pages = [page["audienceGenerationJobs"]["nodes"] for page in (first[0], second)]
    expected = graph.gateway.ask(JOBS_OF, {"id": second["id"], "first": 10}).data
    assert [{"name": job["name"]} for page in pages for job in page] == (
        expected["audienceGenerationJobs"]["nodes"]
    )
    assert others
    assert {each["audienceGenerationJobs"] for each in others} == {None}
    assert {error["extensions"]["code"] for error in answer.errors} == {"INVALID_CURSOR"}
    assert len(answer.errors) == len(others)


def test_a_list_that_fails_leaves_the_others_and_the_names_whole(graph: Graph) -> None:
    graph.sandbox.fault("denied", operation=LIST, times=1)
    answer = graph.router.ask(TEAM, {"first": 3})
    assert answer.status == 200
    team = answer.content["data"]["team"]
    assert all(each["name"] for each in team["collaborations"])
    lists = [each["audienceGenerationJobs"] for each in team["collaborations"]]
    assert [found is None for found in lists].count(True) == 1
    assert answer.code == "FORBIDDEN"
    # Hive Gateway leaves the index out.
    path = [name for name in answer.errors[0]["path"] if isinstance(name, str)]
    assert path == ["team", "collaborations", "audienceGenerationJobs"]


def test_without_credentials_collaborations_keep_their_names(graph: Graph) -> None:
    answer = graph.router.ask(TEAM, {"first": 3}, caller=None)
    team = answer.content["data"]["team"]
    assert all(each["name"] for each in team["collaborations"])
    assert {each["audienceGenerationJobs"] for each in team["collaborations"]} == {None}
    assert {error["extensions"]["code"] for error in answer.errors} == {"UNAUTHENTICATED"}
    assert graph.sandbox.calls == []


DIRECTORY_OF_IDS = " ".join(f"{field_name(name)} {{ id }}" for name in ENTITIES)

FIELDS = dict.fromkeys(ENTITIES, "createTime") | {
    "Collaboration": "audienceGenerationJobs(first: 2) { nodes { name } }"
}
"""Fields of each entity that only the gateway has."""


def directly(graph: Graph, keys: dict[str, str]) -> dict[str, Any]:
    """Return objects of the types whose ids are given, from the gateway."""
    representations = [{"__typename": name, "id": key} for name, key in keys.items()]
    fragments = " ".join(f"... on {name} {{ id {FIELDS[name]} }}" for name in keys)
    query = f"query E($r: [_Any!]!) {{ _entities(representations: $r) {{ {fragments} }} }}"
    found = graph.gateway.ask(query, {"r": representations}).data["_entities"]
    assert None not in found
    return dict(zip(keys, found, strict=True))


def test_objects_that_a_directory_names_by_id(graph: Graph) -> None:
    """Each entity is found by its id, in a fetch for each type at most."""
    selections = " ".join(f"{field_name(name)} {{ id {FIELDS[name]} }}" for name in ENTITIES)
    before = fetches_of(graph)
    directory = graph.router.ask(f"{{ directory {{ {selections} }} }}").data["directory"]
    assert fetches_of(graph) <= before + len(ENTITIES)
    found = {name: directory[field_name(name)] for name in ENTITIES}
    assert found == directly(graph, {name: each["id"] for name, each in found.items()})


def test_any_object_by_its_global_id(graph: Graph) -> None:
    """Another subgraph can have the field that returns any node."""
    ids = graph.router.ask(f"{{ directory {{ {DIRECTORY_OF_IDS} }} }}").data["directory"]
    keys = {name: ids[field_name(name)]["id"] for name in NODES}
    objects = " ".join(f'{name}: object(id: "{key}") {{ ...Any }}' for name, key in keys.items())
    fragments = " ".join(f"... on {name} {{ {FIELDS[name]} }}" for name in NODES)
    query = f"{{ {objects} }} fragment Any on Node {{ id {fragments} }}"
    assert graph.router.ask(query).data == directly(graph, keys)


@pytest.mark.parametrize(
    ("query", "fetches"),
    [
        (f"{{ directory {{ {DIRECTORY_OF_IDS} }} }}", 0),
        ("{ recentReviews { job { audienceGenerationJobArn reviews { edges { cursor } } } } }", 0),
        ("{ recentReviews(first: 1) { job { __typename id } } }", 1),
        ("{ campaigns { edges { node { title model { configuredAudienceModelArn } } } } }", 1),
        ("{ team { collaborations { id name } } }", 0),
    ],
)
def test_keys_make_no_call(graph: Graph, query: str, fetches: int) -> None:
    """An object whose other key is asked for is a fetch of the router, and no call to AWS."""
    before = fetches_of(graph)
    assert graph.router.ask(query).data
    assert fetches_of(graph) == before + fetches
    assert graph.sandbox.calls == []


def test_models_have_campaigns_and_campaigns_have_models(graph: Graph) -> None:
    """The other subgraph knows models by id only, and is written in Federation 1."""
    query = """{ campaigns(first: 3) { edges { node { title
      model { name campaigns { title } } } } } }"""
    edges = graph.router.ask(query).data["campaigns"]["edges"]
    assert len(edges) == 3
    for edge in edges:
        assert edge["node"]["model"]["name"]
        assert edge["node"]["model"]["campaigns"] == [{"title": edge["node"]["title"]}]
    assert graph.sandbox.count("GetConfiguredAudienceModel") == 3


def test_both_subgraphs_keep_their_types_of_the_same_name(graph: Graph) -> None:
    """A `Tag` of the other subgraph, and tags of a job."""
    labels = " ".join(f"{field_name(name)} {{ label }}" for name in PLAIN_NAMES)
    job = f'audienceGenerationJob({ARN}: "{graph.of_ada[ARN]}")'
    query = f"{{ {labels} {job} {{ tags {{ __typename key value }} }} }}"
    found = graph.router.ask(query).data
    assert {tag["__typename"] for tag in found.pop("audienceGenerationJob")["tags"]} <= {
        "CleanRoomsTag"
    }
    assert found == {field_name(name): {"label": name} for name in PLAIN_NAMES}


def test_filter_and_order_through_the_router(graph: Graph) -> None:
    query = """query Sorted($after: String) { audienceGenerationJobs(first: 20, after: $after,
      filter: {status: [ACTIVE]}, orderBy: {field: NAME, direction: ASC}) {
        nodes { name status collaboration { name } } pageInfo { endCursor } } }"""
    names: list[str] = []
    after = None
    for _ in range(2):
        page = graph.router.ask(query, {"after": after}).data["audienceGenerationJobs"]
        assert {job["status"] for job in page["nodes"]} == {"ACTIVE"}
        names += [job["name"] for job in page["nodes"]]
        after = page["pageInfo"]["endCursor"]
    assert len(names) == 40
    assert names == sorted(names, key=lambda name: (name.casefold(), name))
