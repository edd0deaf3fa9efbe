"""Requests without a valid signature get the errors of AWS."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest

from gateway.sandbox import CALLERS, SandboxCaller, create_sandbox
from tests.sandbox.clients import client, list_jobs
from tests.sandbox.wire import JOBS, get, send, sign
from tests.serving import serve

ADA = CALLERS["ada"]
INVALID = (403, "InvalidSignatureException")
UNKNOWN = (403, "UnrecognizedClientException")


def test_a_signed_request_is_answered(url: str) -> None:
    """The requests of the other tests are valid but for what they change."""
    assert get(url, JOBS).status == 200


def test_no_signature(url: str) -> None:
    assert send(url, JOBS).error == (403, "MissingAuthenticationTokenException")


@pytest.mark.parametrize("text", ["", "Bearer abc", "AWS4-HMAC-SHA256 Credential=a/b"])
def test_an_incomplete_signature(url: str, text: str) -> None:
    reply = send(url, JOBS, headers={"Authorization": text})

    assert reply.error == (403, "IncompleteSignatureException")


@pytest.mark.parametrize(
    ("caller", "error"),
    [
        (replace(ADA, secret_access_key="wrong"), INVALID),
        (replace(ADA, access_key_id="ASIANOBODY0000000000"), UNKNOWN),
        (replace(ADA, session_token=None), UNKNOWN),
        (replace(ADA, session_token=CALLERS["grace"].session_token), UNKNOWN),
        (replace(CALLERS["longterm"], session_token="surplus"), UNKNOWN),
    ],
    ids=["secret", "key id", "no token", "token of another", "token for a long-term key"],
)
def test_wrong_credentials(url: str, caller: SandboxCaller, error: tuple[int, str]) -> None:
    assert get(url, JOBS, caller).error == error


@pytest.mark.parametrize(
    ("signed", "sent"),
    [
        (f"{JOBS}?maxResults=1", f"{JOBS}?maxResults=2"),
        (f"{JOBS}?maxResults=1", JOBS),
        (JOBS, "/audience-model"),
    ],
)
def test_a_target_changed_after_signing(url: str, signed: str, sent: str) -> None:
    assert send(url, sent, headers=sign(url, signed)).error == INVALID


def test_a_method_changed_after_signing_is_no_operation(url: str) -> None:
    reply = send(url, JOBS, method="POST", headers=sign(url, JOBS))

    assert reply.error == (404, "UnknownOperationException")


def test_a_body_that_was_not_signed(url: str) -> None:
    assert send(url, JOBS, headers=sign(url, JOBS), body=b"surplus").error == INVALID


@pytest.mark.parametrize(
    ("service", "region"),
    [("s3", "us-east-1"), ("cleanrooms", "us-east-1"), ("cleanrooms-ml", "Nowhere!")],
)
def test_a_scope_of_another_service_or_region(url: str, service: str, region: str) -> None:
    headers = sign(url, JOBS, service=service, region=region)

    assert send(url, JOBS, headers=headers).error == INVALID


def test_an_amazon_header_added_after_signing(url: str) -> None:
    headers = {**sign(url, JOBS), "X-Amz-Target": "surplus"}

    assert send(url, JOBS, headers=headers).error == INVALID


@pytest.mark.parametrize(("minutes", "status"), [(-16, 403), (-14, 200), (14, 200), (16, 403)])
def test_a_signature_is_valid_for_fifteen_minutes(minutes: int, status: int) -> None:
    def shifted() -> datetime:
        return datetime.now(UTC) + timedelta(minutes=minutes)

    with serve(create_sandbox(signing_clock=shifted)) as url:
        reply = get(url, JOBS)

    assert reply.status == status
    assert status == 200 or reply.error == INVALID


def test_an_arn_is_one_encoded_segment_of_the_path(url: str) -> None:
    edith = CALLERS["edith"]
    arn = list_jobs(client(url, "edith"))[0]["audienceGenerationJobArn"]

    assert get(url, f"{JOBS}/{quote(arn, safe='')}", edith).json()["status"]
    assert get(url, f"{JOBS}/{quote(arn, safe=':')}", edith).json()["status"]
    assert get(url, f"{JOBS}/{arn}", edith).error == (404, "UnknownOperationException")
