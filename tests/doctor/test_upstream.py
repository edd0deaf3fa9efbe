"""Checks of AWS in each region, of the credentials, and of the clock."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from tests.certificates import LOOPBACK, CertificateAuthority
from tests.doctor.reports import aws_variables, check, oidc_settings
from tests.doctor.upstreams import fake_server
from tests.gateways import Sandbox
from tests.listeners import closing

UPSTREAM = "upstream us-east-1"
CREDENTIALS = "credentials us-east-1"


def test_without_credentials_a_rejection_proves_that_aws_is_reached(sandbox: Sandbox) -> None:
    """Each served region is checked."""
    report = check(upstream_url=sandbox.url, regions="us-east-1,eu-west-1")

    assert report.code == 0
    assert report.state(UPSTREAM) == report.state("upstream eu-west-1") == "ok"
    assert "UnrecognizedClientException" in report.text(UPSTREAM)
    assert report.state("credentials") == "skipped"
    assert "the gateway itself never reads them" in report.text("credentials")
    assert CREDENTIALS not in report.rows
    assert {call["region"] for call in sandbox.calls} == {"us-east-1", "eu-west-1"}


def test_each_region_has_a_row_with_its_address(sandbox: Sandbox) -> None:
    url = sandbox.url.replace("127.0.0.1", "{region}.localhost")
    report = check(upstream_url=url, regions="us-east-1,eu-west-1")

    for region in ("us-east-1", "eu-west-1"):
        assert url.replace("{region}", region) in report.text(f"upstream {region}")


def test_the_proxy_of_each_target_is_named_without_its_credentials(
    tmp_path: Path, free_port: int
) -> None:
    """It refuses the connections. The target that NO_PROXY excludes is reached without it."""
    settings = oidc_settings(tmp_path, "https://issuer.invalid")
    proxy = {
        "HTTPS_PROXY": f"http://user:canary@127.0.0.1:{free_port}",
        "NO_PROXY": "127.0.0.1",
    }
    report = check(aws=proxy, sts_url=f"https://127.0.0.1:{free_port}", **settings)

    for what in (UPSTREAM, "issuer https://issuer.invalid"):
        report.assert_failed(what, f"through the proxy http://127.0.0.1:{free_port}", "NO_PROXY")
    assert "proxy" not in report.rows["STS"]["detail"]
    assert "canary" not in report.printed


@pytest.mark.parametrize("caller", ["ada", "longterm"])
def test_with_credentials_one_row_is_listed_in_each_region(sandbox: Sandbox, caller: str) -> None:
    report = check(upstream_url=sandbox.url, aws=aws_variables(caller))

    assert report.code == 0
    assert report.state(CREDENTIALS) == report.state("credentials") == "ok"
    (call,) = sandbox.calls
    assert call["operation"] == "ListAudienceGenerationJobs"
    assert call["parameters"]["maxResults"] == 1


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (aws_variables("denied"), ["AccessDeniedException", "Allow cleanrooms-ml:List*"]),
        (aws_variables("expired"), ["ExpiredTokenException", "Get new credentials"]),
        ({"AWS_SESSION_TOKEN": "another"}, ["UnrecognizedClientException", "belong together"]),
        ({"AWS_SECRET_ACCESS_KEY": "another"}, ["InvalidSignatureException", "clock"]),
    ],
)
def test_refused_credentials_fail_with_a_remedy(
    sandbox: Sandbox, changed: dict[str, str], words: list[str]
) -> None:
    report = check(upstream_url=sandbox.url, aws={**aws_variables("ada"), **changed})

    assert report.failed == {CREDENTIALS}
    report.assert_failed(CREDENTIALS, *words)
    assert report.code == 1


def test_throttling_is_a_warning(sandbox: Sandbox) -> None:
    sandbox.fault("throttle")
    report = check(upstream_url=sandbox.url, aws=aws_variables("ada"))

    assert report.code == 0
    assert report.state(CREDENTIALS) == "warn"


@pytest.mark.parametrize(
    "variables",
    [
        {"AWS_ACCESS_KEY_ID": "ASIASANDBOXADA000000"},
        {**aws_variables("ada"), "AWS_SESSION_TOKEN": ""},
        {**aws_variables("ada"), "AWS_SESSION_TOKEN": "two\nlines"},
    ],
    ids=["incomplete", "no token", "malformed token"],
)
def test_malformed_credentials_are_not_sent(sandbox: Sandbox, variables: dict[str, str]) -> None:
    report = check(upstream_url=sandbox.url, aws=variables)

    assert report.failed == {"credentials"}
    report.assert_failed("credentials", "incomplete", "Set all three")
    assert report.state(UPSTREAM) == "ok"


def test_a_refused_connection_skips_credentials_and_clock(free_port: int) -> None:
    report = check(upstream_url=f"http://127.0.0.1:{free_port}", aws=aws_variables("ada"))

    assert report.failed == {UPSTREAM}
    words = [f"127.0.0.1:{free_port}", "connection refused", "Check the address"]
    report.assert_failed(UPSTREAM, *words)
    assert report.state(CREDENTIALS) == report.state("clock") == "skipped"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_closed_connection_fails(scheme: str) -> None:
    with closing() as port:
        report = check(upstream_url=f"{scheme}://127.0.0.1:{port}")

    report.assert_failed(UPSTREAM, "closed without a response", "proxy")


def test_a_self_signed_certificate_fails(tmp_path: Path) -> None:
    certificate = CertificateAuthority(tmp_path).issue(LOOPBACK, self_signed=True)
    with fake_server(certificate=certificate) as server:
        report = check(upstream_url=f"https://127.0.0.1:{server.port}")

    report.assert_failed(UPSTREAM, "not trusted", "self-signed certificate", "AWS_CA_BUNDLE")


def test_https_to_a_port_without_tls_fails(sandbox: Sandbox) -> None:
    report = check(upstream_url=sandbox.url.replace("http:", "https:"))

    report.assert_failed(UPSTREAM, "TLS handshake", "Check the scheme and the port")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("internal-error", ["InternalServerException", "Try again"]),
        ("html", ["is not AWS", "GATEWAY_UPSTREAM_URL"]),
        ("reset", ["closed without a response", "proxy"]),
        ("redirect", ["HTTP 302", "GATEWAY_UPSTREAM_URL"]),
        ("truncated", ["is not AWS", "GATEWAY_UPSTREAM_URL"]),
    ],
)
def test_an_invalid_response_fails(sandbox: Sandbox, fault: str, words: list[str]) -> None:
    sandbox.fault(fault)
    report = check(upstream_url=sandbox.url, aws=aws_variables("ada"))

    assert report.failed == {UPSTREAM}
    report.assert_failed(UPSTREAM, *words)


@pytest.mark.parametrize("status", [404, 403, 502])
def test_an_error_not_in_the_format_of_aws_fails(status: int) -> None:
    """A 403 of a proxy proves nothing."""
    with fake_server() as server:
        server.status, server.body = status, b"<html>Not here</html>"
        report = check(upstream_url=f"http://127.0.0.1:{server.port}")

    words = [f"HTTP {status}", "not in the format of AWS", "GATEWAY_UPSTREAM_URL"]
    report.assert_failed(UPSTREAM, *words)


def test_another_service_of_aws_fails() -> None:
    with fake_server() as server:
        server.status, server.headers = 404, {"x-amzn-ErrorType": "UnknownOperationException"}
        report = check(upstream_url=f"http://127.0.0.1:{server.port}")

    report.assert_failed(UPSTREAM, "UnknownOperationException", "another service")


def test_a_server_that_accepts_made_up_credentials_is_a_warning() -> None:
    with fake_server() as server:
        report = check(upstream_url=f"http://127.0.0.1:{server.port}")

    assert report.code == 0
    assert report.state(UPSTREAM) == "warn"
    assert "it is not AWS" in report.text(UPSTREAM)


@pytest.mark.parametrize(
    ("seconds", "state", "word"),
    [
        (0, "ok", "Within 60 s"),
        (-120, "warn", "ahead of"),
        (120, "warn", "behind"),
        (3600, "FAIL", "NTP"),
    ],
)
def test_the_clock_is_compared_with_the_date_header(seconds: int, state: str, word: str) -> None:
    """From five minutes on AWS rejects signatures."""
    with fake_server() as server:
        date = datetime.now(UTC) + timedelta(seconds=seconds)
        server.headers = {"Date": format_datetime(date, usegmt=True)}
        report = check(upstream_url=f"http://127.0.0.1:{server.port}", aws=aws_variables("ada"))

    assert report.state("clock") == state
    assert word in report.text("clock")
    assert report.code == (state == "FAIL")


@pytest.mark.parametrize("date", ["", "yesterday", "Mon, 99 Jan 2026 99:00:00 GMT"])
def test_an_invalid_date_header_is_ignored(date: str) -> None:
    with fake_server() as server:
        server.headers = {"Date": date}
        report = check(upstream_url=f"http://127.0.0.1:{server.port}")

    assert report.state("clock") == "skipped"
