"""The command that starts an example."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from gateway.dev import aws_headers
from gateway.sandbox import CALLERS
from tests.examples.app import EXAMPLES
from tests.gateways import TIMEOUT_SECONDS, TLS
from tests.processes import Process, ProcessStatistics, clean_environment, process, until

READY = re.compile(r"Press (Ctrl-C)")


def url_of_page(started: Process) -> str:
    (url,) = re.findall(r"Open\n\n  (http://127\.0\.0\.1:\d+)/", "".join(started.output))
    return str(url)


def line_that(contains: str, started: Process) -> str:
    (line,) = [line for line in started.output if contains in line]
    return line


def paste(line: str) -> str:
    """Run a printed line as a user would, and return its output."""
    shell = ["bash", "-c", line]
    return subprocess.run(shell, capture_output=True, text=True, check=True).stdout  # noqa: S603


def sources(name: str) -> list[Path]:
    """Return the modules of an example; those of types alone are not served."""
    files = (EXAMPLES / name / "src").glob("*.ts*")
    return [file for file in files if not file.name.endswith(".d.ts")]


def serves(url: str) -> bool:
    return httpx.get(url, verify=TLS, timeout=TIMEOUT_SECONDS).is_success


def descendants(pid: int) -> list[int]:
    children = ProcessStatistics(pid).children()
    return [*children, *(each for child in children for each in descendants(child))]


def is_running(pid: int) -> bool:
    """Tell whether a process goes on; one that has ended may still be in the table."""
    try:
        status = Path(f"/proc/{pid}/status").read_text("utf-8")
    except FileNotFoundError:
        return False
    return "State:\tZ" not in status


@pytest.mark.parametrize(
    ("name", "ended_by"), [("relay", "Ctrl-C"), ("apollo", "the end of the gateway")]
)
def test_one_command_serves_an_example_over_the_sandbox(name: str, ended_by: str) -> None:
    command = [sys.executable, "-m", "scripts.example", name]
    with process(command, clean_environment(), ready=READY) as started:
        page = url_of_page(started)
        answer = httpx.post(
            f"{page}/graphql",
            json={"query": "{ audienceGenerationJobs(first: 1) { nodes { name } } }"},
            headers=aws_headers(CALLERS["ada"]),
            verify=TLS,
            timeout=TIMEOUT_SECONDS,
        )
        html = httpx.get(page, verify=TLS, timeout=TIMEOUT_SECONDS).text
        # Vite compiles each when it is asked for, and fails if an import of it is missing.
        modules = {each.name: serves(f"{page}/src/{each.name}") for each in sources(name)}
        arn = paste(line_that("start-job", started))
        programs = descendants(started.pid)
        if ended_by == "Ctrl-C":
            started.send_signal(signal.SIGINT)
        else:
            os.kill(_gateway_of(started), signal.SIGKILL)
        code = started.wait()

    assert answer.json()["data"]["audienceGenerationJobs"]["nodes"]
    assert "/src/main.tsx" in html
    assert arn.startswith("arn:aws:cleanrooms-ml:")
    assert modules
    assert all(modules.values()), modules
    assert code == (0 if ended_by == "Ctrl-C" else 1)
    assert len(programs) >= 2
    # A process that was killed may take a moment to end.
    until(lambda: not any(map(is_running, programs)))


def _gateway_of(started: Process) -> int:
    for child in started.children():
        if b"gateway\0dev" in Path(f"/proc/{child}/cmdline").read_bytes():
            return child
    raise AssertionError("no gateway runs")
