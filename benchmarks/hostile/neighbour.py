"""One caller who floods, and others who ask now and then."""

import asyncio
import time

from benchmarks import load
from benchmarks.client import Connection
from benchmarks.crowd import Crowd, connected, impatient, press
from benchmarks.measures.cold import cold
from benchmarks.processes import Process, canned, gateway
from benchmarks.questions import EVERY_FIELD, question
from benchmarks.table import Row, at_most, beside, middle, percentile

UPSTREAM_MS = 50.0
NEIGHBOURS = 4
"""Each asks so often; one alone would be too few questions for a p99."""
EVERY_SECONDS = 0.2
FLOOD = 100
FLOODER = 100
"""Their number: nobody else's."""
SHARE = 50
"""Calls a second: the default."""
WINDOW_SECONDS = 12.0
"""Over which the gateway counts: what may come at once is gone after that."""
IDLE_SECONDS = 12.0
TIMES = 2.0
P99 = 0.99


async def measure() -> list[Row]:
    """Let the neighbours ask alone, then beside the flood."""
    with (
        canned(delay_ms=UPSTREAM_MS) as upstream,
        gateway(upstream, caller_calls_per_second=SHARE) as ours,
    ):
        await load.ask(ours, cold(NEIGHBOURS), seconds=1.0)
        idle = await _neighbours(ours, IDLE_SECONDS)
        flooding = await connected(ours, FLOOD)
        first, _ = await _beside_flood(ours, flooding)
        before, since = await load.calls(upstream), time.perf_counter()
        then, flood = await _beside_flood(ours, flooding)
        # So many calls have one gap less between them.
        gaps = await load.calls(upstream) - before - len(then) - 1
        rate = gaps / (time.perf_counter() - since)
        for connection in flooding:
            connection.close()
    return [
        _compared(f"1 caller floods on {FLOOD} connections: another's p99", [*first, *then], idle),
        beside("  another's median", middle([*first, *then]), "ms"),
        at_most("  upstream calls of who floods, after 12 s", rate, SHARE, "/s"),
        beside("  requests of who floods", flood.asked / WINDOW_SECONDS, "/s", 0),
    ]


def _compared(what: str, beset: list[float], idle: list[float]) -> Row:
    with_flood, without = percentile(beset, P99), percentile(idle, P99)
    return Row(
        what,
        f"{with_flood:.1f} : {without:.1f} ms = {with_flood / without:.2f} x idle",
        f"<= {TIMES:g} x idle",
        with_flood <= TIMES * without,
    )


async def _beside_flood(ours: Process, flooding: list[Connection]) -> tuple[list[float], Crowd]:
    requests = [question(EVERY_FIELD, FLOODER, fresh=True)] * len(flooding)
    flood = press(flooding, requests, seconds=WINDOW_SECONDS, pause=impatient)
    crowd, latencies = await asyncio.gather(flood, _neighbours(ours, WINDOW_SECONDS))
    return latencies, crowd


async def _neighbours(ours: Process, seconds: float) -> list[float]:
    """Return the milliseconds that each of the neighbours' questions took."""
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

    await asyncio.gather(*(neighbour(*each) for each in enumerate(cold(NEIGHBOURS))))
    return took
