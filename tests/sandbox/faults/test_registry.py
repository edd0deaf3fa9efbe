"""Faults apply to the calls that they are meant for, until they are healed."""

import pytest

from gateway.sandbox import CALLERS
from gateway.sandbox.faults.registry import FAULTS
from tests.sandbox.identities import assume_role, id_token
from tests.sandbox.wire import JOBS, JWKS, control, get, send, sign, switch_on

ADA, GRACE = CALLERS["ada"], CALLERS["grace"]


def test_a_fault_can_be_limited_to_a_caller_an_operation_and_a_number_of_calls(url: str) -> None:
    switch_on(
        url,
        "unavailable",
        access_key_id=ADA.access_key_id,
        operation="ListAudienceGenerationJobs",
        times=2,
    )

    assert get(url, JOBS, GRACE).status == 200
    assert get(url, "/audience-model").status == 200
    assert [get(url, JOBS).status for _ in range(3)] == [503, 503, 200]
    assert control(url, "GET", "/faults").json()["active"] == []


def test_a_fault_of_a_caller_does_not_apply_to_unsigned_calls(url: str) -> None:
    switch_on(url, "unavailable", access_key_id=ADA.access_key_id)

    assert get(url, JOBS).status == 503
    assert assume_role(url, id_token(url))["Credentials"]


@pytest.mark.parametrize(
    "fault",
    [
        "expired-token-credentials",
        "expired-next-token",
        "short-pages",
        "unknown-status",
        "missing-field",
        "odd-timestamp",
        "null-row",
    ],
)
def test_faults_of_data_calls_do_not_apply_to_the_issuer_and_sts(url: str, fault: str) -> None:
    switch_on(url, fault)

    assert send(url, JWKS).status == 200
    assert assume_role(url, id_token(url))["Credentials"]


def test_several_faults_apply_together_and_the_same_one_is_replaced(url: str) -> None:
    switch_on(url, "short-pages", size=5)
    switch_on(url, "short-pages", size=3)
    switch_on(url, "cookie")
    reply = get(url, JOBS)

    assert len(reply.json()["audienceGenerationJobs"]) == 3
    assert "set-cookie" in reply.headers


def test_faults_are_healed_by_name_or_all_together(url: str) -> None:
    for fault in ("throttle", "cookie", "truncated"):
        switch_on(url, fault)

    assert control(url, "DELETE", "/faults?fault=throttle").json() == {"healed": 1}
    assert "set-cookie" in get(url, JOBS).headers
    assert control(url, "DELETE", "/faults").json() == {"healed": 2}
    assert "set-cookie" not in get(url, JOBS).headers


def test_faults_do_not_bypass_the_signature(url: str) -> None:
    switch_on(url, "html")

    assert send(url, JOBS).status == 403
    assert send(url, "/audience-model", headers=sign(url, JOBS)).status == 403


def test_active_and_known_faults_are_listed(url: str) -> None:
    switch_on(url, "slow", seconds=0.5, times=3)
    listed = control(url, "GET", "/faults").json()

    assert listed["active"] == [
        {"fault": "slow", "operation": None, "access_key_id": None, "times": 3, "seconds": 0.5}
    ]
    assert [known["fault"] for known in listed["known"]] == list(FAULTS)
    assert all(known["description"] for known in listed["known"])


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ([], "The body is invalid. Accepted: a JSON object"),
        ({}, "fault is None. Accepted: cookie, deep, denied"),
        ({"fault": ["slow"]}, "fault is ['slow']. Accepted: cookie"),
        ({"fault": "slow", "seconds": "2"}, "seconds is '2'. Accepted: a number from 0."),
        ({"fault": "slow", "seconds": -1}, "seconds is -1."),
        ({"fault": "slow", "seconds": True}, "seconds is True."),
        ({"fault": "short-pages", "size": 1.5}, "size is 1.5. Accepted: a whole number from 1."),
        ({"fault": "short-pages", "size": 0}, "size is 0."),
        ({"fault": "slow", "size": 1}, "slow has no parameter 'size'. Accepted: access_key_id"),
        ({"fault": "slow", "times": 0}, "times is 0. Accepted: null or a whole number from 1."),
        ({"fault": "slow", "operation": "Sing"}, "operation is 'Sing'. Accepted: null, Assume"),
        ({"fault": "slow", "access_key_id": "AKIA"}, "access_key_id is 'AKIA'. Accepted: null, A"),
        (
            {"fault": "redirect", "location": "a\r\nb"},
            "location is 'a\\r\\nb'. Accepted: print",
        ),
        ({"fault": "redirect", "status": 200}, "status is 200. Accepted: 301, 302, 303, 307, 308."),
    ],
)
def test_an_invalid_request_is_explained(url: str, body: object, message: str) -> None:
    reply = control(url, "POST", "/faults", body)

    assert reply.status == 400
    assert reply.json()["message"].startswith(message)
    assert control(url, "GET", "/faults").json()["active"] == []
