"""`gateway serve` as one process and as several: its start, its workers, its shutdown."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from uvicorn.config import STARTUP_FAILURE

from gateway.sandbox import CALLERS
from gateway.server.lifecycle import ServerConfig, Worker
from gateway.telemetry.metrics import SHARED_MEMORY
from tests.gateways import Gateway, Sandbox
from tests.processes import Process, clean_environment, gateway_process, until
from tests.processes import process as running
from tests.programs import needs

TIMEOUT_SECONDS = 60
FOREVER = 3600
WORKERS = 2
CONCURRENT_REQUESTS = 8
JOBS = "{ audienceGenerationJobs(first: 2) { nodes { name status } } }"


def readyz(gateway: Gateway) -> tuple[int, str]:
    try:
        answer = gateway.send("GET", "/readyz")
    except httpx.TransportError:
        return 0, ""  # no process listens yet, or any more
    return answer.status, answer.content


def count_lines(process: Process, text: str) -> int:
    """Count the lines of the log that have a text."""
    return sum(text in line for line in list(process.output))


def terminate_until_ended(process: Process) -> None:
    """Signal until it ends: a second signal close to the first is taken for its echo."""

    def ends() -> bool:
        process.send_signal(signal.SIGTERM)
        return process.has_ended()

    until(ends)


@pytest.mark.parametrize("workers", [1, WORKERS])
def test_the_first_signal_drains_and_the_second_ends(sandbox: Sandbox, workers: int) -> None:
    """Several workers get the first one twice: sent to the group, and from their parent."""
    with gateway_process(
        sandbox.url, workers=workers, drain_seconds=FOREVER, cache_seconds=0
    ) as process:
        gateway = Gateway(process.url, sandbox)
        # A worker that receives the signal while it starts ends at once.
        until(lambda: count_lines(process, "running on") == workers)
        sandbox.fault("hang", access_key_id=CALLERS["ada"].access_key_id)
        hanging = threading.Thread(target=lambda: _ask_until_disconnected(gateway))
        hanging.start()
        until(lambda: sandbox.count() == 1)
        if workers == 1:
            process.send_signal(signal.SIGTERM)
        else:
            process.signal_group(signal.SIGTERM)
        # Any of them may accept the next connection.
        until(lambda: count_lines(process, '"event":"draining"') == workers)
        ready = readyz(gateway)
        alive = gateway.send("GET", "/livez")
        answer = gateway.ask(JOBS, caller="grace")
        terminate_until_ended(process)
        code = process.wait()
        hanging.join()
        sandbox.reset()

    assert ready == (503, "draining\n")
    assert (alive.status, alive.headers["connection"]) == (200, "close")
    assert len(answer.data["audienceGenerationJobs"]["nodes"]) == 2
    assert code == 0


def _ask_until_disconnected(gateway: Gateway) -> None:
    with contextlib.suppress(httpx.TransportError):
        gateway.ask(JOBS)


def end_during_a_request(
    process: Process, gateway: Gateway, *, workers: int = 1
) -> tuple[int, int]:
    """Return the exit code and the status of a request that began before SIGTERM."""
    gateway.sandbox.reset()
    gateway.sandbox.fault("hang")
    with ThreadPoolExecutor(1) as thread:
        asking = thread.submit(gateway.ask, JOBS, headers={"Cache-Control": "no-cache"})
        until(lambda: gateway.sandbox.count() == 1)
        process.send_signal(signal.SIGTERM)
        until(lambda: count_lines(process, "Shutting down") == workers)
        gateway.sandbox.reset()
        return process.wait(), asking.result().status


def test_a_request_in_flight_is_answered_before_the_end(sandbox: Sandbox) -> None:
    with gateway_process(sandbox.url, cache_seconds=0) as process:
        gateway = Gateway(process.url, sandbox)
        statuses = [gateway.send("GET", path).status for path in ("/livez", "/readyz")]
        ended = end_during_a_request(process, gateway)

    assert statuses == [200, 200]
    assert ended == (0, 200)
    assert process.errors == []
    assert [line for line in process.output if '"level":"error"' in line] == []


def worker_pids(process: Process) -> set[int]:
    return {child for child in process.children() if "spawn_main" in _command(child)}


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8")
    except OSError:
        return ""  # it has ended


def is_answered_by(gateway: Gateway, processes: int) -> bool:
    """Send equal requests at once; each process calls the upstream once, for its own cache."""
    with ThreadPoolExecutor(CONCURRENT_REQUESTS) as threads:
        answers = list(threads.map(lambda _: gateway.ask(JOBS), range(CONCURRENT_REQUESTS)))
    assert [answer.errors for answer in answers] == [[]] * CONCURRENT_REQUESTS
    return gateway.sandbox.count() == processes


def test_workers_share_the_load_are_replaced_and_answer_before_the_end(sandbox: Sandbox) -> None:
    """Each has a cache of its own: there are as many upstream calls as processes."""
    with gateway_process(sandbox.url, workers=WORKERS, cache_seconds=600) as process:
        gateway = Gateway(process.url, sandbox)
        until(lambda: readyz(gateway)[0] == 200)
        until(lambda: is_answered_by(gateway, WORKERS))
        before = worker_pids(process)
        killed = min(before)
        os.kill(killed, signal.SIGKILL)
        until(lambda: len(worker_pids(process) - {killed}) == WORKERS)
        until(lambda: is_answered_by(gateway, WORKERS + 1))
        after = worker_pids(process)
        ended = end_during_a_request(process, gateway, workers=WORKERS)

    assert len(before) == WORKERS
    assert len(after & before) == WORKERS - 1
    assert ended == (0, 200)


def test_a_worker_has_the_time_that_its_start_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine it takes longer than a response may take later."""
    worker = Worker(ServerConfig("gateway.app:from_environment"), [])
    monkeypatch.setattr(worker.process, "is_alive", lambda: True)
    starting = [worker.is_alive(timeout=0) for _ in range(3)]
    worker.child_conn.send("responding")
    started = worker.is_alive(timeout=0)
    hanging = worker.is_alive(timeout=0)

    assert starting == [True, True, True]
    assert started
    assert not hanging


TINY = 16 * 1024
"""Bytes of a file system that has no space for the files of two workers."""


def confined(*tiny: str) -> list[str]:
    """Return the command that serves with several workers, where these folders are tiny."""
    mounts = [word for folder in tiny for word in ("--size", str(TINY), "--tmpfs", folder)]
    serve = (sys.executable, "-m", "gateway", "serve", "--port", "0", "--workers", str(WORKERS))
    return [needs("bwrap"), "--dev-bind", "/", "/", *mounts, "--die-with-parent", "--", *serve]


def test_workers_do_without_a_full_shared_memory(sandbox: Sandbox, tmp_path: Path) -> None:
    """They use the folder for temporary files. The kernel would kill them one after the other."""
    environment = {
        **clean_environment(),
        "GATEWAY_UPSTREAM_URL": sandbox.url,
        "TMPDIR": str(tmp_path),
    }
    with running(confined(SHARED_MEMORY), environment) as process:
        gateway = Gateway(process.url, sandbox)
        until(lambda: readyz(gateway)[0] == 200)
        answers = [gateway.ask(JOBS) for _ in range(10)]
        metrics = gateway.send("GET", "/metrics")
        output = "".join(process.output)

    assert [answer.errors for answer in answers] == [[]] * 10
    assert metrics.status == 200
    assert "died" not in output


def test_workers_without_space_do_not_start(tmp_path: Path) -> None:
    """The start fails with one message that says what is needed."""
    environment = {**clean_environment(), "TMPDIR": str(tmp_path)}
    ended = subprocess.run(  # noqa: S603  the gateway itself
        confined(SHARED_MEMORY, str(tmp_path)),
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    lines = [line for line in ended.stdout.splitlines() if '"level":"error"' in line]

    assert ended.returncode == STARTUP_FAILURE
    assert len(lines) == 1
    assert "4 MiB free" in lines[0]
