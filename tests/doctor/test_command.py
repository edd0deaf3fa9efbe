"""The command itself: the table, its end, its secrets kept, its time bounded."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from gateway.cli import main
from gateway.doctor.obstacle import obstacle
from gateway.doctor.report import table
from gateway.doctor.row import fail, ok
from tests.doctor.reports import checked, keys_of, trusting
from tests.doctor.test_issuers import token_of
from tests.doctor.upstreams import answering
from tests.gateways import Sandbox
from tests.hostile.listeners import full, silent
from tests.redis_servers import running_redis

SECONDS = 60

CANARY = "canary1SECRET"
KEYS = {
    "AWS_ACCESS_KEY_ID": "ASIACANARYCANARY0001",
    "AWS_SECRET_ACCESS_KEY": f"{CANARY}/key",
    "AWS_SESSION_TOKEN": f"{CANARY}/token",
}


def printed(*arguments: str, **environment: str) -> str:
    """Run the check for people, and give all that it prints."""
    return CliRunner().invoke(main, ["check", *arguments], env=environment).output


def test_the_program_ends_with_its_code(sandbox: Sandbox, free_port: int) -> None:
    """As a process of its own: 1 where something fails, JSON on standard output and no more."""
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


def test_the_table_is_aligned(sandbox: Sandbox) -> None:
    """Three columns, each row's state below the head's, remedies below what they mend."""
    lines = printed(GATEWAY_UPSTREAM_URL=sandbox.url, GATEWAY_INTROSPECTION="true").splitlines()
    at = lines[0].index("state")
    states = [line[at:].split(maxsplit=1)[0] for line in lines[1:] if not line.startswith(" ")]

    assert lines[0].split() == ["what", "state", "detail"]
    assert set(states) == {"ok", "warn", "skipped"}
    detail = lines[0].index("detail")
    assert [line[detail:] for line in lines if line.startswith(" ")] == [
        "-> Unset it where the gateway serves production."
    ]


def test_what_a_stranger_says_does_not_steer_the_terminal() -> None:
    """An issuer's answer, for one, is shown without its control characters, and not for ever."""
    shown = table([fail("one", f"\x1b[2Jgone{'x' * 9999}", "Look."), ok("two", "fine")])

    assert "\x1b" not in shown
    assert len(shown) < 1000


def test_help_says_whose_keys_are_used_and_for_what() -> None:
    """The gateway itself has no use for them."""
    shown = " ".join(CliRunner().invoke(main, ["check", "--help"]).output.split())

    assert "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN" in shown
    assert "the gateway itself never does" in shown


def test_a_token_file_that_is_not_there() -> None:
    """It is explained as other wrong command lines are."""
    ended = CliRunner().invoke(main, ["check", "--token-file", "/nowhere/token"])

    assert ended.exit_code == 2
    assert "--token-file" in ended.output


def test_no_secret_is_shown(tmp_path: Path) -> None:
    """Not even where all that answers repeats what it was sent, as a code and as a message."""
    token = tmp_path / "token"
    with answering() as echo:
        echo.status, echo.repeats = 403, True
        url = f"http://127.0.0.1:{echo.port}"
        oidc = trusting(tmp_path, url, f'jwks_url = "{url}/keys"')
        token.write_text(f"{CANARY}.{CANARY}.{CANARY}", encoding="ascii")
        settings = {
            "GATEWAY_UPSTREAM_URL": url,
            "GATEWAY_STS_URL": url,
            "GATEWAY_CACHE_URL": f"redis://{CANARY}:{CANARY}@127.0.0.1:{echo.port}/0",
            **{f"GATEWAY_{name.upper()}": str(value) for name, value in oidc.items()},
        }
        shown = [
            printed("--token-file", str(token), *options, **settings, **KEYS)
            for options in ([], ["--json"])
        ]

    for text in shown:
        assert "FAIL" in text
        assert "CANARY" not in text.upper()


def test_no_secret_is_shown_where_all_works(sandbox: Sandbox, tmp_path: Path) -> None:
    """Nor the name of who signs in."""
    oidc = trusting(tmp_path, f"{sandbox.url}/oidc")
    token = token_of(sandbox, tmp_path)
    with running_redis(password="redis-canary") as redis:
        report = checked(
            *("--token-file", token),
            aws=keys_of("ada"),
            upstream_url=sandbox.url,
            sts_url=sandbox.url,
            cache_url=f"redis://:redis-canary@127.0.0.1:{redis.port}",
            **oidc,
        )

    assert report.code == 0
    secrets = [*keys_of("ada").values(), Path(token).read_text(encoding="ascii").strip()]
    assert not [each for each in [*secrets, "redis-canary"] if each in report.printed]


@pytest.mark.parametrize("listening", [silent, full])
def test_everything_hangs_and_it_ends(tmp_path: Path, listening: Any) -> None:
    """Each try has its own short time, and all run at once."""
    with listening() as port:
        url = f"http://127.0.0.1:{port}"
        oidc = trusting(tmp_path, url)
        redis = f"redis://127.0.0.1:{port}"
        report = checked(upstream_url=url, sts_url=url, cache_url=redis, **oidc)

    assert report.failed == {"upstream us-east-1", "STS", f"issuer {url}", "redis"}
    for what in report.failed:
        report.assert_failed(what, "")
        assert "in time" in report.why(what) or "within" in report.why(what).lower()


def test_a_name_that_nobody_knows() -> None:
    """The resolver's refusal, wherever a client hides it."""
    for error in (OSError(1), ValueError("x")):
        error.__context__ = UnicodeError("label too long")
        found = obstacle(error)
        assert found is not None
        assert "DNS" in found.why


def test_what_tells_nothing_of_the_way_is_no_obstacle() -> None:
    """Such as an answer that is no JSON."""
    assert obstacle(ValueError("answered no JSON")) is None
