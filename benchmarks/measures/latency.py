"""What the gateway adds to the time that an upstream takes."""

import gc
import time

from benchmarks import load
from benchmarks.client import Connection, get
from benchmarks.measures.cold import cold
from benchmarks.processes import canned, gateway
from benchmarks.table import Row, at_most, beside, middle, percentile

UPSTREAM_MS = 50.0
CONCURRENCIES = (1, 10)
SECONDS = 6.0
ROUNDS = 5
APART = 0.005
"""Seconds: callers who began in step would measure each other at the start."""
P99 = 0.99
TARGET_MS = 8.0


async def measure() -> list[Row]:
    """Ask the gateway and the upstream itself in turn."""
    gc.freeze()  # a collection of all that this process has imported would look like latency
    try:
        return await _measure()
    finally:
        gc.unfreeze()


async def _measure() -> list[Row]:
    rows: list[Row] = []
    with canned(delay_ms=UPSTREAM_MS) as upstream, gateway(upstream) as ours:
        await load.ask(ours, cold(10), seconds=SECONDS)
        for concurrency in CONCURRENCIES:
            medians: list[float] = []
            tails: list[float] = []
            straight: list[float] = []
            for _ in range(ROUNDS):
                run = await load.ask(ours, cold(concurrency), seconds=SECONDS, apart=APART)
                added = [1000 * latency - UPSTREAM_MS for latency in run.latencies]
                medians.append(middle(added))
                tails.append(percentile(added, P99))
                straight.append(await _straight(upstream.port))
            each = f"over a {UPSTREAM_MS:g} ms upstream, {concurrency} at a time"
            rows += [
                at_most(f"Added {each}: median", middle(medians), TARGET_MS, "ms"),
                at_most(f"Added {each}: p99", middle(tails), TARGET_MS, "ms"),
            ]
    rows.append(beside("  the upstream itself, beyond its 50 ms", middle(straight), "ms"))
    return rows


async def _straight(port: int) -> float:
    """Return the median of what the upstream takes beyond its delay, asked by our client."""
    connection = await Connection.to(port)
    added: list[float] = []
    for _ in range(20):
        started = time.perf_counter()
        await connection.ask(get("/audience-generation-job?maxResults=100"))
        added.append(1000 * (time.perf_counter() - started) - UPSTREAM_MS)
    connection.close()
    return middle(added)
