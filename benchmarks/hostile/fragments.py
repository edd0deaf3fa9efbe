"""Doubling fragments: short to write, and two to the power of their number long to walk."""

import asyncio
import time

from benchmarks.client import Connection, get
from benchmarks.processes import Process, gateway, stock_limits, upstream_process
from benchmarks.queries import doubling_fragments, graphql_request
from benchmarks.table import Row, at_most, reference

DEPTHS = (10, 20, 40, 60)
ROUNDS = 20
STOCK_DEPTHS = (14, 16, 18)
TARGET_MS = 100.0
LATE_MS = 50.0
SELECTION = "audienceGenerationJobs(first: 1) { nodes { name } }"


async def measure() -> list[Row]:
    """Send such documents while /livez is requested without a pause."""
    with upstream_process() as upstream, gateway(upstream) as ours:
        rows = await _ours(ours)
    with stock_limits() as limits:
        return [*rows, *await asyncio.to_thread(_stock, limits)]


async def _ours(ours: Process) -> list[Row]:
    asker, prober = await Connection.to(ours.port), await Connection.to(ours.port)
    await _milliseconds(
        asker, graphql_request(doubling_fragments(1, "Query", SELECTION))
    )  # warms up
    latencies: list[float] = []
    probe = asyncio.create_task(_probe(prober, latencies))
    slowest = dict.fromkeys(DEPTHS, 0.0)
    for number in range(ROUNDS):
        for depth in DEPTHS:
            # Each has its own name, so that none is cached.
            document = doubling_fragments(depth, "Query", SELECTION, f"Number{number}")
            slowest[depth] = max(
                slowest[depth], await _milliseconds(asker, graphql_request(document))
            )
    probe.cancel()
    asker.close()
    prober.close()
    return [
        *(
            at_most(f"{depth} doubling fragments: slowest of {ROUNDS}", each, TARGET_MS, "ms")
            for depth, each in slowest.items()
        ),
        at_most("  /livez meanwhile: slowest", max(latencies), LATE_MS, "ms"),
    ]


async def _probe(connection: Connection, latencies: list[float]) -> None:
    while True:
        latencies.append(await _milliseconds(connection, get("/livez")))


async def _milliseconds(connection: Connection, request: bytes) -> float:
    """Return the milliseconds until the response."""
    started = time.perf_counter()
    answer = await connection.exchange(request)
    assert answer.status < 500, answer.body
    return 1000 * (time.perf_counter() - started)


def _stock(limits: Process) -> list[Row]:
    rows = []
    for limiter, name in (("depth", "QueryDepthLimiter"), ("aliases", "MaxAliasesLimiter")):
        for depth in STOCK_DEPTHS:
            limits.write_line(f"{limiter} {depth}")
            rows.append(
                reference(
                    f"  Strawberry's {name}, {depth} of them",
                    1000 * float(limits.read_line()),
                    "ms",
                )
            )
    return rows
