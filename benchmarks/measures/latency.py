"""The latency that the gateway adds to that of an upstream."""

import gc
import time
from statistics import median

from benchmarks import load
from benchmarks.client import Connection, get
from benchmarks.processes import gateway, upstream_process
from benchmarks.queries import uncached_requests
from benchmarks.table import Row, at_most, percentile, reference

UPSTREAM_MS = 50.0
CONCURRENCIES = (1, 10)
SECONDS = 6.0
ROUNDS = 5
APART = 0.005
"""Seconds between the first requests: callers in step would measure each other."""
P99 = 0.99
TARGET_MS = 8.0


async def measure() -> list[Row]:
    """Measure the gateway and the upstream itself in turn."""
    gc.freeze()  # a collection of all that this process has imported would look like latency
    try:
        return await _measure()
    finally:
        gc.unfreeze()


async def _measure() -> list[Row]:
    rows: list[Row] = []
    with upstream_process(delay_ms=UPSTREAM_MS) as upstream, gateway(upstream) as ours:
        await load.closed_loop(ours, uncached_requests(10), seconds=SECONDS)
        for concurrency in CONCURRENCIES:
            medians: list[float] = []
            tails: list[float] = []
            direct: list[float] = []
            for _ in range(ROUNDS):
                run = await load.closed_loop(
                    ours, uncached_requests(concurrency), seconds=SECONDS, apart=APART
                )
                added = [1000 * latency - UPSTREAM_MS for latency in run.latencies]
                medians.append(median(added))
                tails.append(percentile(added, P99))
                direct.append(await _direct(upstream.port))
            each = f"over a {UPSTREAM_MS:g} ms upstream, {concurrency} at a time"
            rows += [
                at_most(f"Added {each}: median", median(medians), TARGET_MS, "ms"),
                at_most(f"Added {each}: p99", median(tails), TARGET_MS, "ms"),
            ]
    rows.append(reference("  the upstream itself, beyond its 50 ms", median(direct), "ms"))
    return rows


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
