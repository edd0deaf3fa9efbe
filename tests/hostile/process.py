"""The programs themselves, each a process of its own: started, watched, and ended for certain."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

START_SECONDS = 30.0
STOP_SECONDS = 3.0
WATCHDOG_SECONDS = 120.0

_ADDRESS = re.compile(r"(?:running on|Clean Rooms ML at) (http://[\w.:]+)")
_RESIDENT = re.compile(r"VmRSS:\s+(\d+) kB")
_FOREIGN = re.compile(r"(GATEWAY|AWS|OTEL)_.*|.*_PROXY", re.IGNORECASE)


class Program:
    """A running program: what it has said so far, and what it holds."""

    def __init__(self, popen: "subprocess.Popen[str]") -> None:
        self.url = ""
        self.said: list[str] = []
        self._popen = popen
        self._settled = threading.Event()
        self._reader = threading.Thread(target=self._read, args=(popen.stdout,), daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._popen.pid

    def resident(self) -> int:
        """Return the bytes of memory that it holds."""
        found = _RESIDENT.search(self._proc("status").read_text(encoding="ascii"))
        assert found is not None
        return int(found[1]) * 1024

    def files(self) -> int:
        """Count its open files and sockets."""
        return len(list(self._proc("fd").iterdir()))

    def threads(self) -> int:
        """Count its threads."""
        return len(list(self._proc("task").iterdir()))

    def children(self) -> list[int]:
        """List the process ids of its workers."""
        listed = self._proc(f"task/{self.pid}/children").read_text(encoding="ascii").split()
        return [int(pid) for pid in listed]

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._popen.send_signal(number)

    def has_ended(self) -> bool:
        """Say whether it has."""
        return self._popen.poll() is not None

    def wait(self, seconds: float) -> int:
        """Wait for its end, and return its exit code; all it has said has been read then."""
        code = self._popen.wait(seconds)
        self._reader.join()
        return code

    def started(self) -> None:
        """Wait until it has said where it answers."""
        assert self._settled.wait(START_SECONDS), self.said
        assert self.url, self.said

    def end(self) -> None:
        """End it, by force if need be, and read the rest of what it says."""
        self._popen.terminate()
        try:
            self._popen.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._popen.kill()
        self._popen.wait()
        self._reader.join()

    def _proc(self, name: str) -> Path:
        return Path(f"/proc/{self.pid}/{name}")

    def _read(self, lines: IO[str]) -> None:
        for line in lines:
            self.said.append(line)
            if not self.url and (found := _ADDRESS.search(line)):
                self.url = found[1]
                self._settled.set()
        self._settled.set()


@contextmanager
def running(
    *arguments: str,
    module: str = "gateway",
    environment: Mapping[str, str] | None = None,
    watchdog_seconds: float = WATCHDOG_SECONDS,
) -> Iterator[Program]:
    """Run `gateway` with these arguments; it ends with the block, or is killed if that hangs.

    `module` is what is run as `gateway`, where that is a double.
    """
    command = [sys.executable, "-m", module, *arguments]
    given = {**_plain_environment(), **(environment or {})}
    with running_command(command, given, watchdog_seconds=watchdog_seconds) as program:
        yield program


@contextmanager
def running_command(
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    watchdog_seconds: float = WATCHDOG_SECONDS,
) -> Iterator[Program]:
    """Run what is or becomes `gateway`, likewise."""
    with subprocess.Popen(  # noqa: S603 - our own words
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    ) as popen:
        watchdog = threading.Timer(watchdog_seconds, popen.kill)
        watchdog.start()
        program = Program(popen)
        try:
            program.started()
            yield program
        finally:
            watchdog.cancel()
            program.end()


@contextmanager
def gateway_process(
    upstream_url: str,
    *,
    port: int = 0,
    workers: int = 1,
    watchdog_seconds: float = WATCHDOG_SECONDS,
    **settings: object,
) -> Iterator[Program]:
    """Run `gateway serve` over an upstream; `settings` are GATEWAY_* without the prefix."""
    given = {"upstream_url": upstream_url, "drain_seconds": 0, **settings}
    environment = {f"GATEWAY_{name.upper()}": str(value) for name, value in given.items()}
    with running(
        *("serve", "--port", str(port), "--workers", str(workers)),
        environment=environment,
        watchdog_seconds=watchdog_seconds,
    ) as program:
        yield program


@contextmanager
def sandbox_process(*, watchdog_seconds: float = WATCHDOG_SECONDS) -> Iterator[Program]:
    """Run `gateway sandbox`."""
    with running("sandbox", "--port", "0", watchdog_seconds=watchdog_seconds) as program:
        yield program


def _plain_environment() -> dict[str, str]:
    """Leave out what would change a gateway or an AWS client."""
    return {name: value for name, value in os.environ.items() if not _FOREIGN.fullmatch(name)}
