"""One caller that floods the gateway, and others at a low rate."""

import asyncio
import time
from statistics import median

from benchmarks import load
from benchmarks.client import Connection
from benchmarks.load import Overload, connect, no_backoff, overload
from benchmarks.processes import Process, gateway, upstream_process
from benchmarks.queries import EVERY_FIELD, graphql_request, uncached_requests
from benchmarks.table import Row, at_most, percentile, reference

UPSTREAM_MS = 50.0
NEIGHBOURS = 4
"""Several, for one alone would send too few requests for a p99."""
EVERY_SECONDS = 0.2
FLOOD = 100
FLOODER = 100
"""A caller number that no other has."""
SHARE = 50
"""Calls a second: the default."""
WINDOW_SECONDS = 12.0
"""Of the rate limit: the burst is spent after it."""
IDLE_SECONDS = 12.0
TIMES = 2.0
P99 = 0.99


async def measure() -> list[Row]:
    """Measure the others alone, then during the flood."""
    with (
        upstream_process(delay_ms=UPSTREAM_MS) as upstream,
        gateway(upstream, caller_calls_per_second=SHARE) as ours,
    ):
        await load.closed_loop(ours, uncached_requests(NEIGHBOURS), seconds=1.0)
        idle = await _neighbours(ours, IDLE_SECONDS)
        flooding = await connect(ours, FLOOD)
        first, _ = await _during_flood(ours, flooding)
        before, since = await load.upstream_calls(upstream), time.perf_counter()
        then, flood = await _during_flood(ours, flooding)
        # n calls have n - 1 gaps between them.
        gaps = await load.upstream_calls(upstream) - before - len(then) - 1
        rate = gaps / (time.perf_counter() - since)
        for connection in flooding:
            connection.close()
    return [
        _ratio(f"1 caller floods on {FLOOD} connections: another's p99", [*first, *then], idle),
        reference("  another's median", median([*first, *then]), "ms"),
        at_most("  upstream calls of who floods, after 12 s", rate, SHARE, "/s"),
        reference("  requests of who floods", flood.total / WINDOW_SECONDS, "/s", 0),
    ]


def _ratio(what: str, flooded: list[float], idle: list[float]) -> Row:
    with_flood, without = percentile(flooded, P99), percentile(idle, P99)
    return Row(
        what,
        f"{with_flood:.1f} : {without:.1f} ms = {with_flood / without:.2f} x idle",
        f"<= {TIMES:g} x idle",
        with_flood <= TIMES * without,
    )


async def _during_flood(ours: Process, flooding: list[Connection]) -> tuple[list[float], Overload]:
    requests = [graphql_request(EVERY_FIELD, FLOODER, no_cache=True)] * len(flooding)
    flood = overload(flooding, requests, seconds=WINDOW_SECONDS, backoff=no_backoff)
    result, latencies = await asyncio.gather(flood, _neighbours(ours, WINDOW_SECONDS))
    return latencies, result


async def _neighbours(ours: Process, seconds: float) -> list[float]:
    """Return the milliseconds of each of the neighbours' requests."""
    until = time.perf_counter() + seconds
    took: list[float] = []

    async def neighbour(number: int, request: bytes) -> None:
        connection = await Connection.to(ours.port)
        at = time.perf_counter() + EVERY_SECONDS * number / NEIGHBOURS
        while at < until:
            await asyncio.sleep(at - time.perf_counter())
            started = time.perf_counter()
            await connection.ask(request)
            took.append(1000 * (time.perf_counter() - started))
            at = max(at + EVERY_SECONDS, time.perf_counter())
        connection.close()

    await asyncio.gather(*(neighbour(*each) for each in enumerate(uncached_requests(NEIGHBOURS))))
    return took
