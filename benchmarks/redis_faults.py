"""The cost of a lost Redis: latency added meanwhile, and the time until pages are shared again.

    python -m benchmarks.redis_faults

Several callers request a page each over a 50 ms upstream, beside a gateway without a cache.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack

from benchmarks import load
from benchmarks.processes import Process, gateway, upstream_process
from benchmarks.queries import TWO_FIELDS, graphql_request
from benchmarks.table import Row, at_most, percentile, reference, text
from tests.redis_servers import RedisServer, running_redis

UPSTREAM_MS = 50.0
CALLERS = 16
SECONDS = 8.0
RECOVERY_SECONDS = 30.0
APART = 0.005
P95 = 0.95
P99 = 0.99
ADDED_MS = 150.0
BACK_SECONDS = 5.0


async def latencies(server: Process) -> tuple[float, float, float]:
    """Return p95, p99 and the longest, in milliseconds."""
    run = await load.closed_loop(server, REQUESTS, seconds=SECONDS, apart=APART)
    found = (percentile(run.latencies, P95), percentile(run.latencies, P99), max(run.latencies))
    return 1000 * found[0], 1000 * found[1], 1000 * found[2]


REQUESTS = [graphql_request(TWO_FIELDS, caller, first=20) for caller in range(CALLERS)]


async def until_shared(ours: Process, upstream: Process) -> float:
    """Return the seconds until 0.2 s of requests need no upstream call."""
    started = time.perf_counter()
    while True:
        began, before = time.perf_counter(), await load.upstream_calls(upstream)
        await load.closed_loop(ours, REQUESTS[:1], seconds=0.2)
        if await load.upstream_calls(upstream) == before:
            return began - started
        assert time.perf_counter() - started < RECOVERY_SECONDS, "it never came back"


async def lost(
    what: str, lose: Callable[[], None], restore: Callable[[], None], plain: float,
    ours: Process, upstream: Process,
) -> list[Row]:  # fmt: skip
    """Measure while Redis is lost, and until it is used again."""
    await asyncio.to_thread(lose)
    middle, tail, longest = await latencies(ours)
    await asyncio.to_thread(restore)
    back = await until_shared(ours, upstream)
    return [
        at_most(f"Added while Redis is {what}: p95", middle - plain, ADDED_MS, "ms"),
        reference("  p99, in all", tail, "ms"),
        reference("  longest, in all", longest, "ms"),
        at_most("  until pages are shared again", back, BACK_SECONDS, "s"),
    ]


async def main() -> None:
    async with AsyncExitStack() as parts:
        redis: RedisServer = parts.enter_context(running_redis())
        upstream = parts.enter_context(upstream_process(delay_ms=UPSTREAM_MS))
        uncached = parts.enter_context(gateway(upstream, cache_seconds=0))
        ours = parts.enter_context(gateway(upstream, cache_url=redis.url, cache_seconds=3600))
        plain, _, _ = await latencies(uncached)
        warm, _, _ = await latencies(ours)
        rows = [
            reference(f"{CALLERS} callers, no cache: p95", plain, "ms"),
            reference(f"{CALLERS} callers, warm Redis: p95", warm, "ms"),
            *await lost("paused", redis.pause, redis.resume, plain, ours, upstream),
            *await lost("killed", redis.kill, redis.restart, plain, ours, upstream),
        ]
    print(text(rows))


if __name__ == "__main__":
    asyncio.run(main())
