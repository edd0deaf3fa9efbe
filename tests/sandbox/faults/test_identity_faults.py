"""Faults strike the issuer and STS too, each in its own protocol."""

import threading
import time
from http.client import RemoteDisconnected
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from tests.sandbox.identities import assume_role, calls, id_token, refusal
from tests.sandbox.wire import JOBS, Reply, ask, control, send

ASSUME_ROLE = "AssumeRoleWithWebIdentity"
PAGES = {
    "GetOpenIdConfiguration": "/oidc/.well-known/openid-configuration",
    "GetJwks": "/oidc/jwks",
}


def switch_on(url: str, fault: str, **order: object) -> None:
    """Switch a fault on."""
    reply = control(url, "POST", "/faults", {"fault": fault, **order})
    assert reply.status == 200, reply.body


@pytest.mark.parametrize(
    ("fault", "code", "status"),
    [
        ("throttle", "Throttling", 400),
        ("internal-error", "InternalFailure", 500),
        ("unavailable", "ServiceUnavailable", 503),
        ("denied", "AccessDenied", 403),
        ("sts-error", "IDPCommunicationError", 400),
    ],
)
def test_sts_refuses_in_xml(url: str, fault: str, code: str, status: int) -> None:
    """boto3 sees STS's own code and status, and other operations go on."""
    switch_on(url, fault, operation=ASSUME_ROLE)

    assert refusal(url, id_token(url))[:2] == (code, status)
    assert ask(url, JOBS).status == 200
    assert send(url, PAGES["GetJwks"]).status == 200


@pytest.mark.parametrize(
    ("code", "status"), [("IDPRejectedClaim", 403), ("PackedPolicyTooLarge", 400)]
)
def test_sts_can_refuse_by_any_name(url: str, code: str, status: int) -> None:
    """Errors that the sandbox never has by itself can be ordered."""
    switch_on(url, "sts-error", code=code)

    assert refusal(url, id_token(url))[:2] == (code, status)


@pytest.mark.parametrize("operation", PAGES)
@pytest.mark.parametrize(
    ("fault", "status"),
    [("throttle", 429), ("internal-error", 500), ("unavailable", 503), ("denied", 403)],
)
def test_the_issuers_pages_fail(url: str, operation: str, fault: str, status: int) -> None:
    """A page that is struck answers so, so many times, and the other page goes on."""
    switch_on(url, fault, operation=operation, times=1)
    replies = {name: send(url, path).status for name, path in PAGES.items()}

    assert replies == {name: status if name == operation else 200 for name in PAGES}
    assert send(url, PAGES[operation]).status == 200


@pytest.mark.parametrize("operation", [*PAGES, ASSUME_ROLE])
def test_connections_are_reset(url: str, operation: str) -> None:
    """The connection closes without a byte, and the log has no status for it."""
    token = id_token(url)
    switch_on(url, "reset", operation=operation)

    with pytest.raises((RemoteDisconnected, ConnectionResetError, ConnectionClosedError)):
        assume_role(url, token) if operation == ASSUME_ROLE else send(url, PAGES[operation])
    assert {(call["operation"], call["status"]) for call in calls(url)} == {(operation, None)}


@pytest.mark.parametrize("operation", [*PAGES, ASSUME_ROLE])
def test_answers_are_slow(url: str, operation: str) -> None:
    """The right answer comes, after a while."""
    token = id_token(url)
    switch_on(url, "slow", operation=operation, seconds=0.2)
    begun = time.monotonic()
    if operation == ASSUME_ROLE:
        assert assume_role(url, token)["Credentials"]
    else:
        assert send(url, PAGES[operation]).status == 200

    assert time.monotonic() - begun >= 0.2


@pytest.mark.parametrize("operation", [*PAGES, ASSUME_ROLE])
def test_answers_hang_until_healed(url: str, operation: str) -> None:
    """A call that hangs is in the log without a status, and is answered once healed."""
    token = id_token(url)
    switch_on(url, "hang", operation=operation)
    answers: list[Any] = []

    def call() -> None:
        answers.append(
            assume_role(url, token) if operation == ASSUME_ROLE else send(url, PAGES[operation])
        )

    thread = threading.Thread(target=call)
    thread.start()
    while not calls(url):
        time.sleep(0.01)
    (waiting,) = calls(url)
    early = list(answers)
    control(url, "DELETE", "/faults")
    thread.join(10)

    assert early == []
    assert (waiting["operation"], waiting["status"]) == (operation, None)
    assert len(answers) == 1


def test_pages_come_from_elsewhere(url: str) -> None:
    """The keys' page can be a web page, half of itself, or a redirect."""

    def struck(fault: str) -> Reply:
        switch_on(url, fault, operation="GetJwks", times=1)
        return send(url, PAGES["GetJwks"])

    whole = send(url, PAGES["GetJwks"]).body

    assert struck("html").headers["content-type"].startswith("text/html")
    assert struck("truncated").body == whole[: len(whole) // 2]
    assert struck("redirect").status == 302


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
def test_faults_of_signed_calls_leave_the_others_alone(url: str, fault: str) -> None:
    """A fault that makes no sense without a signature, or without rows, does not strike here."""
    switch_on(url, fault)

    assert send(url, PAGES["GetJwks"]).status == 200
    assert assume_role(url, id_token(url))["Credentials"]


def test_a_fault_for_one_caller_spares_those_who_have_not_signed(url: str) -> None:
    """Where nobody signs there is no access key id to be struck."""
    switch_on(url, "unavailable", access_key_id="ASIASANDBOXADA000000")

    assert ask(url, JOBS).status == 503
    assert assume_role(url, id_token(url))["Credentials"]


def test_a_throttled_exchange_says_when_to_come_back(url: str) -> None:
    """The hint of the throttle is in the headers of the XML answer."""
    switch_on(url, "throttle", operation=ASSUME_ROLE, retry_after=2)
    with pytest.raises(ClientError) as caught:
        assume_role(url, id_token(url))

    assert caught.value.response["ResponseMetadata"]["HTTPHeaders"]["retry-after"] == "2"
