"""Faults of the upstream: each is a documented error, and leaks neither data nor memory."""

from typing import Any

import pytest

from gateway.sandbox.faults.registry import FAULTS
from tests.hostile.target import JOBS, MAX_ATTEMPTS, NO_JOBS, Target, private_in
from tests.processes import Process
from tests.serving import serve
from tests.upstream.recorder import Recorder

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
HARMLESS = {"short-pages", "empty-pages", "empty-token", "long-tokens", "cookie"}
SPECIAL = {
    "expired-token-credentials",
    "expired-next-token",
    "repeat-token",
    "unknown-status",
    "flaky",
    "headers",
    "huge",
}
OTHER_SERVICE = {"sts-error", "keys-query"}
THREE_PAGES = "{ audienceGenerationJobs(first: 300) { nodes { name } } }"
FIRST_PAGE = "{ audienceGenerationJobs(first: 100) { pageInfo { endCursor } } }"
NEXT_PAGE = "query($after: String) { audienceGenerationJobs(after: $after) { nodes { name } } }"


@pytest.mark.parametrize("fault", FAILURES)
def test_a_failure_has_its_error_code(target: Target, fault: str) -> None:
    """The list is null, with one error at its path, after few attempts."""
    answer = target.ask_with_fault(fault)

    assert (answer.status, answer.code) == (200, FAILURES[fault])
    assert answer.content["data"] == NO_JOBS
    assert answer.errors[0]["path"] == ["audienceGenerationJobs"]
    assert private_in(answer) == []
    assert 1 <= target.sandbox.count() <= MAX_ATTEMPTS


def test_throttling_has_a_retry_after(target: Target) -> None:
    answer = target.ask_with_fault("throttle", retry_after=1)

    assert answer.code == "THROTTLED"
    assert answer.errors[0]["extensions"]["retryAfter"] == 1


@pytest.mark.parametrize("fault", STALLS)
def test_a_response_that_never_ends_is_a_timeout(short_deadline: Target, fault: str) -> None:
    """It stalls before the head or within the body, or is sent a byte at a time."""
    answer = short_deadline.ask_with_fault(fault, **STALLS[fault])

    assert (answer.status, answer.code) == (200, "UPSTREAM_TIMEOUT")
    assert answer.content["data"] == NO_JOBS
    assert private_in(answer) == []
    assert 1 <= short_deadline.sandbox.count() <= MAX_ATTEMPTS


@pytest.mark.parametrize("fault", sorted(HARMLESS))
def test_unusual_valid_responses_change_nothing(target: Target, fault: str) -> None:
    expected = target.ask(JOBS).data

    assert target.ask_with_fault(fault).data == expected


def test_oversized_headers_are_an_upstream_error(target: Target) -> None:
    answer = target.ask_with_fault("headers")

    assert answer.status == 200
    assert answer.code in {"UPSTREAM_UNAVAILABLE", "UPSTREAM_INVALID_RESPONSE"}
    assert answer.content["data"] == NO_JOBS
    assert private_in(answer) == []
    assert 1 <= target.sandbox.count() <= MAX_ATTEMPTS


def test_expired_credentials_are_401(target: Target) -> None:
    answer = target.ask(JOBS, caller="expired")

    assert (answer.status, answer.code) == (401, "UNAUTHENTICATED")
    assert "expired" in answer.errors[0]["message"]
    assert "data" not in answer.content
    assert private_in(answer) == []
    assert target.sandbox.count() == 1


def test_an_expired_next_token_is_an_invalid_cursor(target: Target) -> None:
    after = target.ask(FIRST_PAGE).data["audienceGenerationJobs"]["pageInfo"]["endCursor"]
    target.sandbox.fault("expired-next-token")
    answer = target.ask(NEXT_PAGE, {"after": after})

    assert (answer.status, answer.code) == (200, "INVALID_CURSOR")
    assert "`after`" in answer.errors[0]["message"]
    assert answer.content["data"] == NO_JOBS
    assert private_in(answer) == []


def test_a_repeated_next_token_ends_the_walk(target: Target) -> None:
    answer = target.ask_with_fault("repeat-token", THREE_PAGES)

    assert (answer.status, answer.code) == (200, "UPSTREAM_INVALID_RESPONSE")
    assert answer.content["data"] == NO_JOBS
    assert target.sandbox.count() <= MAX_ATTEMPTS


def test_an_unlisted_status_is_unknown(target: Target) -> None:
    expected = target.ask(JOBS).data["audienceGenerationJobs"]["nodes"]
    answer = target.ask_with_fault("unknown-status", status="FOO")

    assert answer.data["audienceGenerationJobs"]["nodes"] == [
        {**expected[0], "status": "UNKNOWN"},
        expected[1],
    ]


def test_intermittent_failures_are_data_or_an_error_code(target: Target) -> None:
    requests = 6
    target.sandbox.fault("flaky", seconds=0.01)
    answers = [target.ask(JOBS) for _ in range(requests)]

    assert {answer.status for answer in answers} == {200}
    assert {answer.code for answer in answers if answer.errors} <= {"UPSTREAM_UNAVAILABLE"}
    assert target.sandbox.count() <= MAX_ATTEMPTS * requests


@pytest.mark.parametrize("fault", ["denied", "missing-field", "html"])
def test_one_failing_list_leaves_the_other_whole(target: Target, fault: str) -> None:
    both = "{ one: audienceGenerationJobs { nodes { name } } two: audienceModels { nodes { id } } }"
    expected = target.ask(both).data
    answer = target.ask_with_fault(fault, both, operation="ListAudienceGenerationJobs")

    assert answer.status == 200
    assert answer.content["data"] == {"one": None, "two": expected["two"]}
    assert [error["path"] for error in answer.errors] == [["one"]]
    assert private_in(answer) == []


def test_every_fault_is_tested_here() -> None:
    tried = FAILURES.keys() | STALLS.keys() | HARMLESS | SPECIAL | OTHER_SERVICE

    assert tried == FAULTS.keys()


MEGABYTES = 200
SPARE_BYTES = 64 * 2**20


@pytest.mark.parametrize(
    ("fault", "parameters"),
    [
        ("gzip", {"megabytes": MEGABYTES}),
        ("deep", {"depth": 2**20}),
        ("huge", {"megabytes": MEGABYTES}),
    ],
)
def test_an_oversized_response_is_not_held_in_memory(
    target: Target, target_process: Process, fault: str, parameters: dict[str, Any]
) -> None:
    before = target_process.resident_bytes()
    answer = target.ask_with_fault(fault, **parameters)
    growth = target_process.resident_bytes() - before

    assert growth < SPARE_BYTES
    assert (answer.status, answer.code) == (200, "UPSTREAM_INVALID_RESPONSE")
    assert answer.content["data"] == NO_JOBS
    assert private_in(answer) == []
    assert 1 <= target.sandbox.count() <= MAX_ATTEMPTS


def test_the_location_of_a_redirect_is_in_no_response(target: Target) -> None:
    recorder = Recorder()
    with serve(recorder) as elsewhere:
        answer = target.ask_with_fault("redirect", location=f"{elsewhere}/caught")

    assert answer.code == "UPSTREAM_INVALID_RESPONSE"
    assert elsewhere not in str(answer.content)
    assert recorder.requests == []
