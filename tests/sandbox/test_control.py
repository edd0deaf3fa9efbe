"""The control API shows callers and calls, and changes jobs."""

import pytest

from gateway.sandbox import CALLERS, ROLE_ARNS
from tests.sandbox.wire import JOBS, JWKS, control, get, logged_calls, send

ADA, EDITH = CALLERS["ada"], CALLERS["edith"]


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
        ("POST", "/jobs", {"access_key_id": ADA.access_key_id, "region": "\ud800"}, "region is "),
        (
            "POST",
            "/jobs",
            {"access_key_id": ADA.access_key_id, "final_status": "DELETE_FAILED"},
            "final_status is 'DELETE_FAILED'. Accepted: ACTIVE, CREATE_FAILED.",
        ),
        ("POST", "/jobs/status", {"status": "ACTIVE"}, "audienceGenerationJobArn is None."),
        (
            "POST",
            "/jobs/status",
            {"audienceGenerationJobArn": "arn", "status": "DONE"},
            "status is 'DONE'. Accepted: CREATE_PENDING, CREATE_IN_PROGRESS, ACTIVE, ",
        ),
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


@pytest.mark.parametrize("seconds", [0, -30, 86_401, 1.5, 30.0, True, "30", None, [30]])
def test_a_duration_out_of_bounds_is_refused(url: str, seconds: object) -> None:
    body = {"access_key_id": ADA.access_key_id, "seconds": seconds}
    reply = control(url, "POST", "/jobs", body)

    message = f"seconds is {seconds!r}. Accepted: a whole number from 1 to 86400."
    assert (reply.status, reply.json()["message"]) == (400, message)


def names_of(arn: str) -> list[str]:
    """Return texts close to an ARN."""
    other = EDITH.account_id
    return [
        *(arn[:end] for end in range(0, len(arn), 9)),
        *(arn.replace(part, "x") for part in arn.split(":")),
        arn.replace(ADA.account_id, other),
        arn.replace("us-east-1", "eu-west-1"),
        arn.replace("us-east-1", "\ud800"),
        arn + "0",
    ]


@pytest.mark.parametrize(
    ("method", "path", "others"),
    [
        ("POST", "/jobs/status", {"status": "ACTIVE"}),
        ("DELETE", "/jobs", {"access_key_id": ADA.access_key_id}),
    ],
)
def test_a_job_is_named_by_its_whole_arn(
    url: str, method: str, path: str, others: dict[str, str]
) -> None:
    before = get(url, JOBS).body
    arn = get(url, JOBS).json()["audienceGenerationJobs"][0]["audienceGenerationJobArn"]
    for name in names_of(arn):
        reply = control(url, method, path, {"audienceGenerationJobArn": name, **others})

        accepted = "Accepted: the ARN of an existing job."
        message = f"audienceGenerationJobArn is {name!r}. {accepted}"
        assert (reply.status, reply.json()["message"]) == (400, message)
    assert get(url, JOBS).body == before


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/faults"),
        ("POST", "/jobs"),
        ("POST", "/jobs/status"),
        ("DELETE", "/jobs"),
        ("POST", "/tokens"),
    ],
)
def test_an_unknown_member_is_refused(url: str, method: str, path: str) -> None:
    body = {
        "/faults": {"fault": "throttle"},
        "/jobs": {"access_key_id": ADA.access_key_id},
        "/jobs/status": {"status": "ACTIVE"},
        "/tokens": {"subject": "ada"},
    }[path]
    reply = control(url, method, path, {**body, "second": 30})

    assert reply.status == 400
    assert "no parameter 'second'. Accepted: " in reply.json()["message"]


POSTS = ["/faults", "/jobs", "/jobs/status", "/tokens", "/keys/rotate"]
SIMPLE = ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("content_type", [*SIMPLE, "text/plain; application/json", ""])
def test_a_post_that_a_page_can_send_is_415(url: str, path: str, content_type: str) -> None:
    """A browser asks before it sends JSON to another origin, and the sandbox does not consent."""
    headers = {"Content-Type": content_type} if content_type else {}
    body = b'{"fault": "throttle", "subject": "ada"}'
    reply = send(url, f"/_sandbox{path}", method="POST", headers=headers, body=body)

    assert reply.status == 415
    assert reply.json()["message"].endswith("Accepted: application/json.")
    assert control(url, "GET", "/faults").json()["active"] == []


def test_a_post_without_a_body_is_415_too(url: str) -> None:
    kids = get_kids(url)

    assert send(url, "/_sandbox/keys/rotate", method="POST").status == 415
    assert get_kids(url) == kids


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_a_request_of_a_page_of_another_site_is_403(url: str, method: str) -> None:
    headers = {"Content-Type": "application/json", "Sec-Fetch-Site": "cross-site"}
    reply = send(
        url, "/_sandbox/faults", method=method, headers=headers, body=b'{"fault": "throttle"}'
    )

    assert reply.status == 403
    assert control(url, "GET", "/faults").json()["active"] == []


def test_a_preflight_is_not_answered(url: str) -> None:
    """So no page of another origin can send JSON, or DELETE."""
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "DELETE"}
    reply = send(url, "/_sandbox/faults", method="OPTIONS", headers=headers)

    assert reply.status == 405
    assert "access-control-allow-origin" not in reply.headers


def test_a_charset_does_not_matter(url: str) -> None:
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    reply = send(
        url, "/_sandbox/tokens", method="POST", headers=headers, body=b'{"subject": "ada"}'
    )

    assert reply.status == 200


def get_kids(url: str) -> list[str]:
    return [key["kid"] for key in send(url, JWKS).json()["keys"]]
