"""An upstream whose responses never end: the deadline holds."""

import asyncio
import time
from statistics import median

from benchmarks.client import Connection
from benchmarks.load import connect
from benchmarks.processes import faulty_upstream, gateway
from benchmarks.queries import uncached_requests
from benchmarks.table import Row, at_most, reference

CALLERS = 200
"""More than connections to the upstream, so that some wait for one."""
DEADLINE_SECONDS = 2.0
SPARE_SECONDS = 0.25


async def measure() -> list[Row]:
    """Measure an upstream that hangs, and one that drips."""
    return [
        *await _measure("hang", "never answers"),
        *await _measure("drip", "drips"),
    ]


async def _measure(fault: str, what: str) -> list[Row]:
    with (
        faulty_upstream(fault) as upstream,
        gateway(upstream, deadline_seconds=DEADLINE_SECONDS) as ours,
    ):
        connections = await connect(ours, CALLERS)
        took = await asyncio.gather(*map(_timed_out, connections, uncached_requests(CALLERS)))
        for connection in connections:
            connection.close()
    name = f"Upstream that {what}, {CALLERS} callers, {DEADLINE_SECONDS:g} s to answer"
    return [
        at_most(f"{name}: slowest", max(took), DEADLINE_SECONDS + SPARE_SECONDS, "s"),
        reference("  median", median(took), "s"),
    ]


async def _timed_out(connection: Connection, request: bytes) -> float:
    """Return the seconds until the response."""
    started = time.perf_counter()
    answer = await connection.exchange(request)
    assert b'"UPSTREAM_TIMEOUT"' in answer.body, answer.body
    return time.perf_counter() - started
