"""`gateway serve --workers N`: several processes behind one port, watched by their parent."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from tests.gateways import Gateway, Sandbox
from tests.hostile.process import Program, gateway_process
from tests.hostile.target import JOBS
from tests.redis_servers import until

WORKERS = 2
AT_ONCE = 8


def workers_of(program: Program) -> set[int]:
    """Return the ids of the processes that serve."""
    tasks = Path(f"/proc/{program.pid}/task").glob("*/children")
    children = {int(child) for task in tasks for child in task.read_text().split()}
    return {child for child in children if "spawn_main" in _command(child)}


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8")
    except OSError:
        return ""  # it has ended


def _listens(gateway: Gateway) -> bool:
    try:
        return gateway.send("GET", "/livez").status == httpx.codes.OK
    except httpx.TransportError:
        return False  # the parent has said where, and no worker is there as yet


def answered_by(gateway: Gateway, processes: int) -> bool:
    """Ask the same at once; each process fetches it for its own cache, once."""
    with ThreadPoolExecutor(AT_ONCE) as threads:
        answers = list(threads.map(lambda _: gateway.ask(JOBS), range(AT_ONCE)))
    assert [answer.errors for answer in answers] == [[]] * AT_ONCE
    return gateway.sandbox.count() == processes


def test_all_workers_answer_and_one_that_is_killed_is_replaced(sandbox: Sandbox) -> None:
    """As many upstream calls as there are processes, each with a cache of its own, and no more."""
    with gateway_process(sandbox.url, workers=WORKERS, cache_seconds=600) as program:
        gateway = Gateway(program.url, sandbox)
        until(lambda: _listens(gateway))
        until(lambda: answered_by(gateway, WORKERS))
        before = workers_of(program)
        killed = min(before)
        os.kill(killed, signal.SIGKILL)
        until(lambda: len(workers_of(program) - {killed}) == WORKERS)
        until(lambda: answered_by(gateway, WORKERS + 1))
        after = workers_of(program)

    assert len(before) == WORKERS
    assert len(after & before) == WORKERS - 1
