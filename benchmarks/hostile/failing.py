"""An upstream that fails each call, and many callers who go on asking."""

import time

from benchmarks import load
from benchmarks.client import Connection
from benchmarks.crowd import Crowd, connected, impatient, press
from benchmarks.measures.cold import cold
from benchmarks.processes import Process, gateway, ill
from benchmarks.table import Row, at_most, beside, middle, percentile

CALLERS = 500
FIRST_SECONDS = 10.0
WINDOW_SECONDS = 2.0
ATTEMPTS = 1.2
"""For each request, once the first seconds are over."""
QUIET_SECONDS = 3.0
TARGET_MS = 20.0
P99 = 0.99
CIRCUIT_OPEN = b"circuit breaker open"


async def measure() -> list[Row]:
    """Ask one that answers 500, and one that resets."""
    return [
        *await _asked("fail", "answers 500"),
        *await _asked("reset", "resets"),
    ]


async def _asked(manner: str, what: str) -> list[Row]:
    with ill(manner) as upstream, gateway(upstream) as ours:
        connections = await connected(ours, CALLERS)
        first, first_calls = await _window(upstream, connections, FIRST_SECONDS)
        window, calls = await _window(upstream, connections, WINDOW_SECONDS)
        for connection in connections:
            connection.close()
        refusals = await _refusals(ours)
    ratio = calls / window.asked
    return [
        Row(
            f"Upstream that {what}, {CALLERS} callers, seconds 10 to 12: attempts",
            f"{calls} for {window.asked} requests = {ratio:.3f}",
            f"<= {ATTEMPTS:g} x requests",
            ratio <= ATTEMPTS,
        ),
        Row("  the 10 seconds before", f"{first_calls} for {first.asked} requests"),
        at_most(
            "  refusal by the open breaker, one at a time: p99",
            percentile(refusals, P99),
            TARGET_MS,
            "ms",
        ),
        beside("  its median", middle(refusals), "ms"),
        beside("  refusal to 500 at a time: p99", 1000 * percentile(window.refused, P99), "ms", 0),
    ]


async def _window(
    upstream: Process, connections: list[Connection], seconds: float
) -> tuple[Crowd, int]:
    """Ask for so long; returns what came of it, and the attempts on the wire."""
    before = await load.calls(upstream)
    crowd = await press(connections, cold(len(connections)), seconds=seconds, pause=impatient)
    assert not crowd.served
    return crowd, await load.calls(upstream) - before


async def _refusals(ours: Process) -> list[float]:
    """Return the milliseconds that each refusal took, asked for one after the other."""
    connection = await Connection.to(ours.port)
    took: list[float] = []
    until = time.perf_counter() + QUIET_SECONDS
    while (started := time.perf_counter()) < until:
        answer = await connection.exchange(cold(1)[0])
        if CIRCUIT_OPEN in answer.body:
            took.append(1000 * (time.perf_counter() - started))
    connection.close()
    return took
