"""The processes of a benchmark: started, observed and ended."""

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from tests.processes import ProcessStatistics, clean_environment

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 20.0
STOP_SECONDS = 5.0
CPU_CLOCK = 2
"""The clock of a process that counts all of its threads. man 3 clock_getcpuclockid"""


class Process(ProcessStatistics):
    """A process that serves on a port, or answers lines on its standard input."""

    def __init__(self, popen: "subprocess.Popen[str]", port: int) -> None:
        super().__init__(popen.pid)
        self._popen = popen
        self.port = port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cpu(self) -> float:
        """Return the seconds of CPU that it and its children have used."""
        return cpu_of(self.pid) + sum(map(cpu_of, self.children()))

    def write_line(self, line: str) -> None:
        stdin = cast("IO[str]", self._popen.stdin)
        stdin.write(f"{line}\n")
        stdin.flush()

    def read_line(self) -> str:
        return cast("IO[str]", self._popen.stdout).readline().strip()


def cpu_of(pid: int) -> float:
    """Return the seconds of CPU that a process has used."""
    return time.clock_gettime((~pid << 3) | CPU_CLOCK)


@contextmanager
def upstream_process(*, pages: int = 1, delay_ms: float = 0) -> Iterator[Process]:
    """Run an upstream with prepared pages."""
    with _upstream("--pages", str(pages), "--delay-ms", str(delay_ms)) as process:
        yield process


@contextmanager
def faulty_upstream(fault: str) -> Iterator[Process]:
    """Run an upstream with a fault of benchmarks/upstream.py."""
    with _upstream("--fault", fault) as process:
        yield process


@contextmanager
def jobs_upstream() -> Iterator[Process]:
    """Run benchmarks/jobs_upstream.py."""
    with _upstream(module="benchmarks.jobs_upstream") as process:
        yield process


@contextmanager
def probe(server: Process) -> Iterator[Process]:
    """Run benchmarks/probe.py, which documents the lines."""
    with running(python("-m", "benchmarks.probe", str(server.port)), pipes=True) as popen:
        yield Process(popen, 0)


@contextmanager
def _upstream(*options: str, module: str = "benchmarks.upstream") -> Iterator[Process]:
    with running(python("-m", module, *options), pipes=True) as popen:
        process = Process(popen, 0)
        process.port = int(process.read_line().rpartition(":")[2])
        yield process


@contextmanager
def stock_limits() -> Iterator[Process]:
    """Run Strawberry's own limiters; benchmarks/stock_limits.py documents the lines."""
    with running(python("-m", "benchmarks.stock_limits"), pipes=True) as popen:
        yield Process(popen, 0)


@contextmanager
def stock_client(upstream: Process) -> Iterator[Process]:
    """Run the stock client over an upstream; benchmarks/stock.py documents the lines."""
    with running(python("-m", "benchmarks.stock", upstream.url), pipes=True) as popen:
        yield Process(popen, 0)


@contextmanager
def gateway(upstream: Process, *, workers: int = 1, **settings: object) -> Iterator[Process]:
    """Run `gateway serve` over an upstream; `settings` are GATEWAY_* without the prefix."""
    with starting_gateway(upstream, workers=workers, **settings) as process:
        wait_until_listening(process)
        yield process


@contextmanager
def gateway_without_telemetry(upstream: Process, **settings: object) -> Iterator[Process]:
    module = ("-m", "benchmarks.no_telemetry")
    with server(
        lambda port: python(*module, "--port", port), _environment(upstream, settings)
    ) as process:
        yield process


@contextmanager
def starting_gateway(
    upstream: Process, *, workers: int = 1, **settings: object
) -> Iterator[Process]:
    """Run `gateway serve` without waiting until it listens."""
    port = _free_port()
    arguments = ("serve", "--port", str(port), "--workers", str(workers))
    command = python("-m", "gateway", *arguments)
    with running(command, environment=_environment(upstream, settings)) as popen:
        yield Process(popen, port)


@contextmanager
def server(
    command: Callable[[str], Sequence[str]], environment: Mapping[str, str] | None = None
) -> Iterator[Process]:
    """Run a command, made for a free port, until it listens there."""
    port = _free_port()
    with running(command(str(port)), environment=environment) as popen:
        process = Process(popen, port)
        wait_until_listening(process)
        yield process


def wait_until_listening(process: Process) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _listens(process.port):
        assert time.monotonic() < deadline, "the server did not start"
        time.sleep(0.01)


def _environment(upstream: Process, settings: Mapping[str, object]) -> dict[str, str]:
    """Keep the rate limit, but above what any caller can reach."""
    values = {
        "upstream_url": upstream.url,
        "drain_seconds": 0,
        "caller_calls_per_second": 1_000_000,
        **settings,
    }
    return {f"GATEWAY_{name.upper()}": str(value) for name, value in values.items()}


def python(*arguments: str) -> Sequence[str]:
    return (sys.executable, *arguments)


@contextmanager
def running(
    command: Sequence[str], *, pipes: bool = False, environment: Mapping[str, str] | None = None
) -> Iterator["subprocess.Popen[str]"]:
    popen = subprocess.Popen(  # noqa: S603  our own programs
        command,
        cwd=ROOT,
        env={**clean_environment(), **(environment or {})},
        stdin=subprocess.PIPE if pipes else subprocess.DEVNULL,
        stdout=subprocess.PIPE if pipes else subprocess.DEVNULL,
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
