"""Jobs through the running gateway: rows, details on demand, arguments, faults of the upstream."""

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
    """Ask for the first jobs."""
    query = f"{{ audienceGenerationJobs(first: {first}) {{ nodes {{ {fields} }} }} }}"
    found: list[Any] = gateway.ask(query, caller=caller).data["audienceGenerationJobs"]["nodes"]
    return found


def test_rows_cost_one_call(gateway: Gateway) -> None:
    """All that the list tells needs no Get."""
    rows = nodes(gateway, EVERY_ROW_FIELD)
    assert len(rows) == 100
    assert {call["operation"] for call in gateway.sandbox.calls} == {LIST}
    assert gateway.sandbox.count() == 1


def test_details_cost_one_get_a_row(gateway: Gateway) -> None:
    """Whatever and however many of them are selected, twice under aliases too."""
    detailed = nodes(gateway, EVERY_ROW_FIELD + EVERY_DETAIL + "again: tags { key }", first=30)
    assert gateway.sandbox.count(LIST) == 1
    assert gateway.sandbox.count(GET) == 30
    assert any(job["statusDetails"] for job in nodes(gateway, "statusDetails { message }"))
    for job in detailed:
        assert job["seedAudience"]["roleArn"].startswith("arn:aws:iam::")
        assert [tag["key"] for tag in job["tags"]] == [tag["key"] for tag in job["again"]]


def test_rows_are_the_same_with_and_without_details(gateway: Gateway) -> None:
    """The short cut for plain rows and the stock way tell the same, of real rows."""
    plain = nodes(gateway, EVERY_ROW_FIELD)
    detailed = nodes(gateway, EVERY_ROW_FIELD + "includeSeedInOutput")
    assert [{k: v for k, v in job.items() if k in plain[0]} for job in detailed] == plain


def test_one_job_by_its_arn(gateway: Gateway) -> None:
    """The single object tells what its row tells."""
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
    """Asked by name, absence is an error; AWS's own words stay with us."""
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
    """Ask for the list with an argument."""
    return f"{{ audienceGenerationJobs({argument}) {{ nodes {{ name }} }} }}"


def of_one(arn: str) -> str:
    """Ask for one job."""
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
def test_a_wrong_argument_is_named_and_costs_nothing(
    gateway: Gateway, query: str, named: str, accepted: str
) -> None:
    """It says which argument, and what is accepted; the upstream hears nothing."""
    answer = gateway.ask(query)
    assert answer.status == 200
    assert answer.code == "BAD_USER_INPUT"
    assert f"`{named}`" in answer.errors[0]["message"]
    assert accepted in answer.errors[0]["message"]
    assert gateway.sandbox.calls == []


def test_the_upstreams_own_filters_narrow_the_list(gateway: Gateway) -> None:
    """Model and collaboration are passed on, and each job that comes back has them."""
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
    """Whatever the cursors say; each page is asked once."""
    query = "{ audienceGenerationJobs(first: 1) { totalCount nodes { name } } }"
    assert gateway.ask(query, caller="grace").data["audienceGenerationJobs"]["totalCount"] == 240
    assert gateway.sandbox.count() == 3


def test_the_count_is_null_where_the_budget_ends(sandbox: Sandbox) -> None:
    """The page itself is whole."""
    query = "{ audienceGenerationJobs(first: 1) { totalCount nodes { name } } }"
    with gateway_over(sandbox, max_upstream_calls=2) as gateway:
        found = gateway.ask(query, caller="grace").data["audienceGenerationJobs"]
    assert found["totalCount"] is None
    assert len(found["nodes"]) == 1


def test_a_spent_budget_pages_on_also_without_an_edge(sandbox: Sandbox) -> None:
    """Three empty pages and a budget of two: no edge, but a cursor that goes on from there."""
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


def test_a_query_that_asks_for_too_many_details_is_refused_up_front(sandbox: Sandbox) -> None:
    """It names estimate and limit, and the upstream hears nothing."""
    query = "{ audienceGenerationJobs(first: 3) { nodes { name tags { key } } } }"
    with gateway_over(sandbox, max_detail_calls=2) as gateway:
        answer = gateway.ask(query)
    assert (answer.status, answer.code) == (400, "LIMIT_EXCEEDED")
    message = answer.errors[0]["message"]
    assert "3 upstream calls" in message
    assert "up to 2 (GATEWAY_MAX_DETAIL_CALLS)" in message
    assert sandbox.calls == []


def test_what_no_estimate_foresees_is_bounded_all_the_same(sandbox: Sandbox) -> None:
    """Rows over the budget have an error in their place; the others are whole."""
    model = "configuredAudienceModel { name }"
    query = f"{{ audienceGenerationJobs(first: 50) {{ nodes {{ name {model} }} }} }}"
    with gateway_over(sandbox, max_detail_calls=1) as gateway:
        answer = gateway.ask(query)
    assert {error["extensions"]["code"] for error in answer.errors} == {"LIMIT_EXCEEDED"}
    told = answer.content["data"]["audienceGenerationJobs"]["nodes"]
    models = [job["configuredAudienceModel"] is None for job in told]
    assert models.count(True) == len(answer.errors)
    assert False in models
    assert sandbox.count("GetConfiguredAudienceModel") == 1


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ({"name": "throttle", "retry_after": 1}, "THROTTLED"),
        ({"name": "internal-error"}, "UPSTREAM_UNAVAILABLE"),
        ({"name": "unavailable"}, "UPSTREAM_UNAVAILABLE"),
        ({"name": "denied"}, "FORBIDDEN"),
        ({"name": "html"}, "UPSTREAM_INVALID_RESPONSE"),
        ({"name": "truncated"}, "UPSTREAM_INVALID_RESPONSE"),
        ({"name": "redirect"}, "UPSTREAM_INVALID_RESPONSE"),
        ({"name": "missing-field"}, "UPSTREAM_INVALID_RESPONSE"),
        ({"name": "null-row"}, "UPSTREAM_INVALID_RESPONSE"),
        ({"name": "odd-timestamp", "value": 12}, "UPSTREAM_INVALID_RESPONSE"),
        ({"name": "odd-timestamp", "value": "yesterday"}, "UPSTREAM_INVALID_RESPONSE"),
        ({"name": "repeat-token"}, "UPSTREAM_INVALID_RESPONSE"),
        ({"name": "reset"}, "UPSTREAM_UNAVAILABLE"),
    ],
)
def test_a_fault_of_the_upstream_has_its_code(
    gateway: Gateway, fault: dict[str, Any], code: str
) -> None:
    """The field is null, the code says what happened, and no detail of AWS's text comes through."""
    gateway.sandbox.fault(**fault)
    answer = gateway.ask("{ __typename audienceGenerationJobs(first: 150) { nodes { name } } }")
    assert answer.status == 200
    assert answer.code == code
    assert answer.content["data"] == {"__typename": "Query", "audienceGenerationJobs": None}
    assert CALLERS["ada"].account_id not in str(answer.content)
    if code == "THROTTLED":
        assert answer.errors[0]["extensions"]["retryAfter"] == 1


def test_the_deadline_ends_what_hangs(sandbox: Sandbox) -> None:
    """A hung upstream is an error of the field, not of the request."""
    with gateway_over(sandbox, deadline_seconds=0.2) as gateway:
        sandbox.fault("hang")
        answer = gateway.ask("{ audienceGenerationJobs { nodes { name } } }")
        sandbox.reset()
    assert answer.code == "UPSTREAM_TIMEOUT"


def test_a_status_of_tomorrow_is_unknown(gateway: Gateway) -> None:
    """It breaks neither its row nor the others, in the list and in details."""
    gateway.sandbox.fault("unknown-status", rows=2)
    for fields in ("status", "status includeSeedInOutput"):
        statuses = [job["status"] for job in nodes(gateway, fields, first=10)]
        assert statuses[:2] == ["UNKNOWN", "UNKNOWN"]
        assert "UNKNOWN" not in statuses[2:]


def test_one_alias_failing_leaves_the_others_whole(gateway: Gateway) -> None:
    """The error has the failing one's path."""
    answer = gateway.ask(
        "{ good: audienceGenerationJobs(first: 1) { nodes { name } }"
        '  bad: audienceGenerationJobs(first: 1, after: "x") { nodes { name } } }'
    )
    assert answer.errors[0]["path"] == ["bad"]
    assert answer.content["data"]["bad"] is None
    assert len(answer.content["data"]["good"]["nodes"]) == 1


def test_a_second_question_within_the_cache_time_costs_nothing(sandbox: Sandbox) -> None:
    """Pages of 20 out of one upstream page; `no-cache` reads past it and refreshes it."""
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


def test_another_caller_is_not_served_from_my_cache(sandbox: Sandbox) -> None:
    """Not another account's, and not another key pair's of the same account."""
    query = "{ audienceGenerationJobs { nodes { name } } }"
    with gateway_over(sandbox, cache_seconds=60) as gateway:
        for caller in ("ada", "ada_again", "grace", "ada", "ada_again", "grace"):
            gateway.ask(query, caller=caller)
    asked = [call["access_key_id"] for call in sandbox.calls]
    assert asked == [CALLERS[name].access_key_id for name in ("ada", "ada_again", "grace")]


def test_the_right_key_id_with_the_wrong_rest_meets_aws(sandbox: Sandbox) -> None:
    """While the page is warm, who knows the key id alone is judged by AWS, and refused."""
    query = "{ audienceGenerationJobs { nodes { name } } }"
    with gateway_over(sandbox, cache_seconds=60) as gateway:
        gateway.ask(query)
        for header in ("X-Aws-Secret-Access-Key", "X-Aws-Session-Token"):
            answer = gateway.ask(query, headers={header: "another" * 6})
            assert answer.status == 401
    assert [call["status"] for call in sandbox.calls] == [200, 403, 403]
