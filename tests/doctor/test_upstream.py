"""The upstream: reached or not, and what AWS says of who runs the check."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from tests.doctor.reports import checked, keys_of
from tests.doctor.upstreams import answering, self_signed
from tests.gateways import Sandbox
from tests.hostile.listeners import closing

UPSTREAM = "upstream us-east-1"
CREDENTIALS = "credentials us-east-1"


def test_without_credentials_a_refusal_proves_that_it_is_reached(sandbox: Sandbox) -> None:
    """Each served region is tried; nothing fails, and the report says whose keys may be tried."""
    report = checked(upstream_url=sandbox.url, regions="us-east-1,eu-west-1")

    assert report.code == 0
    assert report.state(UPSTREAM) == report.state("upstream eu-west-1") == "ok"
    assert "UnrecognizedClientException" in report.why(UPSTREAM)
    assert report.state("credentials") == "skipped"
    assert "the gateway itself never reads them" in report.why("credentials")
    assert CREDENTIALS not in report.rows
    assert {call["region"] for call in sandbox.calls} == {"us-east-1", "eu-west-1"}


@pytest.mark.parametrize("caller", ["ada", "longterm"])
def test_with_credentials_one_list_call_a_region_is_made(sandbox: Sandbox, caller: str) -> None:
    """AWS allows it, and one row is all that is asked for."""
    report = checked(upstream_url=sandbox.url, aws=keys_of(caller))

    assert report.code == 0
    assert report.state(CREDENTIALS) == report.state("credentials") == "ok"
    (call,) = sandbox.calls
    assert call["operation"] == "ListAudienceGenerationJobs"
    assert call["parameters"]["maxResults"] == 1


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (keys_of("denied"), ["AccessDeniedException", "Allow cleanrooms-ml:List*"]),
        (keys_of("expired"), ["ExpiredTokenException", "Get new ones"]),
        ({"AWS_SESSION_TOKEN": "another"}, ["UnrecognizedClientException", "go together"]),
        ({"AWS_SECRET_ACCESS_KEY": "another"}, ["InvalidSignatureException", "clock"]),
    ],
)
def test_credentials_that_are_refused(
    sandbox: Sandbox, changed: dict[str, str], words: list[str]
) -> None:
    """The upstream is reached all the same, and each refusal has its own remedy."""
    report = checked(upstream_url=sandbox.url, aws={**keys_of("ada"), **changed})

    assert report.failed == {CREDENTIALS}
    report.assert_failed(CREDENTIALS, *words)
    assert report.code == 1


def test_a_throttle_says_nothing_of_the_credentials(sandbox: Sandbox) -> None:
    """It is a warning: ask again."""
    sandbox.fault("throttle")
    report = checked(upstream_url=sandbox.url, aws=keys_of("ada"))

    assert report.code == 0
    assert report.state(CREDENTIALS) == "warn"


@pytest.mark.parametrize(
    "given",
    [
        {"AWS_ACCESS_KEY_ID": "ASIASANDBOXADA000000"},
        {**keys_of("ada"), "AWS_SESSION_TOKEN": ""},
        {**keys_of("ada"), "AWS_SESSION_TOKEN": "two\nlines"},
    ],
    ids=["in part", "without token", "no token"],
)
def test_credentials_that_are_none(sandbox: Sandbox, given: dict[str, str]) -> None:
    """They are not sent anywhere, and the rest is tried without them."""
    report = checked(upstream_url=sandbox.url, aws=given)

    assert report.failed == {"credentials"}
    report.assert_failed("credentials", "in part", "Set all three")
    assert report.state(UPSTREAM) == "ok"


def test_nothing_listens(free_port: int) -> None:
    """A refused connection is told from one that fails otherwise; credentials are not blamed."""
    report = checked(upstream_url=f"http://127.0.0.1:{free_port}", aws=keys_of("ada"))

    assert report.failed == {UPSTREAM}
    report.assert_failed(UPSTREAM, f"127.0.0.1:{free_port}", "nothing listens", "Check the address")
    assert report.state(CREDENTIALS) == report.state("clock") == "skipped"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_connection_is_closed(scheme: str) -> None:
    """Be it in the middle of a TLS handshake or after a request."""
    with closing() as port:
        report = checked(upstream_url=f"{scheme}://127.0.0.1:{port}")

    report.assert_failed(UPSTREAM, "closed without an answer", "proxy")


def test_a_certificate_that_nobody_vouches_for(tmp_path: Path) -> None:
    """OpenSSL's own reason is there, and how to name an authority."""
    with answering(certificate=self_signed(tmp_path)) as server:
        report = checked(upstream_url=f"https://127.0.0.1:{server.port}")

    report.assert_failed(UPSTREAM, "not trusted", "self-signed certificate", "AWS_CA_BUNDLE")


def test_tls_to_a_port_without(sandbox: Sandbox) -> None:
    """https:// to where plain HTTP is spoken."""
    report = checked(upstream_url=sandbox.url.replace("http:", "https:"))

    report.assert_failed(UPSTREAM, "no TLS", "Check the scheme and the port")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("internal-error", ["InternalServerException", "Try again"]),
        ("html", ["is not AWS", "GATEWAY_UPSTREAM_URL"]),
        ("reset", ["closed without an answer", "proxy"]),
        ("redirect", ["HTTP 302", "GATEWAY_UPSTREAM_URL"]),
        ("truncated", ["is not AWS", "GATEWAY_UPSTREAM_URL"]),
    ],
)
def test_answers_that_are_none(sandbox: Sandbox, fault: str, words: list[str]) -> None:
    """What answers is told from what should."""
    sandbox.fault(fault)
    report = checked(upstream_url=sandbox.url, aws=keys_of("ada"))

    assert report.failed == {UPSTREAM}
    report.assert_failed(UPSTREAM, *words)


@pytest.mark.parametrize(
    ("status", "words"), [(404, "HTTP 404"), (403, "HTTP 403"), (502, "HTTP 502")]
)
def test_somebody_else_answers(status: int, words: str) -> None:
    """A refusal that is not in the words of AWS is a proxy's, and proves nothing."""
    with answering() as server:
        server.status, server.body = status, b"<html>Not here</html>"
        report = checked(upstream_url=f"http://127.0.0.1:{server.port}")

    report.assert_failed(UPSTREAM, words, "not as AWS does", "GATEWAY_UPSTREAM_URL")


def test_another_service_answers() -> None:
    """It speaks as AWS does, and does not know the question."""
    with answering() as server:
        server.status, server.headers = 404, {"x-amzn-ErrorType": "UnknownOperationException"}
        report = checked(upstream_url=f"http://127.0.0.1:{server.port}")

    report.assert_failed(UPSTREAM, "UnknownOperationException", "another service's")


def test_one_who_lets_everybody_in_is_not_aws() -> None:
    """A stub that answers nobody's keys with data is a warning."""
    with answering() as server:
        report = checked(upstream_url=f"http://127.0.0.1:{server.port}")

    assert report.code == 0
    assert report.state(UPSTREAM) == "warn"
    assert "it is not AWS" in report.why(UPSTREAM)


@pytest.mark.parametrize(
    ("seconds", "state", "word"),
    [
        (0, "ok", "Within 60 s"),
        (-120, "warn", "ahead of"),
        (120, "warn", "behind"),
        (3600, "FAIL", "NTP"),
    ],
)
def test_the_clock_is_compared(seconds: int, state: str, word: str) -> None:
    """By the Date of any answer; from five minutes on AWS refuses what is signed."""
    with answering() as server:
        theirs = datetime.now(UTC) + timedelta(seconds=seconds)
        server.headers = {"Date": format_datetime(theirs, usegmt=True)}
        report = checked(upstream_url=f"http://127.0.0.1:{server.port}", aws=keys_of("ada"))

    assert report.state("clock") == state
    assert word in report.why("clock")
    assert report.code == (state == "FAIL")


@pytest.mark.parametrize("date", ["", "yesterday", "Mon, 99 Jan 2026 99:00:00 GMT"])
def test_a_date_that_is_none_is_not_judged(date: str) -> None:
    """The clock's row is skipped."""
    with answering() as server:
        server.headers = {"Date": date}
        report = checked(upstream_url=f"http://127.0.0.1:{server.port}")

    assert report.state("clock") == "skipped"
