"""Jobs through the running gateway: rows, details on demand, arguments, limits, caching."""

from typing import Any

import pytest

from gateway.sandbox import CALLERS
from tests.gateways import Gateway, Sandbox, gateway_over

EVERY_ROW_FIELD = """
  id audienceGenerationJobArn collaborationId configuredAudienceModelArn createTime description
  name startedBy status updateTime
"""
EVERY_DETAIL = """
  statusDetails { statusCode message }
  seedAudience {
    dataSource { s3Uri } roleArn sqlComputeConfiguration { worker { type number } }
  }
  includeSeedInOutput
  metrics { relevanceMetrics { audienceSize { type value } score } recallMetric }
  tags { key value }
  protectedQueryIdentifier
"""
LIST = "ListAudienceGenerationJobs"
GET = "GetAudienceGenerationJob"


def nodes(gateway: Gateway, fields: str, first: int = 100, caller: str = "grace") -> list[Any]:
    query = f"{{ audienceGenerationJobs(first: {first}) {{ nodes {{ {fields} }} }} }}"
    found: list[Any] = gateway.ask(query, caller=caller).data["audienceGenerationJobs"]["nodes"]
    return found


def test_rows_cost_one_call(gateway: Gateway) -> None:
    rows = nodes(gateway, EVERY_ROW_FIELD)
    assert len(rows) == 100
    assert {call["operation"] for call in gateway.sandbox.calls} == {LIST}
    assert gateway.sandbox.count() == 1


def test_details_cost_one_get_per_row(gateway: Gateway) -> None:
    """The number of selected details makes no difference, nor do aliases."""
    detailed = nodes(gateway, EVERY_ROW_FIELD + EVERY_DETAIL + "again: tags { key }", first=30)
    assert gateway.sandbox.count(LIST) == 1
    assert gateway.sandbox.count(GET) == 30
    assert any(job["statusDetails"] for job in nodes(gateway, "statusDetails { message }"))
    for job in detailed:
        assert job["seedAudience"]["roleArn"].startswith("arn:aws:iam::")
        assert [tag["key"] for tag in job["tags"]] == [tag["key"] for tag in job["again"]]


def test_rows_are_the_same_with_and_without_details(gateway: Gateway) -> None:
    """The shortcut for rows of scalar fields changes nothing."""
    plain = nodes(gateway, EVERY_ROW_FIELD)
    detailed = nodes(gateway, EVERY_ROW_FIELD + "includeSeedInOutput")
    assert [{k: v for k, v in job.items() if k in plain[0]} for job in detailed] == plain


def test_one_job_by_its_arn(gateway: Gateway) -> None:
    """It has the same values as its row."""
    row = nodes(gateway, EVERY_ROW_FIELD, first=1)[0]
    gateway.sandbox.reset()
    query = (
        "query Job($arn: String!) { audienceGenerationJob(audienceGenerationJobArn: $arn) {"
        f" {EVERY_ROW_FIELD} {EVERY_DETAIL} }} }}"
    )
    job = gateway.ask(query, {"arn": row["audienceGenerationJobArn"]}, caller="grace").data[
        "audienceGenerationJob"
    ]
    assert {name: job[name] for name in row} == row
    assert [call["operation"] for call in gateway.sandbox.calls] == [GET]


def test_a_job_that_does_not_exist_is_not_found(gateway: Gateway) -> None:
    """AWS's own message is not passed on."""
    arn = nodes(gateway, "audienceGenerationJobArn", first=1)[0]["audienceGenerationJobArn"]
    query = f'{{ audienceGenerationJob(audienceGenerationJobArn: "{arn}") {{ name }} }}'
    answer = gateway.ask(query, caller="edith")
    assert answer.code == "NOT_FOUND"
    assert answer.errors[0]["path"] == ["audienceGenerationJob"]
    aws = answer.errors[0]["extensions"]["aws"]
    assert (aws["operation"], aws["code"]) == (GET, "ResourceNotFoundException")
    assert aws["requestId"]
    assert arn not in str(answer.content)


ARN = "arn:aws:cleanrooms-ml:us-east-1:222233334444:audience-generation-job/x"
MODEL = "arn:aws:cleanrooms-ml:us-east-1:222233334444:configured-audience-model/x"


ELSEWHERE = ARN.replace("us-east-1", "eu-west-1")


def of_list(argument: str) -> str:
    return f"{{ audienceGenerationJobs({argument}) {{ nodes {{ name }} }} }}"


def of_one(arn: str) -> str:
    return f'{{ audienceGenerationJob(audienceGenerationJobArn: "{arn}") {{ name }} }}'


@pytest.mark.parametrize(
    ("query", "named", "accepted"),
    [
        (of_list(f'collaborationId: "{"1" * 35}"'), "collaborationId", "36"),
        (of_list(f'collaborationId: "{"x" * 36}"'), "collaborationId", "36"),
        (of_list('collaborationId: ""'), "collaborationId", "36"),
        (of_list('configuredAudienceModelArn: "x"'), "configuredAudienceModelArn", "arn:aws"),
        (of_list(f'configuredAudienceModelArn: "{ARN}"'), "configuredAudienceModelArn", "arn:aws"),
        (of_list('region: "eu-west-1"'), "region", "us-east-1"),
        (of_list('region: "evil.example/#"'), "region", "us-east-1"),
        (of_list('region: ""'), "region", "us-east-1"),
        (of_one(""), "audienceGenerationJobArn", "arn:aws"),
        (of_one(MODEL), "audienceGenerationJobArn", "arn:aws"),
        (of_one(ELSEWHERE), "audienceGenerationJobArn", "us-east-1"),
        (of_one(ARN + "x" * 100_000), "audienceGenerationJobArn", "20 to 2048 characters"),
    ],
)
def test_an_invalid_argument_is_an_error_without_a_call(
    gateway: Gateway, query: str, named: str, accepted: str
) -> None:
    answer = gateway.ask(query)
    assert answer.status == 200
    assert answer.code == "BAD_USER_INPUT"
    assert f"`{named}`" in answer.errors[0]["message"]
    assert accepted in answer.errors[0]["message"]
    assert gateway.sandbox.calls == []


def test_filters_of_aws_are_passed_on(gateway: Gateway) -> None:
    job = next(
        job
        for job in nodes(gateway, "collaborationId configuredAudienceModelArn")
        if job["collaborationId"]
    )
    query = """query F($c: ID, $m: String) {
      audienceGenerationJobs(first: 500, collaborationId: $c, configuredAudienceModelArn: $m) {
        totalCount nodes { collaborationId configuredAudienceModelArn }
      }
    }"""
    variables = {"c": job["collaborationId"], "m": job["configuredAudienceModelArn"]}
    found = gateway.ask(query, variables, caller="grace").data["audienceGenerationJobs"]
    assert found["nodes"] == [job] * found["totalCount"]


def test_the_count_is_of_the_whole_list(gateway: Gateway) -> None:
    """Each page is requested once."""
    everything = "{ audienceGenerationJobs(first: 500) { nodes { name } } }"
    jobs = gateway.ask(everything, caller="grace").data["audienceGenerationJobs"]["nodes"]
    gateway.sandbox.reset()
    query = "{ audienceGenerationJobs(first: 1) { totalCount nodes { name } } }"
    found = gateway.ask(query, caller="grace").data["audienceGenerationJobs"]
    assert found["totalCount"] == len(jobs) >= 240
    assert gateway.sandbox.count() == 3


def test_the_count_is_null_if_the_budget_does_not_suffice(sandbox: Sandbox) -> None:
    """The page itself is complete."""
    query = "{ audienceGenerationJobs(first: 1) { totalCount nodes { name } } }"
    with gateway_over(sandbox, max_upstream_calls=2) as gateway:
        found = gateway.ask(query, caller="grace").data["audienceGenerationJobs"]
    assert found["totalCount"] is None
    assert len(found["nodes"]) == 1


def test_a_page_without_edges_has_a_cursor_to_continue(sandbox: Sandbox) -> None:
    """Three pages are empty, and the budget is two."""
    query = """query P($after: String) { audienceGenerationJobs(first: 3, after: $after) {
      edges { cursor } nodes { name } pageInfo { hasNextPage endCursor startCursor } } }"""
    with gateway_over(sandbox, max_upstream_calls=2, cache_seconds=0) as gateway:
        expected = nodes(gateway, "name", first=3, caller="edith")
        sandbox.fault("empty-pages", count=3)
        first = gateway.ask(query, caller="edith").data["audienceGenerationJobs"]
        assert first["edges"] == []
        assert first["pageInfo"]["hasNextPage"]
        assert first["pageInfo"]["startCursor"] is None
        after = {"after": first["pageInfo"]["endCursor"]}
        second = gateway.ask(query, after, caller="edith").data["audienceGenerationJobs"]
        assert second["nodes"] == expected


def test_a_query_for_too_many_details_is_rejected_before_any_call(sandbox: Sandbox) -> None:
    query = "{ audienceGenerationJobs(first: 3) { nodes { name tags { key } } } }"
    with gateway_over(sandbox, max_detail_calls=2) as gateway:
        answer = gateway.ask(query)
    assert (answer.status, answer.code) == (400, "LIMIT_EXCEEDED")
    message = answer.errors[0]["message"]
    assert "3 upstream calls" in message
    assert "up to 2 (GATEWAY_MAX_DETAIL_CALLS)" in message
    assert sandbox.calls == []


def test_the_budget_holds_where_the_estimate_was_too_low(sandbox: Sandbox) -> None:
    """Rows over the budget have an error each; the others are complete."""
    model = "configuredAudienceModel { name }"
    query = f"{{ audienceGenerationJobs(first: 50) {{ nodes {{ name {model} }} }} }}"
    with gateway_over(sandbox, max_detail_calls=1) as gateway:
        answer = gateway.ask(query)
    assert {error["extensions"]["code"] for error in answer.errors} == {"LIMIT_EXCEEDED"}
    rows = answer.content["data"]["audienceGenerationJobs"]["nodes"]
    models = [job["configuredAudienceModel"] is None for job in rows]
    omitted = answer.content["extensions"]["errorsOmitted"]
    assert models.count(True) == len(answer.errors) + omitted
    assert False in models
    assert sandbox.count("GetConfiguredAudienceModel") == 1


def test_a_status_added_by_aws_is_unknown(gateway: Gateway) -> None:
    """This holds in the list and with details; the other rows are unaffected."""
    gateway.sandbox.fault("unknown-status", rows=2)
    for fields in ("status", "status includeSeedInOutput"):
        statuses = [job["status"] for job in nodes(gateway, fields, first=10)]
        assert statuses[:2] == ["UNKNOWN", "UNKNOWN"]
        assert "UNKNOWN" not in statuses[2:]


def test_a_second_request_is_served_from_the_cache(sandbox: Sandbox) -> None:
    """Pages of 20 from one upstream page; `no-cache` bypasses and refreshes the cache."""
    query = "{ audienceGenerationJobs(first: 20) { nodes { name } pageInfo { endCursor } } }"
    page = "query P($a: String) { audienceGenerationJobs(first: 20, after: $a) { nodes { name } } }"
    with gateway_over(sandbox, cache_seconds=60) as gateway:
        first = gateway.ask(query).data["audienceGenerationJobs"]
        gateway.ask(page, {"a": first["pageInfo"]["endCursor"]})
        assert sandbox.count() == 1
        gateway.ask(query, headers={"Cache-Control": "no-cache"})
        assert sandbox.count() == 2
        gateway.ask(query)
        assert sandbox.count() == 2


def test_callers_do_not_share_cached_pages(sandbox: Sandbox) -> None:
    """Neither other accounts nor other key pairs of the same account share them."""
    query = "{ audienceGenerationJobs { nodes { name } } }"
    with gateway_over(sandbox, cache_seconds=60) as gateway:
        for caller in ("ada", "ada_again", "grace", "ada", "ada_again", "grace"):
            gateway.ask(query, caller=caller)
    access_keys = [call["access_key_id"] for call in sandbox.calls]
    assert access_keys == [CALLERS[name].access_key_id for name in ("ada", "ada_again", "grace")]


def test_a_key_id_with_a_wrong_secret_or_token_does_not_hit_the_cache(sandbox: Sandbox) -> None:
    """AWS receives the request and rejects it."""
    query = "{ audienceGenerationJobs { nodes { name } } }"
    with gateway_over(sandbox, cache_seconds=60) as gateway:
        gateway.ask(query)
        for header in ("X-Aws-Secret-Access-Key", "X-Aws-Session-Token"):
            answer = gateway.ask(query, headers={header: "another" * 6})
            assert answer.status == 401
    assert [call["status"] for call in sandbox.calls] == [200, 403, 403]
