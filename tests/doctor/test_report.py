"""The command: table, JSON, exit code, secrets and timeouts."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from gateway.auth.jwks import MAX_RESPONSE_BYTES
from gateway.cli import main
from gateway.doctor.diagnosis import Row, State, network_problem
from gateway.doctor.report import table
from tests.doctor.reports import aws_variables, check, oidc_settings
from tests.doctor.test_oidc import token_file
from tests.doctor.upstreams import fake_server
from tests.gateways import Sandbox
from tests.listeners import full, silent
from tests.redis_servers import running_redis

SECONDS = 60

CANARY = "canary1SECRET"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "ASIACANARYCANARY0001",
    "AWS_SECRET_ACCESS_KEY": f"{CANARY}/key",
    "AWS_SESSION_TOKEN": f"{CANARY}/token",
}


def printed(*arguments: str, **environment: str) -> str:
    return CliRunner().invoke(main, ["check", *arguments], env=environment).output


def test_the_process_exits_with_the_code_of_the_report(sandbox: Sandbox, free_port: int) -> None:
    """It prints one JSON document, whatever the log level."""
    settings = {"GATEWAY_REGION": "eu-west-1", "GATEWAY_LOG_LEVEL": "debug"}
    codes = []
    for url in (sandbox.url, f"http://127.0.0.1:{free_port}"):
        done = subprocess.run(
            [sys.executable, "-m", "gateway", "check", "--json"],
            env={"PATH": os.environ["PATH"], "GATEWAY_UPSTREAM_URL": url, **settings},
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )
        assert done.stderr == ""
        assert json.loads(done.stdout)["exitCode"] == done.returncode
        codes.append(done.returncode)

    assert codes == [0, 1]


def test_the_columns_of_the_table_are_aligned(sandbox: Sandbox) -> None:
    lines = printed(GATEWAY_UPSTREAM_URL=sandbox.url, GATEWAY_INTROSPECTION="true").splitlines()
    state, detail = lines[0].index("state"), lines[0].index("detail")
    states = {line[state:].split(maxsplit=1)[0] for line in lines[1:] if not line.startswith(" ")}

    assert lines[0].split() == ["what", "state", "detail"]
    assert states == {"ok", "warn", "skipped"}
    assert [line[detail:] for line in lines if line.startswith(" ")] == [
        "-> Unset it in production."
    ]


def test_the_table_has_no_control_characters_and_no_endless_lines() -> None:
    shown = table(
        [
            Row("one", State.FAIL, f"\x1b[2Jgone{'x' * 9999}", "Look."),
            Row("two", State.OK, "Fine."),
        ]
    )

    assert "\x1b" not in shown
    assert len(shown) < 1000


def test_the_help_says_which_credentials_are_read() -> None:
    shown = " ".join(CliRunner().invoke(main, ["check", "--help"]).output.split())

    assert "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN" in shown
    assert "the gateway itself never does" in shown


def test_a_missing_token_file_is_a_usage_error() -> None:
    result = CliRunner().invoke(main, ["check", "--token-file", "/nowhere/token"])

    assert result.exit_code == 2
    assert "--token-file" in result.output


def test_no_secret_is_shown_if_all_servers_echo_it(tmp_path: Path) -> None:
    """They echo it as an error code and as a message."""
    token = tmp_path / "token"
    token.write_text(f"{CANARY}.{CANARY}.{CANARY}", encoding="ascii")
    with fake_server() as echo:
        echo.status, echo.echoes = 403, True
        url = f"http://127.0.0.1:{echo.port}"
        oidc = oidc_settings(tmp_path, url, f'jwks_url = "{url}/keys"')
        settings = {
            "GATEWAY_UPSTREAM_URL": url,
            "GATEWAY_STS_URL": url,
            "GATEWAY_CACHE_URL": f"redis://{CANARY}:{CANARY}@127.0.0.1:{echo.port}/0",
            **{f"GATEWAY_{name.upper()}": str(value) for name, value in oidc.items()},
        }
        shown = [
            printed("--token-file", str(token), *options, **settings, **CREDENTIALS)
            for options in ([], ["--json"])
        ]

    for text in shown:
        assert "FAIL" in text
        assert "CANARY" not in text.upper()


INVALID_KEYS: Mapping[str, tuple[int, bytes, Mapping[str, str]]] = {
    "an error": (500, b"", {}),
    "a redirect": (302, b"", {"Location": f"/keys?signature={CANARY}"}),
    "no JSON": (200, b"x", {}),
    "a list": (200, b"[]", {}),
    "no keys": (200, b"{}", {}),
    "too much": (200, b" " * (MAX_RESPONSE_BYTES + 1), {}),
    "an invalid header": (200, b"{}", {"X": "\0"}),
    "an invalid encoding": (200, b"{}", {"Content-Encoding": "gzip"}),
    "an invalid length": (200, b"{}", {"Transfer-Encoding": "chunked"}),
}


@pytest.mark.parametrize("response", INVALID_KEYS.values(), ids=INVALID_KEYS)
def test_the_query_of_the_keys_address_is_not_shown(
    tmp_path: Path, response: tuple[int, bytes, Mapping[str, str]]
) -> None:
    """It may be a signature that gives access to them."""
    with fake_server() as server:
        server.status, server.body, server.headers = response
        url = f"http://127.0.0.1:{server.port}"
        settings = oidc_settings(tmp_path, url, f'jwks_url = "{url}/keys?signature={CANARY}"')
        report = check(upstream_url=url, sts_url=url, **settings)

    report.assert_failed(f"issuer {url}", f"{url}/keys?…: no keys: ")
    assert CANARY not in report.printed


def test_no_secret_is_shown_if_all_checks_succeed(sandbox: Sandbox, tmp_path: Path) -> None:
    oidc = oidc_settings(tmp_path, f"{sandbox.url}/oidc")
    token = token_file(sandbox, tmp_path)
    with running_redis(password="redis-canary") as redis:
        report = check(
            *("--token-file", token),
            aws=aws_variables("ada"),
            upstream_url=sandbox.url,
            sts_url=sandbox.url,
            cache_url=f"redis://:redis-canary@127.0.0.1:{redis.port}",
            **oidc,
        )

    assert report.code == 0
    secrets = [*aws_variables("ada").values(), Path(token).read_text(encoding="ascii").strip()]
    assert not [each for each in [*secrets, "redis-canary"] if each in report.printed]


@pytest.mark.parametrize("listening", [silent, full])
def test_each_check_has_a_timeout(tmp_path: Path, listening: Any) -> None:
    with listening() as port:
        url = f"http://127.0.0.1:{port}"
        oidc = oidc_settings(tmp_path, url)
        redis = f"redis://127.0.0.1:{port}"
        report = check(upstream_url=url, sts_url=url, cache_url=redis, **oidc)

    assert report.failed == {"upstream us-east-1", "STS", f"issuer {url}", "redis"}
    for what in report.failed:
        assert "timed out" in report.text(what) or "within" in report.text(what)


@pytest.mark.parametrize("error", [OSError(1), ValueError("x")])
def test_a_dns_failure_is_found_among_the_causes(error: Exception) -> None:
    error.__context__ = UnicodeError("label too long")
    problem = network_problem(error)

    assert problem is not None
    assert "DNS" in problem.cause


def test_an_invalid_response_is_no_network_problem() -> None:
    assert network_problem(ValueError("invalid JSON")) is None
