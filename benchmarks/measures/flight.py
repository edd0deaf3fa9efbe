"""Equal requests at once share one upstream call."""

import asyncio

from benchmarks import load
from benchmarks.client import Connection
from benchmarks.processes import gateway, upstream_process
from benchmarks.queries import EVERY_FIELD, graphql_request
from benchmarks.table import Row

REQUESTS = 500
MAX_IN_FLIGHT = 4 * REQUESTS
"""One caller gets a quarter of it."""
DELAY_MS = 1000
"""Long enough that all requests arrive before the response."""


async def measure() -> list[Row]:
    """Measure with the cache, and without."""
    return [
        await _count_calls("", cache_seconds=5),
        await _count_calls(", cache off", cache_seconds=0),
    ]


async def _count_calls(how: str, *, cache_seconds: int) -> Row:
    with (
        upstream_process(delay_ms=DELAY_MS) as upstream,
        gateway(upstream, cache_seconds=cache_seconds, max_in_flight=MAX_IN_FLIGHT) as ours,
    ):
        connections = [await Connection.to(ours.port) for _ in range(REQUESTS)]
        request = graphql_request(EVERY_FIELD)
        await asyncio.gather(*(connection.ask(request) for connection in connections))
        calls = await load.upstream_calls(upstream)
        for connection in connections:
            connection.close()
    what = f"flight: {REQUESTS} identical requests at once{how}"
    return Row(what, f"{calls} upstream calls", "1", calls == 1)
