"""The memory that a caller takes."""

import asyncio
from collections.abc import Iterator

from benchmarks.client import Connection
from benchmarks.processes import Process, gateway, upstream_process
from benchmarks.queries import EVERY_FIELD, graphql_request
from benchmarks.table import Row, at_most, reference

CALLERS = 5000
WARM_UP = 500
CONNECTIONS = 10
TARGET_KB = 20.0
KB = 1024


async def measure() -> list[Row]:
    """Send one request of each of many callers, without a cache for their pages and with it."""
    with upstream_process() as upstream:
        with gateway(upstream, cache_bytes=0) as ours:
            empty = await _growth(ours)
        with gateway(upstream) as ours:
            full = await _growth(ours)
            resident = ours.resident_bytes()
    return [
        at_most(f"Memory of each of {CALLERS} callers", empty / CALLERS / KB, TARGET_KB, "KB"),
        reference("  the same with their pages in the cache", full / CALLERS / KB, "KB"),
        reference("  the whole process then", resident / KB / KB, "MB", 0),
    ]


async def _growth(ours: Process) -> int:
    connections = [await Connection.to(ours.port) for _ in range(CONNECTIONS)]
    await _send_once(connections, iter(range(WARM_UP)))
    before = ours.resident_bytes()
    await _send_once(connections, iter(range(WARM_UP, WARM_UP + CALLERS)))
    grown = ours.resident_bytes() - before
    for connection in connections:
        connection.close()
    return grown


async def _send_once(connections: list[Connection], callers: Iterator[int]) -> None:
    async def some(connection: Connection) -> None:
        for caller in callers:
            await connection.ask(graphql_request(EVERY_FIELD, caller))

    await asyncio.gather(*map(some, connections))
