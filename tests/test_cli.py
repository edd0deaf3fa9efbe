"""The command line: what it prints, how it exits, and that the printed commands work."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result

from gateway.cli import main
from tests.gateways import Sandbox

PROGRAM = [sys.executable, "-m", "gateway"]
WATCHDOG_SECONDS = 30
SCHEMA = Path(__file__).parents[1] / "schema.graphql"


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith("GATEWAY_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


@contextmanager
def started(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run the command as a process of its own, with a watchdog."""
    with subprocess.Popen(  # noqa: S603  a fixed command
        [*PROGRAM, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        watchdog = threading.Timer(WATCHDOG_SECONDS, process.kill)
        watchdog.start()
        try:
            yield process
        finally:
            watchdog.cancel()
            process.kill()


def read_until(process: subprocess.Popen[str], text: str) -> str:
    """Return the output of a process up to the line with this text."""
    assert process.stdout is not None
    printed = ""
    for line in process.stdout:
        printed += line
        if text in line:
            return printed
    raise AssertionError(f"It ended without printing {text!r}: {printed}{process.communicate()}")


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_schema_prints_the_committed_schema() -> None:
    """`make schema` regenerates it."""
    printed = run("schema")

    assert printed.exit_code == 0
    assert printed.output == SCHEMA.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["serve", "--prot", "1"], "--prot"),
        (["serve", "--port", "65536"], "'--port'"),
        (["serve", "--port", "http"], "'--port'"),
        (["serve", "--workers", "0"], "'--workers'"),
        (["dev", "--workers", "2"], "--workers"),
        (["schema", "extra"], "extra"),
        (["server"], "No such command 'server'"),
    ],
)
def test_an_invalid_command_line_is_explained(arguments: list[str], text: str) -> None:
    result = run(*arguments)

    assert result.exit_code == 2
    assert text in result.output


@pytest.mark.parametrize("command", ["serve", "dev"])
@pytest.mark.parametrize(
    ("name", "value"), [("GATEWAY_CACHE_SECONDS", "soon"), ("GATEWAY_REGON", "us-east-1")]
)
def test_a_bad_setting_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, command: str, name: str, value: str
) -> None:
    """Exit code 2, the variable's name, no traceback, and nothing is served."""
    monkeypatch.setenv(name, value)
    ports = ["--port", "0", *(["--sandbox-port", "0"] if command == "dev" else [])]
    result = run(command, *ports)

    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("gateway: ")
    assert name in result.stderr
    assert "Traceback" not in result.stderr


def test_help_and_version_are_printed() -> None:
    """`--help` names all five, `-h` is the same."""
    output = run("--help").output

    assert all(f"\n  {name} " in output for name in ("serve", "check", "dev", "sandbox", "schema"))
    assert run("-h").output == output
    assert re.fullmatch(r"gateway, version \d+\.\d+\.\d+\n", run("--version").output)


@pytest.mark.parametrize("option", ["--port", "--sandbox-port"])
def test_dev_reports_a_port_that_is_taken(taken_port: int, option: str) -> None:
    """In one line, with the option that selects another one."""
    ports = {"--port": "0", "--sandbox-port": "0", option: str(taken_port)}
    result = run("dev", *(word for pair in ports.items() for word in pair))

    assert result.exit_code == 1
    assert result.output.count("\n") == 1
    assert f"cannot listen on 127.0.0.1:{taken_port}" in result.output
    assert f"or {option}." in result.output


def test_serve_reports_a_port_that_is_taken(taken_port: int) -> None:
    """Without a traceback."""
    with started("serve", "--port", str(taken_port)) as process:
        stdout, stderr = process.communicate(timeout=WATCHDOG_SECONDS)

    assert process.returncode in {1, 3}
    assert str(taken_port) in stdout + stderr
    assert "address already in use" in (stdout + stderr).lower()
    assert "Traceback" not in stdout + stderr


def test_serve_serves_until_sigterm(monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox) -> None:
    """It prints its address, is alive and ready, and exits without an error."""
    monkeypatch.setenv("GATEWAY_UPSTREAM_URL", sandbox.url)
    monkeypatch.setenv("GATEWAY_DRAIN_SECONDS", "0")
    with started("serve", "--port", "0") as process:
        printed = read_until(process, "running on")
        (url,) = re.findall(r"http://127\.0\.0\.1:\d+", printed)
        statuses = [httpx.get(url + path).status_code for path in ("/livez", "/readyz")]
        process.send_signal(signal.SIGTERM)
        stdout, stderr = process.communicate(timeout=WATCHDOG_SECONDS)

    assert statuses == [200, 200]
    assert process.returncode == 0
    assert stderr == ""
    assert [json.loads(line)["level"] for line in stdout.splitlines() if '"error"' in line] == []


@pytest.fixture(scope="module")
def development() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run `gateway dev`, and give it and what it printed."""
    with started("dev", "--port", "0", "--sandbox-port", "0") as process:
        yield process, read_until(process, "Ctrl-C")


Development = tuple[subprocess.Popen[str], str]


@pytest.mark.parametrize("scheme", ["X-Aws-Access-Key-Id", "Authorization: Bearer"])
def test_the_commands_that_dev_prints_work(development: Development, scheme: str) -> None:
    """The curl command of each authentication scheme returns jobs."""
    lines = [line.strip() for line in development[1].splitlines() if "curl" in line]
    (line,) = [line for line in lines if scheme in line]
    done = subprocess.run(  # noqa: S603  as a user would
        ["bash", "-c", line],  # noqa: S607  any bash
        capture_output=True,
        text=True,
        check=True,
        timeout=WATCHDOG_SECONDS,
    )
    jobs = json.loads(done.stdout)["data"]["audienceGenerationJobs"]

    assert len(jobs["nodes"]) == 3
    assert jobs["pageInfo"]["endCursor"]


def test_the_url_that_dev_prints_is_graphiql(development: Development) -> None:
    """With introspection enabled."""
    (url,) = re.findall(r"^  (http://127\.0\.0\.1:\d+/graphql)$", development[1], re.MULTILINE)
    page = httpx.get(url, headers={"Accept": "text/html"})
    schema = httpx.post(url, json={"query": "{ __schema { queryType { name } } }"})

    assert page.headers["content-type"].startswith("text/html")
    assert schema.json() == {"data": {"__schema": {"queryType": {"name": "Query"}}}}


def test_the_callers_that_dev_prints_are_valid(development: Development) -> None:
    """Their headers can be pasted into GraphiQL."""
    (url,) = re.findall(r"http://127\.0\.0\.1:\d+/graphql$", development[1], re.MULTILINE)[:1]
    callers = re.findall(r"^  (\w+): .*\n  (\{.*?\})", development[1], re.MULTILINE)
    query = {"query": "{ audienceGenerationJobs(first: 1) { nodes { name } } }"}
    answers = [
        httpx.post(url, json=query, headers=json.loads(headers)).json() for _, headers in callers
    ]

    assert [name for name, _ in callers] == ["ada", "grace", "edith"]
    assert all("errors" not in answer for answer in answers)


def test_dev_ends_with_ctrl_c() -> None:
    """Both servers stop, without a traceback."""
    with started("dev", "--port", "0", "--sandbox-port", "0") as process:
        read_until(process, "Ctrl-C")
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=WATCHDOG_SECONDS)

    assert process.returncode in {0, 1, 130, -signal.SIGINT}
    assert "Traceback" not in stdout + stderr


@pytest.mark.parametrize("host", ["::1", "localhost"])
def test_dev_listens_on_the_given_host(host: str) -> None:
    """A name or an IPv6 address; the printed URL can be opened."""
    with started("dev", "--host", host, "--port", "0", "--sandbox-port", "0") as process:
        printed = read_until(process, "Ctrl-C")
        (url,) = re.findall(r"^  (http://\S+/graphql)$", printed, re.MULTILINE)
        answer = httpx.get(url.replace("/graphql", "/livez"))

    assert answer.status_code == 200
