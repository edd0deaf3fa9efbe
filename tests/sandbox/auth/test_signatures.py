"""Nobody is answered whose signature does not prove who asks, and for what."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest

from gateway.sandbox import CALLERS, create_sandbox
from tests.sandbox.clients import client, list_jobs
from tests.sandbox.wire import JOBS, ask, send, sign
from tests.serving import serve

ADA = CALLERS["ada"]
BAD_SIGNATURE = (403, "InvalidSignatureException")
UNKNOWN = (403, "UnrecognizedClientException")


def test_a_signed_request_is_answered(url: str) -> None:
    """What the other tests spoil is right to begin with."""
    assert ask(url, JOBS).status == 200


def test_no_signature(url: str) -> None:
    """A request without an Authorization header is refused."""
    assert send(url, JOBS).error == (403, "MissingAuthenticationTokenException")


@pytest.mark.parametrize("text", ["", "Bearer abc", "AWS4-HMAC-SHA256 Credential=a/b"])
def test_half_a_signature(url: str, text: str) -> None:
    """An Authorization header that is no complete signature is refused."""
    reply = send(url, JOBS, headers={"Authorization": text})

    assert reply.error == (403, "IncompleteSignatureException")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"secret_access_key": "wrong"}, BAD_SIGNATURE),
        ({"access_key_id": "ASIANOBODY0000000000"}, UNKNOWN),
        ({"session_token": "wrong"}, UNKNOWN),
        ({"session_token": None}, UNKNOWN),
        ({"session_token": CALLERS["grace"].session_token}, UNKNOWN),
    ],
)
def test_wrong_credentials(url: str, change: dict[str, str | None], error: tuple[int, str]) -> None:
    """Secret, key and session token must be the caller's own, all three."""
    assert ask(url, JOBS, replace(ADA, **change)).error == error  # type: ignore[arg-type]  # the cases above


def test_a_session_token_too_many(url: str) -> None:
    """A long-term key has no session token, so one that comes with it is not its own."""
    caller = replace(CALLERS["longterm"], session_token="surplus")

    assert ask(url, JOBS, caller).error == UNKNOWN


@pytest.mark.parametrize(
    ("signed", "sent"),
    [
        (f"{JOBS}?maxResults=1", f"{JOBS}?maxResults=2"),
        (f"{JOBS}?maxResults=1", JOBS),
        (JOBS, "/audience-model"),
    ],
)
def test_a_target_changed_after_signing(url: str, signed: str, sent: str) -> None:
    """A signature is good for the target it was made for and for no other."""
    assert send(url, sent, headers=sign(url, signed)).error == BAD_SIGNATURE


def test_a_method_changed_after_signing_is_no_operation(url: str) -> None:
    """There is no POST among the operations emulated, whoever signs it."""
    reply = send(url, JOBS, method="POST", headers=sign(url, JOBS))

    assert reply.error == (404, "UnknownOperationException")


def test_a_body_that_was_not_signed(url: str) -> None:
    """The payload is part of the signature, although no operation here has one."""
    assert send(url, JOBS, headers=sign(url, JOBS), body=b"surplus").error == BAD_SIGNATURE


@pytest.mark.parametrize(
    ("service", "region"),
    [("s3", "us-east-1"), ("cleanrooms", "us-east-1"), ("cleanrooms-ml", "Nowhere!")],
)
def test_a_scope_of_another_kind(url: str, service: str, region: str) -> None:
    """The scope names this service and something that can be a region."""
    headers = sign(url, JOBS, service=service, region=region)

    assert send(url, JOBS, headers=headers).error == BAD_SIGNATURE


def test_every_amazon_header_is_signed(url: str) -> None:
    """A header that steers the call cannot be slipped in after signing."""
    headers = {**sign(url, JOBS), "X-Amz-Target": "surplus"}

    assert send(url, JOBS, headers=headers).error == BAD_SIGNATURE


@pytest.mark.parametrize(
    ("minutes", "expected"), [(-16, 403), (-14, 200), (0, 200), (14, 200), (16, 403)]
)
def test_signatures_age(minutes: int, expected: int) -> None:
    """A signature is good for fifteen minutes before and after its date."""

    def shifted() -> datetime:
        return datetime.now(UTC) + timedelta(minutes=minutes)

    with serve(create_sandbox(signing_clock=shifted)) as url:
        reply = ask(url, JOBS)

    assert reply.status == expected
    assert expected == 200 or reply.error == BAD_SIGNATURE


def test_an_arn_in_the_path(url: str) -> None:
    """An encoded ARN is one segment of the path and is signed encoded once more, as boto3 does."""
    arn = list_jobs(client(url, "edith"))[0]["audienceGenerationJobArn"]
    edith = CALLERS["edith"]

    assert ask(url, f"{JOBS}/{quote(arn, safe='')}", edith).json()["status"]
    assert ask(url, f"{JOBS}/{quote(arn, safe=':')}", edith).json()["status"]
    assert ask(url, f"{JOBS}/{arn}", edith).error == (404, "UnknownOperationException")
