"""The latency that the gateway and others add to that of an upstream."""

import gc
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from statistics import median

from benchmarks import load
from benchmarks.client import Connection, get
from benchmarks.contestants import HIVE, OURS, REST_SHAPED, TAILCALL, open_contestants
from benchmarks.processes import Process, upstream_process
from benchmarks.questions import Question
from benchmarks.table import Row, at_most, percentile, reference

UPSTREAM_MS = 50.0
CONTESTANTS = (OURS, HIVE, TAILCALL)
CLIENTS = 10
QUESTION = Question(rows=100, every_field=True, cached=False, callers=CLIENTS)
WARM_UP_SECONDS = 3.0
SECONDS = 2.0
ROUNDS = 5
APART = 0.005
"""Seconds between the first requests: callers in step would measure each other."""
P99 = 0.99
MAX_MEDIAN_MS = 2.5
MAX_P99_MS = 8.0

Added = dict[str, list[float]]
"""The milliseconds that each contestant added, a figure of each round."""


async def measure() -> list[Row]:
    """Measure the contestants and the upstream itself in turn."""
    gc.freeze()  # a collection of all that this process has imported would look like latency
    try:
        with upstream_process(delay_ms=UPSTREAM_MS) as upstream, ExitStack() as stack:
            servers = open_contestants(CONTESTANTS, QUESTION, upstream, stack)
            return await _measure(servers, upstream)
    finally:
        gc.unfreeze()


async def _measure(servers: Mapping[str, Process], upstream: Process) -> list[Row]:
    medians: Added = {name: [] for name in servers}
    tails: Added = {name: [] for name in servers}
    direct: list[float] = []
    for name, server in servers.items():
        await _added(name, server, CLIENTS, WARM_UP_SECONDS)
    for _ in range(ROUNDS):
        for name, server in servers.items():
            medians[name].append(median(await _added(name, server, 1, SECONDS)))
            tails[name].append(percentile(await _added(name, server, CLIENTS, SECONDS), P99))
        direct.append(await _direct(upstream.port))
    return [
        *_rows("latency: added to a 50 ms upstream, median", medians, MAX_MEDIAN_MS, summary=True),
        *_rows(f"latency: p99 of {CLIENTS} at a time", tails, MAX_P99_MS),
        reference("  the upstream itself, beyond its 50 ms", median(direct), "ms"),
    ]


async def _added(name: str, server: Process, clients: int, seconds: float) -> list[float]:
    requests = QUESTION.requests(rest_shaped=name in REST_SHAPED)
    requests = (requests * clients)[:clients]
    run = await load.closed_loop(server, requests, seconds=seconds, apart=APART)
    return [1000 * latency - UPSTREAM_MS for latency in run.latencies]


def _rows(what: str, added: Added, limit: float, *, summary: bool = False) -> list[Row]:
    figures = {name: median(each) for name, each in added.items()}
    cells = [f"{figures[name]:.1f} ms" if name in figures else "" for name in CONTESTANTS]
    ours = at_most(what, figures.pop(OURS), limit, "ms")
    if summary:
        ours = replace(ours, summary=("added to a 50 ms upstream, median", *cells, ""))
    return [ours, *(reference(f"  {name}", each, "ms") for name, each in figures.items())]


async def _direct(port: int) -> float:
    """Return the median of the upstream's own latency beyond its delay."""
    connection = await Connection.to(port)
    added: list[float] = []
    for _ in range(20):
        started = time.perf_counter()
        await connection.ask(get("/audience-generation-job?maxResults=100"))
        added.append(1000 * (time.perf_counter() - started) - UPSTREAM_MS)
    connection.close()
    return median(added)
