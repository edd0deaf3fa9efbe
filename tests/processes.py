"""Programs as processes of their own: started in a clean environment, observed, always ended."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

START_SECONDS = 60.0
END_SECONDS = 60.0
KILL_SECONDS = 3.0
LIFETIME_SECONDS = 1800.0
"""Longer than any file of tests takes on a slow machine, for which a program may run."""
UNTIL_SECONDS = 60.0
PATIENT = "tests.patient_gateway"
"""A double of `gateway`, for tests that count on what is in its Redis."""
POLL_SECONDS = 0.01
CACHE_SECONDS = 3600
"""Cached pages outlive every test: what a count of calls claims depends on no machine's speed."""

SERVING = re.compile(r"(?:running on|Clean Rooms ML at) (https?://[\w.:\[\]]*\w)")
# What would change a gateway or an AWS client, or have each start compile the package again.
_FOREIGN = re.compile(
    r"(GATEWAY|AWS|OTEL|SSL_CERT)_.*|.*_PROXY|PYTHONDONTWRITEBYTECODE", re.IGNORECASE
)


class ProcessStatistics:
    """What `/proc` says of a process."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def resident_bytes(self) -> int:
        return self._status_bytes("VmRSS")

    def peak_bytes(self) -> int:
        """Return the most resident memory that it has had."""
        return self._status_bytes("VmHWM")

    def _status_bytes(self, name: str) -> int:
        status = self._path("status").read_text(encoding="ascii")
        found = re.search(rf"{name}:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) * 1024

    def cpu_seconds(self) -> float:
        """Return the CPU time used so far, of all threads, in user and in system mode."""
        # The name of the program, in parentheses, may contain spaces.
        fields = self._path("stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def open_files(self) -> int:
        return len(list(self._path("fd").iterdir()))

    def threads(self) -> int:
        return len(list(self._path("task").iterdir()))

    def children(self) -> list[int]:
        tasks = self._path("task").glob("*/children")
        return [int(pid) for task in tasks for pid in task.read_text(encoding="ascii").split()]

    def _path(self, name: str) -> Path:
        return Path(f"/proc/{self.pid}/{name}")


class Process(ProcessStatistics):
    """A started program and its output so far."""

    def __init__(self, popen: "subprocess.Popen[str]", ready: re.Pattern[str]) -> None:
        super().__init__(popen.pid)
        self.url = ""
        """The first group of the line that says it is ready."""
        self.output: list[str] = []
        """The lines of both streams."""
        self.errors: list[str] = []
        """The lines of stderr alone."""
        self._popen = popen
        self._ready = ready
        self._is_ready = False
        self._settled = threading.Event()
        self._readers = [
            threading.Thread(target=self._read, args=(popen.stdout, []), daemon=True),
            threading.Thread(target=self._read, args=(popen.stderr, self.errors), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def wait_until_ready(self) -> None:
        """Raise AssertionError with the output if the program ends instead, or takes too long."""
        settled = self._settled.wait(START_SECONDS)
        if not self._is_ready and settled:
            self.wait()
        assert self._is_ready, self.output

    def write_line(self, line: str) -> None:
        """Write a line to its standard input."""
        assert self._popen.stdin is not None
        self._popen.stdin.write(f"{line}\n")
        self._popen.stdin.flush()

    def send_signal(self, number: signal.Signals) -> None:
        self._popen.send_signal(number)

    def signal_group(self, number: signal.Signals) -> None:
        """Signal the process and its children, as systemd and terminals do."""
        os.killpg(self.pid, number)

    def has_ended(self) -> bool:
        return self._popen.poll() is not None

    def terminate(self) -> int:
        """Send SIGTERM, and return the exit code, with all output read."""
        self.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self, seconds: float = END_SECONDS) -> int:
        """Wait until it ends by itself; return the exit code, with all output read."""
        code = self._popen.wait(seconds)
        self._join_readers()
        return code

    def end(self) -> None:
        """End it and its children, soon by force, and read the rest of the output."""
        self._popen.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(KILL_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            self.signal_group(signal.SIGKILL)
        self._popen.wait()
        self._join_readers()

    def _join_readers(self) -> None:
        for reader in self._readers:
            reader.join()

    def _read(self, stream: IO[str], copy: list[str]) -> None:
        for line in stream:
            self.output.append(line)
            copy.append(line)
            if not self._is_ready and (found := self._ready.search(line)):
                self.url = found[1] if found.groups() else ""
                self._is_ready = True
                self._settled.set()
        if stream is self._popen.stdout:
            self._settled.set()


@contextmanager
def process(
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    folder: Path | None = None,
    ready: re.Pattern[str] = SERVING,
    lifetime_seconds: float = LIFETIME_SECONDS,
) -> Iterator[Process]:
    """Run a command from the line that says it is ready to the end of the block.

    It is killed after `lifetime_seconds`, so that a test that waits for it fails.
    """
    with subprocess.Popen(  # noqa: S603 - the tests' own commands
        command,
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    ) as popen:
        watchdog = threading.Timer(lifetime_seconds, popen.kill)
        watchdog.start()
        started = Process(popen, ready)
        try:
            started.wait_until_ready()
            yield started
        finally:
            watchdog.cancel()
            started.end()


@contextmanager
def gateway_command(
    *arguments: str,
    module: str = "gateway",
    environment: Mapping[str, str] | None = None,
    ready: re.Pattern[str] = SERVING,
    lifetime_seconds: float = LIFETIME_SECONDS,
) -> Iterator[Process]:
    """Run `gateway` with these arguments; `module` is a double of it."""
    with process(
        [sys.executable, "-m", module, *arguments],
        {**clean_environment(), **(environment or {})},
        ready=ready,
        lifetime_seconds=lifetime_seconds,
    ) as started:
        yield started


@contextmanager
def gateway_process(
    upstream_url: str,
    *,
    port: int = 0,
    workers: int = 1,
    module: str = "gateway",
    variables: Mapping[str, str] | None = None,
    lifetime_seconds: float = LIFETIME_SECONDS,
    **settings: object,
) -> Iterator[Process]:
    """Run `gateway serve` over an upstream.

    `settings` are GATEWAY_* without the prefix, `variables` those that are not its own.
    """
    defaults = {"upstream_url": upstream_url, "drain_seconds": 0, "cache_seconds": CACHE_SECONDS}
    values = {**defaults, **settings}
    with gateway_command(
        *("serve", "--port", str(port), "--workers", str(workers)),
        module=module,
        environment={
            **{f"GATEWAY_{name.upper()}": str(value) for name, value in values.items()},
            **(variables or {}),
        },
        lifetime_seconds=lifetime_seconds,
    ) as started:
        yield started


@contextmanager
def sandbox_process(*, lifetime_seconds: float = LIFETIME_SECONDS) -> Iterator[Process]:
    with gateway_command("sandbox", "--port", "0", lifetime_seconds=lifetime_seconds) as started:
        yield started


def clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not _FOREIGN.fullmatch(name)}


def until(condition: Callable[[], object], seconds: float = UNTIL_SECONDS) -> None:
    """Wait for a condition outside of this process."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not hold in time"
        time.sleep(POLL_SECONDS)
