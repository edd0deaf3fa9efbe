"""An upstream that fails each call, under load without backoff."""

import time
from statistics import median

from benchmarks import load
from benchmarks.client import Connection
from benchmarks.load import Overload, connect, no_backoff, overload
from benchmarks.processes import Process, faulty_upstream, gateway
from benchmarks.queries import uncached_requests
from benchmarks.table import Row, at_most, percentile, reference
from gateway.upstream.resilience.client import CIRCUIT_OPEN

CALLERS = 500
FIRST_SECONDS = 10.0
WINDOW_SECONDS = 2.0
ATTEMPTS = 1.2
"""For each request, after the first seconds."""
SEQUENTIAL_SECONDS = 3.0
TARGET_MS = 20.0
P99 = 0.99


async def measure() -> list[Row]:
    """Measure an upstream that answers 500, and one that resets connections."""
    return [
        *await _measure("fail", "answers 500"),
        *await _measure("reset", "resets"),
    ]


async def _measure(fault: str, what: str) -> list[Row]:
    with faulty_upstream(fault) as upstream, gateway(upstream) as ours:
        connections = await connect(ours, CALLERS)
        first, first_calls = await _window(upstream, connections, FIRST_SECONDS)
        window, calls = await _window(upstream, connections, WINDOW_SECONDS)
        for connection in connections:
            connection.close()
        rejections = await _rejections(ours)
    ratio = calls / window.total
    return [
        Row(
            f"Upstream that {what}, {CALLERS} callers, seconds 10 to 12: attempts",
            f"{calls} for {window.total} requests = {ratio:.3f}",
            f"<= {ATTEMPTS:g} x requests",
            ratio <= ATTEMPTS,
        ),
        Row("  the 10 seconds before", f"{first_calls} for {first.total} requests"),
        at_most(
            "  refusal by the open breaker, one at a time: p99",
            percentile(rejections, P99),
            TARGET_MS,
            "ms",
        ),
        reference("  its median", median(rejections), "ms"),
        reference(
            "  refusal to 500 at a time: p99", 1000 * percentile(window.rejected, P99), "ms", 0
        ),
    ]


async def _window(
    upstream: Process, connections: list[Connection], seconds: float
) -> tuple[Overload, int]:
    """Return the result of the load, and the upstream calls."""
    before = await load.upstream_calls(upstream)
    result = await overload(
        connections, uncached_requests(len(connections)), seconds=seconds, backoff=no_backoff
    )
    assert not result.served
    return result, await load.upstream_calls(upstream) - before


async def _rejections(ours: Process) -> list[float]:
    """Return the milliseconds of each rejection, one after the other."""
    connection = await Connection.to(ours.port)
    took: list[float] = []
    until = time.perf_counter() + SEQUENTIAL_SECONDS
    while (started := time.perf_counter()) < until:
        answer = await connection.exchange(uncached_requests(1)[0])
        if CIRCUIT_OPEN.encode() in answer.body:
            took.append(1000 * (time.perf_counter() - started))
    connection.close()
    return took
