"""The control API shows callers and calls, and changes jobs."""

import pytest

from gateway.sandbox import CALLERS, ROLE_ARNS
from tests.sandbox.wire import JOBS, control, get, logged_calls, send

ADA = CALLERS["ada"]


def test_callers_and_users_are_listed(url: str) -> None:
    listed = control(url, "GET", "/callers").json()
    users = listed["people"]

    assert {caller["name"]: caller["access_key_id"] for caller in listed["callers"]} == {
        name: caller.access_key_id for name, caller in CALLERS.items()
    }
    assert {user["name"]: user["role_arn"] for user in users} == ROLE_ARNS
    assert users[0]["claims"] == {"email": "ada@example.com", "groups": ["analysts"]}


def test_all_calls_are_logged(url: str) -> None:
    reply = get(url, JOBS, maxResults="3")
    get(url, JOBS, maxResults="0")
    send(url, "/nothing?a=b")
    first, second, third = logged_calls(url)

    assert first == {
        "operation": "ListAudienceGenerationJobs",
        "parameters": {"maxResults": 3},
        "request_id": reply.headers["x-amzn-requestid"],
        "access_key_id": ADA.access_key_id,
        "region": "us-east-1",
        "status": 200,
    }
    assert (second["parameters"], second["status"]) == ({"maxResults": "0"}, 400)
    assert (third["operation"], third["status"]) == (None, 404)
    assert control(url, "DELETE", "/calls").json() == {"forgotten": 3}
    assert logged_calls(url) == []


@pytest.mark.parametrize(
    ("method", "path", "body", "message"),
    [
        ("DELETE", "/faults?fault=flood", None, "fault is 'flood'. Accepted: cookie"),
        ("POST", "/faults", None, "The body is invalid. Accepted: a JSON object"),
        ("POST", "/jobs", None, "The body is invalid. Accepted: a JSON object"),
        ("POST", "/jobs", {"access_key_id": "AKIA"}, "access_key_id is 'AKIA'. Accepted: AKIA"),
        ("POST", "/jobs", {"access_key_id": ADA.access_key_id, "region": 1}, "region is 1."),
        (
            "DELETE",
            "/jobs",
            {"access_key_id": ADA.access_key_id},
            "audienceGenerationJobArn is None. Accepted: the ARN of an existing job.",
        ),
    ],
)
def test_an_invalid_request_is_explained(
    url: str, method: str, path: str, body: object, message: str
) -> None:
    reply = control(url, method, path, body)

    assert reply.status == 400
    assert reply.json()["message"].startswith(message)
