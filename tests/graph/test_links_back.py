"""Links back: lists that have a root field, as fields of the objects that limit them."""

from collections.abc import Iterator
from typing import Any

import pytest
from graphql import GraphQLField, GraphQLObjectType

from gateway.graph.execution.engine import Engine, GraphRequest, GraphResult
from gateway.graph.schema import build_schema, executable_schema
from gateway.settings import Settings
from tests.gateways import Answer, Gateway, Sandbox, gateway_over
from tests.graph.subscriptions import SPRING, Graph, spring
from tests.watch.doubles import MODEL_ARN, job

SCHEMA = executable_schema(build_schema())
LIST = "ListAudienceGenerationJobs"

FIXED = {
    "AudienceGenerationJob.exportJobs": {"audienceGenerationJobArn", "region"},
    "ConfiguredAudienceModel.audienceGenerationJobs": {"configuredAudienceModelArn", "region"},
    "Collaboration.audienceGenerationJobs": {"collaborationId"},
}
"""The arguments of the root field that an object fixes."""

PAGE = """fragment Page on AudienceGenerationJobConnection { totalCount
  edges { cursor node { id name collaborationId configuredAudienceModelArn } }
  pageInfo { hasNextPage hasPreviousPage startCursor endCursor } }"""
LINK = """
query L($r: [_Any!]!, $first: Int, $after: String, $filter: AudienceGenerationJobFilter) {
  _entities(representations: $r) { ... on %s {
    audienceGenerationJobs(first: $first, after: $after, filter: $filter) { ...Page } } } }"""
ROOT = """
query R($first: Int, $after: String, $filter: AudienceGenerationJobFilter, $c: ID, $m: String) {
  audienceGenerationJobs(first: $first, after: $after, filter: $filter, collaborationId: $c,
    configuredAudienceModelArn: $m) { ...Page } }"""


def lists() -> Iterator[tuple[str, GraphQLField]]:
    """Yield the field that each connection has below an object, by its coordinates."""
    for each in SCHEMA.type_map.values():
        if isinstance(each, GraphQLObjectType) and each.name not in {"Query", "Subscription"}:
            for name, field in each.fields.items():
                if str(field.type).endswith("Connection"):
                    yield f"{each.name}.{name}", field


@pytest.mark.parametrize(("coordinates", "field"), [*lists()])
def test_a_list_has_the_arguments_of_its_root_field_but_the_fixed_ones(
    coordinates: str, field: GraphQLField
) -> None:
    query = SCHEMA.query_type
    assert query is not None
    (root,) = (each for each in query.fields.values() if str(each.type) == str(field.type))
    missing = root.args.keys() - field.args.keys()

    assert missing == FIXED[coordinates]
    for name, argument in field.args.items():
        declared = root.args[name]
        assert (str(argument.type), argument.description) == (
            str(declared.type),
            declared.description,
        )
    assert [*field.args] == [name for name in root.args if name not in missing]


@pytest.mark.parametrize(
    ("type_name", "key", "variable"),
    [
        ("Collaboration", "collaborationId", "c"),
        ("ConfiguredAudienceModel", "configuredAudienceModelArn", "m"),
    ],
)
def test_a_link_back_is_the_list_of_the_root_field(
    gateway: Gateway, type_name: str, key: str, variable: str
) -> None:
    """Page by page, with the same cursors, and with filters."""
    found = gateway.ask(f"{{ audienceGenerationJobs(first: 20) {{ nodes {{ {key} }} }} }}").data
    value = next(each[key] for each in found["audienceGenerationJobs"]["nodes"] if each[key])
    named = {"__typename": type_name, "id" if variable == "c" else key: value}
    after = None
    for filter_ in ({}, {}, {"status": "ACTIVE"}):
        page = {"first": 3, "after": None if filter_ else after, "filter": filter_}
        linked = gateway.ask(f"{LINK % type_name} {PAGE}", {"r": [named], **page}).data
        same = gateway.ask(f"{ROOT} {PAGE}", {variable: value, **page}).data

        assert linked["_entities"] == [same]
        assert len(same["audienceGenerationJobs"]["edges"]) == 3
        assert {each["node"][key] for each in same["audienceGenerationJobs"]["edges"]} == {value}
        after = same["audienceGenerationJobs"]["pageInfo"]["endCursor"]


def entity(gateway: Gateway, fields: str, **variables: Any) -> Answer:
    """Ask for fields of the collaboration of ada's newest job, as a router does."""
    found = gateway.ask("{ audienceGenerationJobs(first: 50) { nodes { collaborationId } } }").data[
        "audienceGenerationJobs"
    ]["nodes"]
    ids = [each["collaborationId"] for each in found if each["collaborationId"]]
    gateway.sandbox.reset()
    query = f"""query E($r: [_Any!]!) {{
      _entities(representations: $r) {{ ... on Collaboration {{ {fields} }} }} }}"""
    named = [{"__typename": "Collaboration", "id": ids[0]}]
    headers = {"X-Gateway-Cost": "1"}
    return gateway.ask(query, {"r": named, **variables}, headers=headers)


def test_a_collaboration_of_another_subgraph_has_its_jobs(gateway: Gateway) -> None:
    """One call lists them; there is none for the collaboration itself."""
    answer = entity(gateway, "id audienceGenerationJobs(first: 2) { nodes { collaborationId } }")
    (found,) = answer.data["_entities"]

    assert found["audienceGenerationJobs"]["nodes"] == [{"collaborationId": found["id"]}] * 2
    assert [each["operation"] for each in gateway.sandbox.calls] == [LIST]
    assert answer.content["extensions"]["cost"]["estimate"]["details"] == 1


def test_a_collaboration_without_jobs_has_an_empty_list(gateway: Gateway) -> None:
    """AWS does not say whether there is such a collaboration."""
    named = {"__typename": "Collaboration", "id": "00000000-0000-4000-8000-000000000000"}
    query = """query E($r: [_Any!]!) { _entities(representations: $r) {
      ... on Collaboration { audienceGenerationJobs { totalCount } } } }"""
    answer = gateway.ask(query, {"r": [named]})
    assert answer.data["_entities"] == [{"audienceGenerationJobs": {"totalCount": 0}}]


def test_jobs_of_a_collaboration_are_listed_in_the_region_that_is_named(sandbox: Sandbox) -> None:
    fields = """audienceGenerationJobs(first: 1, region: "eu-west-1") { totalCount }"""
    with gateway_over(sandbox, regions=frozenset({"us-east-1", "eu-west-1"})) as gateway:
        entity(gateway, fields)
        assert {each["region"] for each in sandbox.calls} == {"eu-west-1"}
        sandbox.reset()
        answer = entity(gateway, fields.replace("eu-west-1", "ap-south-1"))
    assert answer.code == "BAD_USER_INPUT"
    assert "`region`" in answer.errors[0]["message"]
    assert sandbox.calls == []


def test_jobs_of_a_model_are_listed_in_its_region(sandbox: Sandbox) -> None:
    query = """{ configuredAudienceModels(first: 1, region: "eu-west-1") { nodes {
      configuredAudienceModelArn
      audienceGenerationJobs { nodes { configuredAudienceModelArn } } } } }"""
    with gateway_over(sandbox, regions=frozenset({"us-east-1", "eu-west-1"})) as gateway:
        (model,) = gateway.ask(query).data["configuredAudienceModels"]["nodes"]
    for each in model["audienceGenerationJobs"]["nodes"]:
        assert each["configuredAudienceModelArn"] == model["configuredAudienceModelArn"]
    assert {each["region"] for each in sandbox.calls} == {"eu-west-1"}


def test_each_row_costs_one_call(gateway: Gateway) -> None:
    query = """{ configuredAudienceModels(first: 3) { nodes {
      audienceGenerationJobs(first: 5) { nodes { name } } } } }"""
    answer = gateway.ask(query, headers={"X-Gateway-Cost": "1"})
    cost = answer.content["extensions"]["cost"]

    assert gateway.sandbox.count() == len(answer.data["configuredAudienceModels"]["nodes"]) == 3
    assert cost["estimate"] == {"pages": 1, "details": 3}
    assert cost["upstreamCalls"] == 4


def test_rows_with_the_same_collaboration_share_its_list(gateway: Gateway) -> None:
    query = """{ audienceGenerationJobs(first: 100) { nodes { collaborationId
      collaboration { audienceGenerationJobs(first: 1) { nodes { id } } } } } }"""
    jobs = gateway.ask(query).data["audienceGenerationJobs"]["nodes"]
    ids = {each["collaborationId"] for each in jobs} - {None}

    assert len(ids) < len([each for each in jobs if each["collaboration"]])
    assert gateway.sandbox.count() == 1 + len(ids)
    for each in jobs:
        assert (each["collaboration"] is None) == (each["collaborationId"] is None)


def test_a_collaboration_alone_costs_no_call(gateway: Gateway) -> None:
    query = (
        "{ audienceGenerationJobs(first: 20) { nodes { collaborationId collaboration { id } } } }"
    )
    answer = gateway.ask(query, headers={"X-Gateway-Cost": "1"})
    for each in answer.data["audienceGenerationJobs"]["nodes"]:
        key = each["collaborationId"]
        assert each["collaboration"] == (None if key is None else {"id": key})
    assert gateway.sandbox.count() == 1
    assert answer.content["extensions"]["cost"]["estimate"] == {"pages": 1, "details": 0}


EXPORTS = "exportJobs(first: 1) { nodes { id } }"
NESTS = {
    "models, jobs, exports": (
        f"""{{ configuredAudienceModels(first: 10) {{ nodes {{
          audienceGenerationJobs(first: 100) {{ nodes {{ {EXPORTS} }} }} }} }} }}""",
        10 * (1 + 100),
    ),
    "jobs, model, jobs, exports": (
        f"""{{ audienceGenerationJobs(first: 1) {{ nodes {{ configuredAudienceModel {{
          audienceGenerationJobs(first: 500) {{ nodes {{ {EXPORTS} }} }} }} }} }} }}""",
        1 + 5 + 500,
    ),
    "jobs, collaboration, jobs, exports": (
        f"""{{ audienceGenerationJobs(first: 1) {{ nodes {{ collaboration {{
          audienceGenerationJobs(first: 500) {{ nodes {{ {EXPORTS} }} }} }} }} }} }}""",
        5 + 500,
    ),
}


@pytest.mark.parametrize(("query", "estimated"), NESTS.values(), ids=NESTS)
def test_a_nest_of_lists_for_too_many_calls_is_rejected_before_any_call(
    gateway: Gateway, query: str, estimated: int
) -> None:
    answer = gateway.ask(query)

    assert (answer.status, answer.code) == (400, "LIMIT_EXCEEDED")
    assert f" {estimated} upstream calls for single objects" in answer.errors[0]["message"]
    assert gateway.sandbox.calls == []


def test_a_subscription_for_too_many_calls_is_rejected() -> None:
    query = f"""subscription {{ audienceGenerationJobChanges {{ audienceGenerationJob {{
      configuredAudienceModel {{ audienceGenerationJobs(first: 500) {{
        nodes {{ {EXPORTS} }} }} }} }} }} }}"""
    rejected = Engine(SCHEMA, Settings()).prepare(GraphRequest(query), read_only=False)

    assert isinstance(rejected, GraphResult)
    assert rejected.outcome == "LIMIT_EXCEEDED"
    assert f" {1 + 5 + 500} upstream calls" in rejected.errors[0]["message"]


def test_a_nest_of_entities_is_rejected_before_any_call(gateway: Gateway) -> None:
    fields = f"audienceGenerationJobs(first: 500) {{ nodes {{ {EXPORTS} }} }}"
    answer = entity(gateway, fields)

    assert answer.code == "LIMIT_EXCEEDED"
    assert gateway.sandbox.calls == []


def test_a_list_of_which_nothing_could_be_asked_is_null(sandbox: Sandbox) -> None:
    """More collaborations than the estimate expects are stopped by the budget itself."""
    query = """{ audienceGenerationJobs(first: 100) { nodes {
      collaboration { audienceGenerationJobs(first: 1) { nodes { id } } } } } }"""
    with gateway_over(sandbox, max_detail_calls=1, cache_seconds=0) as gateway:
        answer = gateway.ask(query)
    lists_found = [
        each["collaboration"]["audienceGenerationJobs"]
        for each in answer.content["data"]["audienceGenerationJobs"]["nodes"]
        if each["collaboration"]
    ]
    assert None in lists_found
    assert {"nodes": []} not in lists_found
    assert {each["extensions"]["code"] for each in answer.errors} == {"LIMIT_EXCEEDED"}
    assert sandbox.count() == 2


async def test_subscriptions_can_select_links_back() -> None:
    upstream = spring(status="ACTIVE")
    upstream.pages = [[job("spring")]]
    graph = Graph(upstream)
    query = """subscription Watch($arn: String!) {
      audienceGenerationJob(audienceGenerationJobArn: $arn) {
        configuredAudienceModel { audienceGenerationJobs(first: 1) { nodes { name } } } } }"""
    async with graph.events(query, SPRING) as events:
        found = await events.data()

    jobs = found["configuredAudienceModel"]["audienceGenerationJobs"]["nodes"]
    assert jobs == [{"name": "spring"}]
    _, operation, parameters = upstream.calls[-1]
    assert operation == LIST
    assert parameters["configuredAudienceModelArn"] == MODEL_ARN
