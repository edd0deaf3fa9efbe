"""Doubling fragments: short to write, and two to the power of their number long to walk."""

import asyncio
import time

from benchmarks.client import Connection, get
from benchmarks.documents import doubling
from benchmarks.processes import Process, canned, gateway, stock_limits
from benchmarks.questions import question
from benchmarks.table import Row, at_most, beside

DEPTHS = (10, 20, 40, 60)
ROUNDS = 20
STOCK_DEPTHS = (14, 16, 18)
TARGET_MS = 100.0
LATE_MS = 50.0
SELECTION = "audienceGenerationJobs(first: 1) { nodes { name } }"


async def measure() -> list[Row]:
    """Send such documents while somebody asks without end whether the gateway lives."""
    with canned() as upstream, gateway(upstream) as ours:
        rows = await _ours(ours)
    with stock_limits() as limits:
        return [*rows, *await asyncio.to_thread(_stock, limits)]


async def _ours(ours: Process) -> list[Row]:
    asker, prober = await Connection.to(ours.port), await Connection.to(ours.port)
    await _asked(asker, question(doubling(1, "Query", SELECTION)))  # warms up
    late: list[float] = []
    probe = asyncio.create_task(_probe(prober, late))
    slowest = dict.fromkeys(DEPTHS, 0.0)
    for number in range(ROUNDS):
        for depth in DEPTHS:
            # Each has a name of its own, so that none is known already.
            document = doubling(depth, "Query", SELECTION, f"Number{number}")
            slowest[depth] = max(slowest[depth], await _asked(asker, question(document)))
    probe.cancel()
    asker.close()
    prober.close()
    return [
        *(
            at_most(f"{depth} doubling fragments: slowest of {ROUNDS}", each, TARGET_MS, "ms")
            for depth, each in slowest.items()
        ),
        at_most("  /livez meanwhile: slowest", max(late), LATE_MS, "ms"),
    ]


async def _probe(connection: Connection, late: list[float]) -> None:
    while True:
        late.append(await _asked(connection, get("/livez")))


async def _asked(connection: Connection, request: bytes) -> float:
    """Return the milliseconds until it was answered, with whatever."""
    started = time.perf_counter()
    answer = await connection.exchange(request)
    assert answer.status < 500, answer.body
    return 1000 * (time.perf_counter() - started)


def _stock(limits: Process) -> list[Row]:
    rows = []
    for limiter, name in (("depth", "QueryDepthLimiter"), ("aliases", "MaxAliasesLimiter")):
        for depth in STOCK_DEPTHS:
            limits.tell(f"{limiter} {depth}")
            rows.append(
                beside(f"  Strawberry's {name}, {depth} of them", 1000 * float(limits.hear()), "ms")
            )
    return rows
