"""The processes that are measured: started, watched and ended."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 20.0
STOP_SECONDS = 5.0
RESIDENT = re.compile(r"VmRSS:\s+(\d+) kB")
CPU_CLOCK = 2
"""Which of a process's clocks: what it was scheduled for, all threads. man 3 clock_getcpuclockid"""


class Process:
    """A process of this run: where it answers, and what it has used."""

    def __init__(self, popen: "subprocess.Popen[str]", port: int) -> None:
        self._popen = popen
        self.port = port

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def cpu(self) -> float:
        """Return the seconds of CPU that it has used."""
        return cpu_of(self._popen.pid)

    def resident(self) -> int:
        """Return the bytes of memory that it holds."""
        status = Path(f"/proc/{self._popen.pid}/status").read_text(encoding="ascii")
        found = RESIDENT.search(status)
        assert found is not None
        return int(found[1]) * 1024

    def files(self) -> int:
        """Count its open files and sockets."""
        return len(list(Path(f"/proc/{self._popen.pid}/fd").iterdir()))

    def tell(self, line: str) -> None:
        """Write a line to its standard input."""
        stdin = cast("IO[str]", self._popen.stdin)
        stdin.write(f"{line}\n")
        stdin.flush()

    def hear(self) -> str:
        """Wait for a line of its standard output."""
        return cast("IO[str]", self._popen.stdout).readline().strip()


def cpu_of(pid: int) -> float:
    """Return the seconds of CPU that a process has used."""
    return time.clock_gettime((~pid << 3) | CPU_CLOCK)


@contextmanager
def canned(*, pages: int = 1, delay_ms: float = 0) -> Iterator[Process]:
    """Run the canned upstream."""
    options = ("--pages", str(pages), "--delay-ms", str(delay_ms))
    with _running("-m", "benchmarks.canned", *options, talks=True) as popen:
        process = Process(popen, 0)
        process.port = int(process.hear().rpartition(":")[2])
        yield process


@contextmanager
def ill(manner: str) -> Iterator[Process]:
    """Run an upstream that fails in a manner of benchmarks/ill.py."""
    with _running("-m", "benchmarks.ill", manner, talks=True) as popen:
        process = Process(popen, 0)
        process.port = int(process.hear().rpartition(":")[2])
        yield process


@contextmanager
def stock_limits() -> Iterator[Process]:
    """Run Strawberry's own limiters; benchmarks/stock_limits.py says how to talk to them."""
    with _running("-m", "benchmarks.stock_limits", talks=True) as popen:
        yield Process(popen, 0)


@contextmanager
def stock(upstream: Process) -> Iterator[Process]:
    """Run the stock client over an upstream; benchmarks/stock.py says how to talk to it."""
    with _running("-m", "benchmarks.stock", upstream.url, talks=True) as popen:
        yield Process(popen, 0)


@contextmanager
def gateway(upstream: Process, **settings: object) -> Iterator[Process]:
    """Run `gateway serve` over an upstream; `settings` are GATEWAY_* without the prefix."""
    with starting_gateway(upstream, **settings) as process:
        _await(process)
        yield process


@contextmanager
def untold(upstream: Process, **settings: object) -> Iterator[Process]:
    """Run a gateway that writes no line and counts nothing likewise."""
    port = _free_port()
    arguments = ("-m", "benchmarks.untold", "--port", str(port))
    with _running(*arguments, environment=_environment(upstream, settings)) as popen:
        process = Process(popen, port)
        _await(process)
        yield process


def _await(process: Process) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _listens(process.port):
        assert time.monotonic() < deadline, "the gateway did not start"
        time.sleep(0.01)


@contextmanager
def starting_gateway(upstream: Process, **settings: object) -> Iterator[Process]:
    """Run `gateway serve` likewise, and do not wait until it answers."""
    port = _free_port()
    arguments = ("-m", "gateway", "serve", "--port", str(port))
    with _running(*arguments, environment=_environment(upstream, settings)) as popen:
        yield Process(popen, port)


def _environment(upstream: Process, settings: Mapping[str, object]) -> dict[str, str]:
    """Count callers' calls as ever, but let one caller have as many as can be made."""
    given = {
        "upstream_url": upstream.url,
        "drain_seconds": 0,
        "caller_calls_per_second": 1_000_000,
        **settings,
    }
    return {f"GATEWAY_{name.upper()}": str(value) for name, value in given.items()}


@contextmanager
def _running(
    *command: str, talks: bool = False, environment: Mapping[str, str] | None = None
) -> Iterator["subprocess.Popen[str]"]:
    popen = subprocess.Popen(  # noqa: S603  our own programs
        [sys.executable, *command],
        cwd=ROOT,
        env={**_plain_environment(), **(environment or {})},
        stdin=subprocess.PIPE if talks else subprocess.DEVNULL,
        stdout=subprocess.PIPE if talks else subprocess.DEVNULL,
        text=True,
    )
    try:
        yield popen
    finally:
        popen.terminate()
        try:
            popen.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            popen.kill()
            popen.wait()
        for stream in (popen.stdin, popen.stdout):
            if stream is not None:
                stream.close()


def _plain_environment() -> dict[str, str]:
    """Leave out what would change a gateway or an AWS client."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith(("GATEWAY_", "AWS_"))
    }


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
