"""The memory that callers take."""

import asyncio
from collections.abc import Iterator

from benchmarks.client import Connection
from benchmarks.processes import Process, gateway, upstream_process
from benchmarks.queries import EVERY_FIELD, graphql_request
from benchmarks.table import Row, at_most, reference

CALLERS = 5000
WARM_UP = 500
CONNECTIONS = 10
MAX_KB = 10.0
MAX_MB = 94.0
KB = 1024
MB = 1024 * KB


async def measure() -> list[Row]:
    """Send one request of each of many callers, without a cache for their pages and with it."""
    with upstream_process() as upstream:
        with gateway(upstream, cache_seconds=0) as ours:
            await _send_once(ours, range(CALLERS, CALLERS + WARM_UP))
            before = ours.resident_bytes()
            await _send_once(ours, range(CALLERS))
            uncached = ours.resident_bytes() - before
        with gateway(upstream) as ours:
            before = ours.resident_bytes()
            await _send_once(ours, range(CALLERS))
            resident = ours.resident_bytes()
    return [
        at_most(
            f"memory of each of {CALLERS} callers, cache off", uncached / CALLERS / KB, MAX_KB, "KB"
        ),
        at_most(
            "  all with their pages, over the start", (resident - before) / MB, MAX_MB, "MB", 0
        ),
        reference("  the whole process then", resident / MB, "MB", 0),
    ]


async def _send_once(ours: Process, callers: range) -> None:
    remaining: Iterator[int] = iter(callers)

    async def some() -> None:
        connection = await Connection.to(ours.port)
        for caller in remaining:
            await connection.ask(graphql_request(EVERY_FIELD, caller))
        connection.close()

    await asyncio.gather(*(some() for _ in range(CONNECTIONS)))
