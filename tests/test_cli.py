"""The command line: what it prints, how it ends, and that what it tells to paste works."""

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
    """Run the command in this process, to its end."""
    return CliRunner().invoke(main, arguments)


@contextmanager
def started(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run the command as a process of its own; it is killed if it outlives the block by far."""
    with subprocess.Popen(  # noqa: S603 - our own words
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


def read_until(process: subprocess.Popen[str], words: str) -> str:
    """Read what the process prints, up to the line with these words."""
    assert process.stdout is not None
    printed = ""
    for line in process.stdout:
        printed += line
        if words in line:
            return printed
    raise AssertionError(f"It ended without saying {words!r}: {printed}{process.communicate()}")


@pytest.fixture
def taken_port() -> Iterator[int]:
    """Give a port that somebody else listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_the_schema_is_the_committed_one() -> None:
    """`make schema` writes it anew."""
    printed = run("schema")

    assert printed.exit_code == 0
    assert printed.output == SCHEMA.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "words"),
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
def test_a_wrong_command_line_is_explained(arguments: list[str], words: str) -> None:
    """Exit code 2, and the word that was not understood."""
    ended = run(*arguments)

    assert ended.exit_code == 2
    assert words in ended.output


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
    ended = run(command, *ports)

    assert ended.exit_code == 2
    assert ended.stdout == ""
    assert ended.stderr.startswith("gateway: ")
    assert name in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_version_and_the_commands_are_shown() -> None:
    """`--help` names all five, `-h` is the same."""
    shown = run("--help").output

    assert all(f"\n  {name} " in shown for name in ("serve", "check", "dev", "sandbox", "schema"))
    assert run("-h").output == shown
    assert re.fullmatch(r"gateway, version \d+\.\d+\.\d+\n", run("--version").output)


@pytest.mark.parametrize("option", ["--port", "--sandbox-port"])
def test_dev_says_which_port_is_taken(taken_port: int, option: str) -> None:
    """One line, with the option that chooses another."""
    ports = {"--port": "0", "--sandbox-port": "0", option: str(taken_port)}
    ended = run("dev", *(word for pair in ports.items() for word in pair))

    assert ended.exit_code == 1
    assert ended.output.count("\n") == 1
    assert f"cannot listen on 127.0.0.1:{taken_port}" in ended.output
    assert f"or {option}." in ended.output


def test_serve_says_that_a_port_is_taken(taken_port: int) -> None:
    """The port is named, without a traceback, and the exit code is a failure's."""
    with started("serve", "--port", str(taken_port)) as process:
        printed, complained = process.communicate(timeout=WATCHDOG_SECONDS)

    assert process.returncode in {1, 3}
    assert str(taken_port) in printed + complained
    assert "address already in use" in (printed + complained).lower()
    assert "Traceback" not in printed + complained


def test_serve_answers_until_it_is_told_to_end(
    monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox
) -> None:
    """It says where it is, is alive and ready, and ends on SIGTERM without a word of trouble."""
    monkeypatch.setenv("GATEWAY_UPSTREAM_URL", sandbox.url)
    monkeypatch.setenv("GATEWAY_DRAIN_SECONDS", "0")
    with started("serve", "--port", "0") as process:
        printed = read_until(process, "running on")
        (url,) = re.findall(r"http://127\.0\.0\.1:\d+", printed)
        statuses = [httpx.get(url + path).status_code for path in ("/livez", "/readyz")]
        process.send_signal(signal.SIGTERM)
        rest, complained = process.communicate(timeout=WATCHDOG_SECONDS)

    assert statuses == [200, 200]
    assert process.returncode == 0
    assert complained == ""
    assert [json.loads(line)["level"] for line in rest.splitlines() if '"error"' in line] == []


@pytest.fixture(scope="module")
def development() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run `gateway dev`, and give it and what it printed."""
    with started("dev", "--port", "0", "--sandbox-port", "0") as process:
        yield process, read_until(process, "Ctrl-C")


Development = tuple[subprocess.Popen[str], str]


@pytest.mark.parametrize("scheme", ["X-Aws-Access-Key-Id", "Authorization: Bearer"])
def test_what_dev_tells_to_paste_works(development: Development, scheme: str) -> None:
    """The curl line of each scheme, given to a shell as it stands, answers with jobs."""
    lines = [line.strip() for line in development[1].splitlines() if "curl" in line]
    (line,) = [line for line in lines if scheme in line]
    done = subprocess.run(  # noqa: S603 - as a newcomer would
        ["bash", "-c", line],  # noqa: S607 - any bash
        capture_output=True,
        text=True,
        check=True,
        timeout=WATCHDOG_SECONDS,
    )
    jobs = json.loads(done.stdout)["data"]["audienceGenerationJobs"]

    assert len(jobs["nodes"]) == 3
    assert jobs["pageInfo"]["endCursor"]


def test_what_dev_tells_to_open_is_the_explorer(development: Development) -> None:
    """A browser gets a page there, and introspection is on."""
    (url,) = re.findall(r"^  (http://127\.0\.0\.1:\d+/graphql)$", development[1], re.MULTILINE)
    page = httpx.get(url, headers={"Accept": "text/html"})
    schema = httpx.post(url, json={"query": "{ __schema { queryType { name } } }"})

    assert page.headers["content-type"].startswith("text/html")
    assert schema.json() == {"data": {"__schema": {"queryType": {"name": "Query"}}}}


def test_each_caller_that_dev_shows_is_somebody(development: Development) -> None:
    """Three of them, whose headers can be pasted into the explorer as they stand."""
    (url,) = re.findall(r"http://127\.0\.0\.1:\d+/graphql$", development[1], re.MULTILINE)[:1]
    shown = re.findall(r"^  (\w+): .*\n  (\{.*?\})", development[1], re.MULTILINE)
    query = {"query": "{ audienceGenerationJobs(first: 1) { nodes { name } } }"}
    answers = [httpx.post(url, json=query, headers=json.loads(given)).json() for _, given in shown]

    assert [name for name, _ in shown] == ["ada", "grace", "edith"]
    assert all("errors" not in answer for answer in answers)


def test_dev_ends_with_ctrl_c() -> None:
    """Both servers end, and a person who pressed it sees no traceback."""
    with started("dev", "--port", "0", "--sandbox-port", "0") as process:
        read_until(process, "Ctrl-C")
        process.send_signal(signal.SIGINT)
        rest, complained = process.communicate(timeout=WATCHDOG_SECONDS)

    assert process.returncode in {0, 1, 130, -signal.SIGINT}
    assert "Traceback" not in rest + complained


@pytest.mark.parametrize("host", ["::1", "localhost"])
def test_dev_listens_where_it_is_told_to(host: str) -> None:
    """Names and IPv6 addresses are hosts too, and the address it prints is one to open."""
    with started("dev", "--host", host, "--port", "0", "--sandbox-port", "0") as process:
        printed = read_until(process, "Ctrl-C")
        (url,) = re.findall(r"^  (http://\S+/graphql)$", printed, re.MULTILINE)
        answer = httpx.get(url.replace("/graphql", "/livez"))

    assert answer.status_code == 200
