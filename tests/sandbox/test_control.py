"""The control API: it shows what happened, and refuses nonsense with one clear sentence."""

import pytest

from gateway.sandbox import CALLERS, ROLE_ARNS
from gateway.sandbox.faults.registry import FAULTS
from tests.sandbox.wire import JOBS, ask, control, send

ADA = CALLERS["ada"]


def test_callers_are_shown_with_their_keys(url: str) -> None:
    """Whoever runs a sandbox can look its public keys up there."""
    callers = control(url, "GET", "/callers").json()["callers"]

    assert {caller["name"]: caller["access_key_id"] for caller in callers} == {
        name: caller.access_key_id for name, caller in CALLERS.items()
    }


def test_people_are_shown_with_their_roles(url: str) -> None:
    """So are the people the issuer knows, what it says of them, and their roles."""
    people = control(url, "GET", "/callers").json()["people"]

    assert {person["name"]: person["role_arn"] for person in people} == ROLE_ARNS
    assert people[0]["claims"] == {"email": "ada@example.com", "groups": ["analysts"]}


def test_faults_are_shown_with_their_settings(url: str) -> None:
    """Those that are on and those that are known are listed, with descriptions and defaults."""
    control(url, "POST", "/faults", {"fault": "slow", "seconds": 0.5, "times": 3})
    shown = control(url, "GET", "/faults").json()

    assert shown["active"] == [
        {"fault": "slow", "operation": None, "access_key_id": None, "times": 3, "seconds": 0.5}
    ]
    assert {known["fault"] for known in shown["known"]} == set(FAULTS)
    assert all(known["description"] for known in shown["known"])


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ([], "a JSON object"),
        ({}, "fault is None. Accepted: cookie, deep, denied"),
        ({"fault": "flood"}, "fault is 'flood'. Accepted: cookie"),
        ({"fault": ["slow"]}, "fault is ['slow']. Accepted: "),
        ({"fault": "slow", "seconds": "2"}, "seconds is '2'. Accepted: a number from 0"),
        ({"fault": "slow", "seconds": -1}, "seconds is -1"),
        ({"fault": "slow", "seconds": True}, "seconds is True"),
        ({"fault": "short-pages", "size": 1.5}, "size is 1.5. Accepted: a whole number"),
        ({"fault": "short-pages", "size": 0}, "size is 0. Accepted: a whole number from 1"),
        ({"fault": "slow", "size": 1}, "slow has no parameter 'size'. Accepted: access_key_id"),
        ({"fault": "slow", "times": 0}, "times is 0. Accepted: null or a whole number from 1"),
        ({"fault": "slow", "operation": "Sing"}, "operation is 'Sing'. Accepted: null"),
        ({"fault": "slow", "access_key_id": "AKIA"}, "access_key_id is 'AKIA'. Accepted: "),
        ({"fault": "redirect", "location": "a\r\nb"}, "printable ASCII"),
    ],
)
def test_a_bad_order_is_explained(url: str, order: object, words: str) -> None:
    """The answer names what was wrong and what would be accepted, and nothing is switched on."""
    reply = control(url, "POST", "/faults", order)

    assert reply.status == 400
    assert words in reply.json()["message"]
    assert control(url, "GET", "/faults").json()["active"] == []


@pytest.mark.parametrize(
    ("method", "path", "words"),
    [
        ("DELETE", "/faults?fault=flood", "fault is 'flood'"),
        ("POST", "/faults", "a JSON object"),
        ("POST", "/jobs", "a JSON object"),
    ],
)
def test_other_bad_requests_are_explained(url: str, method: str, path: str, words: str) -> None:
    """So it is for every control request."""
    reply = control(url, method, path)

    assert reply.status == 400
    assert words in reply.json()["message"]


def test_every_call_is_remembered(url: str) -> None:
    """The log says who asked what, where, and how it ended, refusals included."""
    ask(url, JOBS, maxResults="3")
    ask(url, JOBS, maxResults="0")
    send(url, "/nothing?a=b")
    first, second, third = control(url, "GET", "/calls").json()["calls"]

    assert first == {
        "operation": "ListAudienceGenerationJobs",
        "parameters": {"maxResults": 3},
        "request_id": first["request_id"],
        "access_key_id": ADA.access_key_id,
        "region": "us-east-1",
        "status": 200,
    }
    assert (second["parameters"], second["status"]) == ({"maxResults": "0"}, 400)
    assert (third["operation"], third["status"]) == (None, 404)
    assert control(url, "DELETE", "/calls").json() == {"forgotten": 3}
    assert control(url, "GET", "/calls").json() == {"calls": []}


def test_the_log_names_the_request(url: str) -> None:
    """The request id of an answer finds its line in the log."""
    reply = ask(url, JOBS)
    (call,) = control(url, "GET", "/calls").json()["calls"]

    assert call["request_id"] == reply.headers["x-amzn-requestid"]


@pytest.mark.parametrize(
    ("method", "order", "words"),
    [
        ("POST", {"access_key_id": "AKIA"}, "access_key_id is 'AKIA'. Accepted: "),
        ("POST", {"access_key_id": ADA.access_key_id, "region": 1}, "region is 1"),
        ("DELETE", {"access_key_id": ADA.access_key_id}, "the ARN of an existing job"),
    ],
)
def test_bad_orders_about_jobs_are_explained(
    url: str, method: str, order: object, words: str
) -> None:
    """Jobs are started and removed for a known caller only."""
    reply = control(url, method, "/jobs", order)

    assert reply.status == 400
    assert words in reply.json()["message"]
