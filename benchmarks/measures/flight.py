"""Many who ask the same at once: the upstream hears of it once."""

import asyncio

from benchmarks import load
from benchmarks.client import Connection
from benchmarks.processes import canned, gateway
from benchmarks.questions import EVERY_FIELD, question
from benchmarks.table import Row

QUESTIONS = 500
ROOM = 4 * QUESTIONS
"""One caller gets a quarter of it."""
DELAY_MS = 1000
"""Long enough that all have asked before the one answer is there."""


async def measure() -> list[Row]:
    """Ask with the cache, and without."""
    return [
        await _counted("", cache_seconds=5),
        await _counted(", no cache", cache_seconds=0),
    ]


async def _counted(how: str, *, cache_seconds: int) -> Row:
    with (
        canned(delay_ms=DELAY_MS) as upstream,
        gateway(upstream, cache_seconds=cache_seconds, max_in_flight=ROOM) as ours,
    ):
        connections = [await Connection.to(ours.port) for _ in range(QUESTIONS)]
        request = question(EVERY_FIELD)
        await asyncio.gather(*(connection.ask(request) for connection in connections))
        calls = await load.calls(upstream)
        for connection in connections:
            connection.close()
    what = f"{QUESTIONS} identical questions at once{how}"
    return Row(what, f"{calls} upstream calls", "1", calls == 1)
