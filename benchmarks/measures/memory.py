"""What a caller costs in memory."""

import asyncio
from collections.abc import Iterator

from benchmarks.client import Connection
from benchmarks.processes import Process, canned, gateway
from benchmarks.questions import EVERY_FIELD, question
from benchmarks.table import Row, at_most, beside

CALLERS = 5000
WARM_UP = 500
CONNECTIONS = 10
TARGET_KB = 20.0
KB = 1024


async def measure() -> list[Row]:
    """Let many callers ask once each, without room for their pages and with it."""
    with canned() as upstream:
        with gateway(upstream, cache_bytes=0) as ours:
            empty = await _growth(ours)
        with gateway(upstream) as ours:
            full = await _growth(ours)
            resident = ours.resident()
    return [
        at_most(f"Memory of each of {CALLERS} callers", empty / CALLERS / KB, TARGET_KB, "KB"),
        beside("  the same with their pages in the cache", full / CALLERS / KB, "KB"),
        beside("  the whole process then", resident / KB / KB, "MB", 0),
    ]


async def _growth(ours: Process) -> int:
    connections = [await Connection.to(ours.port) for _ in range(CONNECTIONS)]
    await _ask_once(connections, iter(range(WARM_UP)))
    before = ours.resident()
    await _ask_once(connections, iter(range(WARM_UP, WARM_UP + CALLERS)))
    grown = ours.resident() - before
    for connection in connections:
        connection.close()
    return grown


async def _ask_once(connections: list[Connection], callers: Iterator[int]) -> None:
    async def some(connection: Connection) -> None:
        for caller in callers:
            await connection.ask(question(EVERY_FIELD, caller))

    await asyncio.gather(*map(some, connections))
