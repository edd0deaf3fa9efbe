"""All resource types and the links between them, and what both cost, through the gateway."""

from base64 import b64encode
from typing import Any
from uuid import UUID

import pytest

from gateway.graph.node import to_global_id
from tests.gateways import Gateway, Sandbox, gateway_over

RESOURCES: dict[str, tuple[str, str, str]] = {
    "AudienceGenerationJob": (
        "audienceGenerationJobs",
        "audienceGenerationJobArn",
        (
            "collaborationId configuredAudienceModelArn createTime description name startedBy "
            "status updateTime includeSeedInOutput protectedQueryIdentifier tags { key value } "
            "statusDetails { statusCode message } metrics { recallMetric relevanceMetrics { score "
            "audienceSize { type value } } } seedAudience { roleArn dataSource { s3Uri } "
            "sqlComputeConfiguration { worker { type number } } }"
        ),
    ),
    "ConfiguredAudienceModel": (
        "configuredAudienceModels",
        "configuredAudienceModelArn",
        (
            "audienceModelArn createTime description name status updateTime sharedAudienceMetrics "
            "minMatchingSeedSize childResourceTagOnCreatePolicy tags { key value } "
            "outputConfig { roleArn destination { s3Destination { s3Uri } } } "
            "audienceSizeConfig { audienceSizeType audienceSizeBins }"
        ),
    ),
    "AudienceModel": (
        "audienceModels",
        "audienceModelArn",
        (
            "createTime description name status trainingDatasetArn updateTime "
            "trainingDataStartTime trainingDataEndTime kmsKeyArn tags { key value } "
            "statusDetails { statusCode message }"
        ),
    ),
    "TrainingDataset": (
        "trainingDatasets",
        "trainingDatasetArn",
        (
            "createTime description name status updateTime roleArn tags { key value } "
            "trainingData { type inputConfig { schema { columnName columnTypes } dataSource { "
            "glueDataSource { tableName databaseName catalogId } } } }"
        ),
    ),
}
EXPORT = (
    "id name audienceGenerationJobArn createTime description outputLocation status updateTime "
    "audienceSize { type value } statusDetails { statusCode message }"
)


@pytest.mark.parametrize("type_name", RESOURCES)
def test_an_object_is_the_same_wherever_it_is_read(gateway: Gateway, type_name: str) -> None:
    """It is read in the list, as a root field, by `node`, and in a row of scalar fields."""
    lists, arn, fields = RESOURCES[type_name]
    whole = f"id {arn} {fields}"
    listed = gateway.ask(
        f"{{ {lists}(first: 5) {{ totalCount nodes {{ {whole} }} }} }}", caller="grace"
    ).data
    assert listed[lists]["totalCount"] >= len(listed[lists]["nodes"]) > 0
    one = listed[lists]["nodes"][0]
    single = lists.removesuffix("s")
    query = f"query One($arn: String!, $id: ID!) {{ {single}({arn}: $arn) {{ {whole} }}"
    query += f" node(id: $id) {{ __typename ... on {type_name} {{ {whole} }} }} }}"
    again = gateway.ask(query, {"arn": one[arn], "id": one["id"]}, caller="grace").data
    assert again[single] == one
    assert again["node"] == {"__typename": type_name, **one}
    plain = gateway.ask(
        f"{{ {lists}(first: 1) {{ nodes {{ id {arn} name status }} }} }}", caller="grace"
    )
    assert plain.data[lists]["nodes"][0] == {k: one[k] for k in ("id", arn, "name", "status")}


def job_with_exports(gateway: Gateway) -> Any:
    link = "audienceGenerationJob { id name }"
    query = f"{{ audienceExportJobs(first: 3) {{ nodes {{ {EXPORT} {link} }} }} }}"
    found: Any = gateway.ask(query, caller="grace").data["audienceExportJobs"]["nodes"][0]
    return found


def test_an_export_is_found_by_its_id(gateway: Gateway) -> None:
    """It has no ARN: it is searched in its job's list."""
    export = job_with_exports(gateway)
    query = f"query N($id: ID!) {{ node(id: $id) {{ ... on AudienceExportJob {{ {EXPORT} }} }} }}"
    again = gateway.ask(query, {"id": export["id"]}, caller="grace").data["node"]
    assert again == {
        name: value for name, value in export.items() if name != "audienceGenerationJob"
    }
    assert gateway.ask(query, {"id": export["id"]}, caller="edith").data["node"] is None


@pytest.mark.parametrize("key", ["x", "[]", '["a","b","c"]', "[1,2,3]", "{}"])
def test_a_malformed_id_of_an_export_is_an_error(gateway: Gateway, key: str) -> None:
    """`node` fails, `nodes` has null, and AWS is not called."""
    text = b64encode(f"AudienceExportJob:{key}".encode()).decode()
    answer = gateway.ask("query N($id: ID!) { node(id: $id) { id } }", {"id": text})
    assert answer.code == "BAD_USER_INPUT"
    assert answer.errors[0]["message"].startswith("`id` is not an id of this graph.")
    query = "query N($ids: [ID!]!) { nodes(ids: $ids) { id } }"
    assert gateway.ask(query, {"ids": [text]}).data == {"nodes": [None]}
    assert gateway.sandbox.calls == []


def test_the_exports_of_a_job_are_paged(gateway: Gateway) -> None:
    """The pages have the exports of the filtered root list."""
    arn = job_with_exports(gateway)["audienceGenerationJobArn"]
    query = """query E($arn: String!, $after: String) {
      audienceGenerationJob(audienceGenerationJobArn: $arn) {
        exportJobs(first: 1, after: $after) { nodes { id } pageInfo { hasNextPage endCursor } }
      }
      audienceExportJobs(first: 500, audienceGenerationJobArn: $arn) { nodes { id } }
    }"""
    seen: list[str] = []
    after = None
    while True:
        data = gateway.ask(query, {"arn": arn, "after": after}, caller="grace").data
        exports = data["audienceGenerationJob"]["exportJobs"]
        seen += [node["id"] for node in exports["nodes"]]
        if not exports["pageInfo"]["hasNextPage"]:
            break
        after = exports["pageInfo"]["endCursor"]
    assert seen == [node["id"] for node in data["audienceExportJobs"]["nodes"]]


CHAIN = """query Chain($n: Int) { audienceGenerationJobs(first: $n) { nodes {
  name collaborationId collaboration { id }
  configuredAudienceModelArn
  configuredAudienceModel { configuredAudienceModelArn name
    audienceModel { name trainingDatasetArn trainingDataset { trainingDatasetArn name } } }
} } }"""


MANY_LINKS = """query ($n: Int) {{ audienceExportJobs(first: $n) {{ nodes {{
  audienceGenerationJob {{ id exportJobs{exports} }}
}} }} }}"""
"""The estimate counts a linked object once, and these exports link to several jobs."""


def linked_jobs(gateway: Gateway) -> list[str]:
    query = "{ audienceExportJobs(first: 30) { nodes { audienceGenerationJobArn } } }"
    nodes = gateway.ask(query, caller="grace").data["audienceExportJobs"]["nodes"]
    return list(dict.fromkeys(node["audienceGenerationJobArn"] for node in nodes))


def test_an_unread_list_of_exports_is_an_error_and_not_empty(
    gateway: Gateway, sandbox: Sandbox
) -> None:
    jobs = linked_jobs(gateway)
    with gateway_over(sandbox, max_detail_calls=len(jobs) + 2) as limited:
        query = MANY_LINKS.format(exports=" { nodes { name } }")
        answer = limited.ask(query, {"n": 30}, caller="grace")

    nodes = answer.content["data"]["audienceExportJobs"]["nodes"]
    unread = {
        node["audienceGenerationJob"]["id"]
        for node in nodes
        if node["audienceGenerationJob"]["exportJobs"] is None
    }
    assert len(unread) == len(jobs) - 2 > 0
    assert {error["path"][-1] for error in answer.errors} == {"exportJobs"}
    assert {error["extensions"]["code"] for error in answer.errors} == {"LIMIT_EXCEEDED"}
    assert len(answer.errors) == len(unread)


def test_an_uncounted_list_of_exports_is_null(gateway: Gateway, sandbox: Sandbox) -> None:
    jobs = linked_jobs(gateway)
    with gateway_over(sandbox, max_detail_calls=len(jobs) + 2) as limited:
        query = MANY_LINKS.format(exports="(first: 0) { totalCount }")
        nodes = limited.ask(query, {"n": 30}, caller="grace").data["audienceExportJobs"]["nodes"]

    uncounted = {
        node["audienceGenerationJob"]["id"]
        for node in nodes
        if node["audienceGenerationJob"]["exportJobs"]["totalCount"] is None
    }
    assert len(uncounted) == len(jobs) - 2 > 0


def test_a_link_costs_one_call_per_distinct_object(gateway: Gateway) -> None:
    nodes = gateway.ask(CHAIN, {"n": 60}, caller="grace").data["audienceGenerationJobs"]["nodes"]
    for job in nodes:
        model = job["configuredAudienceModel"]
        assert model["configuredAudienceModelArn"] == job["configuredAudienceModelArn"]
        inner = model["audienceModel"]
        assert inner["trainingDataset"]["trainingDatasetArn"] == inner["trainingDatasetArn"]
        assert (job["collaboration"] or {}).get("id") == job["collaborationId"]
    models = {job["configuredAudienceModelArn"] for job in nodes}
    assert gateway.sandbox.count("GetConfiguredAudienceModel") == len(models)
    assert gateway.sandbox.count() == 1


def test_details_of_an_object_are_requested_once(gateway: Gateway) -> None:
    """This holds even if two fields of a query list the same objects."""
    query = """{ a: audienceGenerationJobs(first: 100) { nodes { id tags { key } } }
      b: audienceGenerationJobs(first: 100) { nodes { id statusDetails { message } } } }"""
    answer = gateway.ask(query, caller="grace", headers={"X-Gateway-Cost": "1"})
    assert gateway.sandbox.count("GetAudienceGenerationJob") == 100
    assert gateway.sandbox.count() == 1
    cost = answer.content["extensions"]["cost"]
    assert cost["upstreamCalls"] == 101
    assert cost["estimate"] == {"pages": 1, "details": 200}
    assert cost["scanned"] == 200
    assert len(cost["awsRequestIds"]) == 100
    assert cost["retries"] == 0


def test_the_cost_is_shown_on_request(sandbox: Sandbox) -> None:
    """A cached page counts as a cache hit."""
    query = "{ audienceGenerationJobs(first: 1) { nodes { id } } }"
    with gateway_over(sandbox, cache_seconds=60) as gateway:
        assert "extensions" not in gateway.ask(query).content
        cost = gateway.ask(query, headers={"X-Gateway-Cost": "1"}).content["extensions"]["cost"]
    assert (cost["upstreamCalls"], cost["cacheHits"]) == (0, 1)


def test_retries_are_part_of_the_cost(gateway: Gateway) -> None:
    gateway.sandbox.fault("unavailable", times=1)
    query = "{ audienceGenerationJobs(first: 1) { nodes { id } } }"
    cost = gateway.ask(query, headers={"X-Gateway-Cost": "1"}).content["extensions"]["cost"]
    assert (cost["upstreamCalls"], cost["retries"]) == (1, 1)


ROWS_AND_EXPORTS = """{ audienceGenerationJobs(first: 500) { nodes {
  id exportJobs(first: 1) { nodes { id } } tags { key }
} } }"""
ALIASES = """{
  a: audienceGenerationJobs(first: 300) { nodes { metrics { recallMetric } } }
  b: audienceGenerationJobs(last: 300) { edges { node { ...F } } }
} fragment F on AudienceGenerationJob { ... on Node { id } tags { key } }"""
VARIABLES = """query Q($n: Int = 400) {
  trainingDatasets(first: $n) { nodes { roleArn } }
  audienceModels(first: $n) { nodes { kmsKeyArn } }
}"""
MODEL = "arn:aws:cleanrooms-ml:us-east-1:123456789012:configured-audience-model/{}".format(
    "00000000-0000-4000-8000-000000000000"
)
BELOW_NODE = f"""{{ node(id: "{to_global_id("ConfiguredAudienceModel", MODEL)}") {{
  ... on ConfiguredAudienceModel {{ audienceGenerationJobs(first: 500) {{
    nodes {{ tags {{ key }} }}
  }} }}
}} }}"""
FIVE_LISTS = " ".join(
    f'a{n}: audienceGenerationJobs(first: 500, collaborationId: "{UUID(int=n)}") {{ __typename }}'
    for n in range(5)
)


@pytest.mark.parametrize(
    ("query", "estimated"),
    [
        (ROWS_AND_EXPORTS, 1000),
        (ALIASES, 600),
        (VARIABLES, 800),
        (BELOW_NODE, 506),
        (f"{{ {FIVE_LISTS} }}", 25),
    ],
)
def test_a_query_for_too_many_calls_is_rejected_before_any_call(
    sandbox: Sandbox, query: str, estimated: int
) -> None:
    with gateway_over(sandbox, max_upstream_calls=24) as gateway:
        answer = gateway.ask(query)
    assert (answer.status, answer.code) == (400, "LIMIT_EXCEEDED")
    assert f" {estimated} upstream calls" in answer.errors[0]["message"]
    assert sandbox.calls == []


COPIES = " ".join(f"c{n}: configuredAudienceModel {{ ...M }}" for n in range(29))
COPIED = f"""{{ audienceGenerationJobs(first: 100) {{ edges {{ node {{ id {COPIES} }} }} }} }}
  fragment M on ConfiguredAudienceModel {{ id name audienceModel {{ name }} }}"""
EXPORTED = """query E($n: Int = 500) { audienceGenerationJobs(first: $n) { nodes {
  exportJobs(first: 50) { edges { cursor node { ...X } } nodes { ...X } }
} } } fragment X on AudienceExportJob { id name ... { name status } }"""
COUNTED = """{ configuredAudienceModels(first: 100) { nodes {
  audienceGenerationJobs { statusCounts { status count } }
} } }"""
NAMED = """query N($ids: [ID!]! = ["a", "b", "c"]) { nodes(ids: $ids) { id } x: __typename }"""


@pytest.mark.parametrize(
    ("query", "most", "estimated"),
    [
        (COPIED, 10_000, 2 + 100 * (2 + 29 * 5)),
        (EXPORTED, 50_000, 2 + 500 * (1 + (1 + 50 * 5) + (1 + 50 * 3))),
        (COUNTED, 1_000, 2 + 100 * (2 + 8 * 2)),
        (NAMED, 4, 1 + 3 + 1),
        ("{ nodes(ids: []) { id } a: __typename b: __typename }", 2, 3),
    ],
)
def test_a_query_with_too_large_a_response_is_rejected_before_any_call(
    sandbox: Sandbox, query: str, most: int, estimated: int
) -> None:
    """Few calls can produce a response that takes seconds to build."""
    with gateway_over(sandbox, limit_fields=most) as gateway:
        answer = gateway.ask(query)
    with gateway_over(sandbox, limit_fields=estimated) as gateway:
        allowed = gateway.ask(query, {"n": 1})

    assert (answer.status, answer.code) == (400, "LIMIT_EXCEEDED")
    assert f" {estimated} fields" in answer.errors[0]["message"]
    assert "LIMIT_EXCEEDED" not in str(allowed.errors)
    assert allowed.status == 200


def test_requests_go_to_the_region_that_they_name(sandbox: Sandbox) -> None:
    """Lists name it by the argument, objects by the ARN; a cursor is bound to its region."""
    regions = frozenset({"us-east-1", "eu-west-1"})
    query = """query R($region: String, $after: String) {
      audienceGenerationJobs(first: 1, region: $region, after: $after) {
        nodes { id audienceGenerationJobArn tags { key } } pageInfo { endCursor } } }"""
    with gateway_over(sandbox, regions=regions) as gateway:
        found = gateway.ask(query, {"region": "eu-west-1"}).data["audienceGenerationJobs"]
        assert found["nodes"][0]["audienceGenerationJobArn"].split(":")[3] == "eu-west-1"
        assert {call["region"] for call in sandbox.calls} == {"eu-west-1"}
        node = "query N($id: ID!) { node(id: $id) { id } }"
        assert gateway.ask(node, {"id": found["nodes"][0]["id"]}).data["node"]
        crossing = {"region": "us-east-1", "after": found["pageInfo"]["endCursor"]}
        assert gateway.ask(query, crossing).code == "INVALID_CURSOR"
        foreign = "arn:aws:cleanrooms-ml:ap-south-1:111122223333:audience-generation-job/x"
        sandbox.reset()
        for field in (
            f'audienceGenerationJob(audienceGenerationJobArn: "{foreign}") {{ id }}',
            f'audienceExportJobs(audienceGenerationJobArn: "{foreign}") {{ nodes {{ id }} }}',
        ):
            answer = gateway.ask(f"{{ {field} }}")
            assert answer.code == "BAD_USER_INPUT"
            assert "eu-west-1, us-east-1" in answer.errors[0]["message"]
        assert sandbox.calls == []
