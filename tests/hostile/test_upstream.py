"""Whatever the upstream does, the caller is told by a code, and the gateway is well afterwards."""

from typing import Any

import pytest

from gateway.sandbox.faults.registry import FAULTS
from tests.hostile.target import JOBS, NOTHING, WIRE_ATTEMPTS, Target, private_in

FAILURES = {
    "throttle": "THROTTLED",
    "internal-error": "UPSTREAM_UNAVAILABLE",
    "unavailable": "UPSTREAM_UNAVAILABLE",
    "reset": "UPSTREAM_UNAVAILABLE",
    "denied": "FORBIDDEN",
    "gzip": "UPSTREAM_INVALID_RESPONSE",
    "missing-field": "UPSTREAM_INVALID_RESPONSE",
    "odd-timestamp": "UPSTREAM_INVALID_RESPONSE",
    "wrong-type": "UPSTREAM_INVALID_RESPONSE",
    "null-row": "UPSTREAM_INVALID_RESPONSE",
    "html": "UPSTREAM_INVALID_RESPONSE",
    "truncated": "UPSTREAM_INVALID_RESPONSE",
    "redirect": "UPSTREAM_INVALID_RESPONSE",
    "not-utf8": "UPSTREAM_INVALID_RESPONSE",
    "deep": "UPSTREAM_INVALID_RESPONSE",
}
STALLS: dict[str, dict[str, Any]] = {
    "slow": {"seconds": 30},
    "hang": {},
    "drip": {},
    "half": {},
}
HARMLESS = {"short-pages", "empty-pages", "long-tokens", "cookie"}
BY_THEMSELVES = {
    "expired-token-credentials",
    "expired-next-token",
    "repeat-token",
    "unknown-status",
    "flaky",
    "headers",
    "huge",
}
OF_ANOTHER_SERVICE = {"sts-error"}
THREE_PAGES = "{ audienceGenerationJobs(first: 300) { nodes { name } } }"
CURSOR = "{ audienceGenerationJobs(first: 100) { pageInfo { endCursor } } }"
NEXT = "query($after: String) { audienceGenerationJobs(after: $after) { nodes { name } } }"


@pytest.mark.parametrize("fault", FAILURES)
def test_a_failure_is_told_by_its_code(patient: Target, fault: str) -> None:
    """Null in place of the list, one error with its path, no secret, and few tries on the wire."""
    answer = patient.struck(fault)

    assert (answer.status, answer.code) == (200, FAILURES[fault])
    assert answer.content["data"] == NOTHING
    assert answer.errors[0]["path"] == ["audienceGenerationJobs"]
    assert private_in(answer) == []
    assert 1 <= patient.sandbox.count() <= WIRE_ATTEMPTS


@pytest.mark.parametrize("fault", STALLS)
def test_what_never_ends_is_a_timeout(hasty: Target, fault: str) -> None:
    """Before the head, in the middle of the body, or a byte at a time: the deadline holds."""
    answer = hasty.struck(fault, **STALLS[fault])

    assert (answer.status, answer.code) == (200, "UPSTREAM_TIMEOUT")
    assert answer.content["data"] == NOTHING
    assert private_in(answer) == []
    assert 1 <= hasty.sandbox.count() <= WIRE_ATTEMPTS


@pytest.mark.parametrize("fault", sorted(HARMLESS))
def test_what_is_allowed_changes_nothing(patient: Target, fault: str) -> None:
    """The answer is the same as without."""
    expected = patient.gateway.ask(JOBS).data

    assert patient.struck(fault).data == expected


def test_a_head_without_measure_is_the_upstream_s_fault(patient: Target) -> None:
    """A megabyte of headers is not read to its end."""
    answer = patient.struck("headers")

    assert answer.status == 200
    assert answer.code in {"UPSTREAM_UNAVAILABLE", "UPSTREAM_INVALID_RESPONSE"}
    assert answer.content["data"] == NOTHING
    assert private_in(answer) == []
    assert 1 <= patient.sandbox.count() <= WIRE_ATTEMPTS


def test_credentials_that_have_expired_are_401(patient: Target) -> None:
    """With nothing to show the answer has no data."""
    answer = patient.struck("expired-token-credentials")

    assert (answer.status, answer.code) == (401, "UNAUTHENTICATED")
    assert "data" not in answer.content
    assert private_in(answer) == []
    assert patient.sandbox.count() == 1


def test_a_token_that_has_expired_is_an_invalid_cursor(patient: Target) -> None:
    """Whoever pages on is told to start without it."""
    after = patient.gateway.ask(CURSOR).data["audienceGenerationJobs"]["pageInfo"]["endCursor"]
    patient.sandbox.fault("expired-next-token")
    answer = patient.gateway.ask(NEXT, {"after": after})

    assert (answer.status, answer.code) == (200, "INVALID_CURSOR")
    assert answer.content["data"] == NOTHING
    assert private_in(answer) == []


def test_a_token_that_repeats_itself_makes_no_sense(patient: Target) -> None:
    """The list is not walked for ever."""
    answer = patient.struck("repeat-token", THREE_PAGES)

    assert (answer.status, answer.code) == (200, "UPSTREAM_INVALID_RESPONSE")
    assert answer.content["data"] == NOTHING
    assert patient.sandbox.count() <= WIRE_ATTEMPTS


def test_a_status_of_tomorrow_reads_unknown(patient: Target) -> None:
    """One row has it; the other is as ever."""
    expected = patient.gateway.ask(JOBS).data["audienceGenerationJobs"]["nodes"]
    answer = patient.struck("unknown-status", status="FOO")

    assert answer.data["audienceGenerationJobs"]["nodes"] == [
        {**expected[0], "status": "UNKNOWN"},
        expected[1],
    ]


def test_what_fails_now_and_then_is_an_answer_or_a_code(patient: Target) -> None:
    """Several times in a row, each question with few tries on the wire."""
    questions = 6
    patient.sandbox.fault("flaky", seconds=0.01)
    answers = [patient.gateway.ask(JOBS) for _ in range(questions)]

    assert {answer.status for answer in answers} == {200}
    assert {answer.code for answer in answers if answer.errors} <= {"UPSTREAM_UNAVAILABLE"}
    assert patient.sandbox.count() <= WIRE_ATTEMPTS * questions


@pytest.mark.parametrize("fault", ["denied", "missing-field", "html"])
def test_one_list_that_fails_leaves_the_other_whole(patient: Target, fault: str) -> None:
    """Null and an error with the alias as its path, beside the data of the other."""
    both = "{ one: audienceGenerationJobs { nodes { name } } two: audienceModels { nodes { id } } }"
    expected = patient.gateway.ask(both).data
    answer = patient.struck(fault, both, operation="ListAudienceGenerationJobs")

    assert answer.status == 200
    assert answer.content["data"] == {"one": None, "two": expected["two"]}
    assert [error["path"] for error in answer.errors] == [["one"]]
    assert private_in(answer) == []


def test_every_fault_is_tried_here() -> None:
    """The sandbox knows none that would strike a data call unnoticed."""
    tried = FAILURES.keys() | STALLS.keys() | HARMLESS | BY_THEMSELVES | OF_ANOTHER_SERVICE

    assert tried == FAULTS.keys()
