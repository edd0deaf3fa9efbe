"""What a lost Redis costs: the time it adds to answers, and until pages are shared again.

Stands alone: `python -m benchmarks.redis_faults`. Several callers ask for a page each, over and
over; the upstream takes 50 ms. Set against a gateway that keeps nothing.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack

from benchmarks import load
from benchmarks.processes import Process, canned, gateway
from benchmarks.questions import TWO_FIELDS, question
from benchmarks.table import Row, at_most, beside, percentile, text
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


async def p95(server: Process) -> tuple[float, float, float]:
    """Give the 95th and 99th hundredth of the latencies, and the longest, in milliseconds."""
    run = await load.ask(server, QUESTIONS, seconds=SECONDS, apart=APART)
    found = (percentile(run.latencies, P95), percentile(run.latencies, P99), max(run.latencies))
    return 1000 * found[0], 1000 * found[1], 1000 * found[2]


QUESTIONS = [question(TWO_FIELDS, caller, first=20) for caller in range(CALLERS)]


async def until_shared(ours: Process, upstream: Process) -> float:
    """Ask until a whole second of answers needs no call; give the time until that second."""
    started = time.perf_counter()
    while True:
        began, before = time.perf_counter(), await load.calls(upstream)
        await load.ask(ours, QUESTIONS[:1], seconds=0.2)
        if await load.calls(upstream) == before:
            return began - started
        assert time.perf_counter() - started < RECOVERY_SECONDS, "it never came back"


async def lost(
    what: str, lose: Callable[[], None], give_back: Callable[[], None], plain: float,
    ours: Process, upstream: Process,
) -> list[Row]:  # fmt: skip
    """Measure with the Redis lost, and after it has come back."""
    await asyncio.to_thread(lose)
    middle, tail, longest = await p95(ours)
    await asyncio.to_thread(give_back)
    back = await until_shared(ours, upstream)
    return [
        at_most(f"Added while Redis is {what}: p95", middle - plain, ADDED_MS, "ms"),
        beside("  p99, in all", tail, "ms"),
        beside("  longest, in all", longest, "ms"),
        at_most("  until pages are shared again", back, BACK_SECONDS, "s"),
    ]


async def main() -> None:
    """Print the table."""
    async with AsyncExitStack() as parts:
        redis: RedisServer = parts.enter_context(running_redis())
        upstream = parts.enter_context(canned(delay_ms=UPSTREAM_MS))
        keeps_nothing = parts.enter_context(gateway(upstream, cache_seconds=0))
        ours = parts.enter_context(gateway(upstream, cache_url=redis.url, cache_seconds=3600))
        plain, _, _ = await p95(keeps_nothing)
        warm, _, _ = await p95(ours)
        rows = [
            beside(f"{CALLERS} callers, no cache: p95", plain, "ms"),
            beside(f"{CALLERS} callers, warm Redis: p95", warm, "ms"),
            *await lost("paused", redis.pause, redis.resume, plain, ours, upstream),
            *await lost("killed", redis.kill, redis.restart, plain, ours, upstream),
        ]
    print(text(rows))


if __name__ == "__main__":
    asyncio.run(main())
