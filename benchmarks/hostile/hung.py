"""An upstream that takes the question and never ends its answer: the deadline holds."""

import asyncio
import time

from benchmarks.client import Connection
from benchmarks.crowd import connected
from benchmarks.measures.cold import cold
from benchmarks.processes import gateway, ill
from benchmarks.table import Row, at_most, beside, middle

CALLERS = 200
"""More than there are connections to the upstream, so that some wait for one."""
DEADLINE_SECONDS = 2.0
SPARE_SECONDS = 0.25


async def measure() -> list[Row]:
    """Ask one that says nothing, and one that drips."""
    return [
        *await _asked("hang", "never answers"),
        *await _asked("drip", "drips"),
    ]


async def _asked(manner: str, what: str) -> list[Row]:
    with ill(manner) as upstream, gateway(upstream, deadline_seconds=DEADLINE_SECONDS) as ours:
        connections = await connected(ours, CALLERS)
        took = await asyncio.gather(*map(_timed_out, connections, cold(CALLERS)))
        for connection in connections:
            connection.close()
    name = f"Upstream that {what}, {CALLERS} callers, {DEADLINE_SECONDS:g} s to answer"
    return [
        at_most(f"{name}: slowest", max(took), DEADLINE_SECONDS + SPARE_SECONDS, "s"),
        beside("  median", middle(took), "s"),
    ]


async def _timed_out(connection: Connection, request: bytes) -> float:
    """Return the seconds until the caller was told."""
    started = time.perf_counter()
    answer = await connection.exchange(request)
    assert b'"UPSTREAM_TIMEOUT"' in answer.body, answer.body
    return time.perf_counter() - started
