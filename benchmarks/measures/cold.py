"""A request that is not cached: 100 rows, every field."""

import asyncio
from statistics import median

from benchmarks import load
from benchmarks.processes import Process, gateway, stock_client, upstream_process
from benchmarks.queries import TWO_FIELDS, graphql_request, uncached_requests
from benchmarks.table import Row, reference

CONCURRENCIES = (1, 4, 16, 64)
STOCK_CONCURRENCIES = (1, 2, 5, 10, 20)
SECONDS = 1.0
ROUNDS = 5
TARGET_TIMES = 4.0
FEW_SHARE = 0.8
"""Of the larger request: the upstream's page has 100 rows either way, and is read and checked."""


async def measure() -> list[Row]:
    """Compare the gateway's rate with that of the stock client's call."""
    rates: dict[int, list[float]] = {concurrency: [] for concurrency in CONCURRENCIES}
    times: dict[int, list[float]] = {concurrency: [] for concurrency in CONCURRENCIES}
    stock_rates: list[float] = []
    with (
        upstream_process() as upstream,
        gateway(upstream) as ours,
        stock_client(upstream) as client,
    ):
        await load.closed_loop(ours, uncached_requests(4), seconds=SECONDS)
        tried = {each: await stock_rate(client, each) for each in STOCK_CONCURRENCIES}
        best = max(tried, key=lambda each: tried[each])
        for _ in range(ROUNDS):
            for concurrency in CONCURRENCIES:
                stock_rates.append(await stock_rate(client, best))
                run = await load.closed_loop(ours, uncached_requests(concurrency), seconds=SECONDS)
                rates[concurrency].append(run.rate)
                times[concurrency].append(run.rate / stock_rates[-1])
    return [
        *(
            Row(
                f"Cold request of 100 rows, {concurrency} at a time",
                f"{median(rates[concurrency]):.0f} /s = {median(times[concurrency]):.2f} x stock",
                f">= {TARGET_TIMES:g} x stock",
                median(times[concurrency]) >= TARGET_TIMES,
            )
            for concurrency in CONCURRENCIES
        ),
        reference(
            f"  stock client's list call alone, {best} at a time", median(stock_rates), "/s", 0
        ),
    ]


async def measure_few() -> list[Row]:
    """Compare the CPU of ten rows of two fields with that of a hundred of all."""
    whole: list[float] = []
    few: list[float] = []
    two_calls: list[float] = []
    shares: list[float] = []
    large = uncached_requests(1)
    small = [graphql_request(TWO_FIELDS, first=10, no_cache=True)]
    with (
        upstream_process() as upstream,
        upstream_process(pages=100) as long,
        gateway(upstream) as ours,
        gateway(long) as onward,
    ):
        await load.closed_loop(ours, large, seconds=SECONDS)
        await load.closed_loop(onward, large, seconds=SECONDS)
        for _ in range(ROUNDS):
            whole.append((await load.closed_loop(ours, large, seconds=SECONDS)).cpu_ms)
            few.append((await load.closed_loop(ours, small, seconds=SECONDS)).cpu_ms)
            shares.append(few[-1] / whole[-1])
            two_calls.append((await load.closed_loop(onward, large, seconds=SECONDS)).cpu_ms)
    return [
        Row(
            "Cold request of 10 rows and 2 fields: CPU",
            f"{median(few):.2f} ms = {median(shares):.2f} x of 100",
            f"<= {FEW_SHARE:g} x of 100",
            median(shares) <= FEW_SHARE,
        ),
        reference("  100 rows and every field", median(whole), "ms"),
        reference("  100 rows, and a second call for hasNextPage", median(two_calls), "ms"),
    ]


async def stock_rate(client: Process, concurrency: int) -> float:
    """Return the stock client's calls a second."""
    client.write_line(f"{concurrency} {SECONDS}")
    calls, seconds = (await asyncio.to_thread(client.read_line)).split()
    return int(calls) / float(seconds)
