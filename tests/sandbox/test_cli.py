"""The command line: serve a sandbox, and switch its faults from another window."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from click.testing import CliRunner, Result

import gateway.sandbox
from gateway.sandbox import ROLE_ARNS
from gateway.sandbox.cli import sandbox
from tests.sandbox.clients import client, list_jobs
from tests.sandbox.identities import assume_role
from tests.sandbox.wire import JOBS, ask


def run(*arguments: str) -> Result:
    """Run `gateway sandbox` with these arguments."""
    return CliRunner().invoke(sandbox, arguments)


def test_faults_are_switched_from_the_command_line(url: str) -> None:
    """`fault` switches on, `faults` shows, `heal` switches off."""
    limits = ("--operation", "ListAudienceGenerationJobs", "--times", "9")
    on = run("fault", "short-pages", "--set", "size=2", *limits, "--url", url)
    rows = len(ask(url, JOBS).json()["audienceGenerationJobs"])
    shown = run("faults", "--url", url)
    healed = run("heal", "--url", url)

    assert on.exit_code == shown.exit_code == healed.exit_code == 0
    assert rows == 2
    assert "fault=short-pages operation=ListAudienceGenerationJobs times=8 size=2" in shown.output
    assert "truncated" in shown.output
    assert healed.output == "Healed: 1\n"


def test_a_refusal_is_shown(url: str) -> None:
    """What the sandbox says of a bad order is what the command says."""
    ended = run("fault", "flood", "--url", url)

    assert ended.exit_code == 1
    assert "fault is 'flood'. Accepted: cookie" in ended.output


def test_tokens_are_printed(url: str) -> None:
    """`token` prints a token that STS takes, for the audience and the time that were asked for."""
    usual = run("token", "ada", "--url", url)
    special = run("token", "babbage", "--audience", "cli", "--seconds", "60", "--url", url)
    answer = assume_role(url, special.output.strip())

    assert usual.exit_code == special.exit_code == 0
    assert assume_role(url, usual.output.strip())["Audience"] == "audience-gateway"
    assert (answer["SubjectFromWebIdentityToken"], answer["Audience"]) == ("babbage", "cli")


def test_a_refused_token_order_is_shown(url: str) -> None:
    """What the sandbox says of a bad order is what the command says."""
    ended = run("token", "", "--url", url)

    assert ended.exit_code == 1
    assert "subject is ''" in ended.output


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "ftp://127.0.0.1"])
def test_no_sandbox_there(address: str) -> None:
    """An address without a sandbox is named in one line, not in a traceback."""
    ended = run("heal", "--url", address)

    assert ended.exit_code == 1
    assert address in ended.output


@pytest.mark.parametrize("text", ["flood", "slow:seconds=x", "slow:seconds", "slow:size=1"])
def test_a_bad_fault_stops_the_start(text: str) -> None:
    """A sandbox does not start with a fault it does not understand."""
    ended = run("--fault", text)

    assert ended.exit_code == 2
    assert "Error: " in ended.output


def free_port() -> int:
    """Give a port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def started(*arguments: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run `gateway sandbox` as a process of its own, until the block ends."""
    port = free_port()
    code = "from gateway.sandbox.cli import sandbox; sandbox()"
    command = [sys.executable, "-c", code, "--port", str(port), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own words
        try:
            wait_for(f"http://127.0.0.1:{port}/_sandbox/faults")
            yield f"http://127.0.0.1:{port}", process
        finally:
            process.terminate()


def wait_for(address: str) -> None:
    """Wait until the address answers."""
    deadline = time.monotonic() + 20
    while True:
        try:
            urlopen(address, timeout=5).close()  # noqa: S310 - our own words
        except URLError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            return


def test_the_command_serves() -> None:
    """The program prints its address and callers, and serves as many jobs as it was told to."""
    with started("--jobs", "12", "--fault", "short-pages:size=5") as (url, process):
        page = ask(url, JOBS).json()
        jobs = list_jobs(client(url))
        process.terminate()
        printed = process.communicate(timeout=20)[0]

    assert len(page["audienceGenerationJobs"]) == 5
    assert len(jobs) == 12
    assert url in printed
    assert "AWS_ACCESS_KEY_ID=ASIASANDBOXADA" in printed
    assert f"OIDC issuer at {url}/oidc" in printed
    assert ROLE_ARNS["edith"] in printed


def test_exports() -> None:
    """Four names are public, and exist."""
    names = ["CALLERS", "ROLE_ARNS", "SandboxCaller", "create_sandbox"]
    assert sorted(gateway.sandbox.__all__) == names
    assert all(getattr(gateway.sandbox, name) for name in gateway.sandbox.__all__)
    with pytest.raises(AttributeError):
        _ = gateway.sandbox.anything_else


def test_importing_is_cheap() -> None:
    """The callers and the command are imported without botocore, joserfc, uvicorn, Starlette."""
    code = (
        "import sys, gateway.sandbox, gateway.sandbox.cli;"
        "sys.exit(bool({'botocore', 'joserfc', 'uvicorn', 'starlette'} & set(sys.modules)))"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0  # noqa: S603 - our own words


def test_callers_do_not_print_their_secrets() -> None:
    """The habit is kept although these secrets are public."""
    for caller in gateway.sandbox.CALLERS.values():
        assert caller.secret_access_key not in repr(caller)
        assert str(caller.session_token) not in repr(caller)
