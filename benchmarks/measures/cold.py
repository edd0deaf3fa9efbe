"""A request that the upstream must answer: 100 rows, every field, through the whole gateway."""

import asyncio
from collections.abc import Sequence

from benchmarks import load
from benchmarks.processes import Process, canned, gateway, stock
from benchmarks.questions import EVERY_FIELD, TWO_FIELDS, question
from benchmarks.table import Row, beside, middle

CONCURRENCIES = (1, 4, 16, 64)
STOCK_CONCURRENCIES = (1, 2, 5, 10, 20)
SECONDS = 1.0
ROUNDS = 5
TARGET_TIMES = 4.0
FEW_SHARE = 0.8
"""Of the whole: the upstream's page has a hundred rows either way, and is read and checked."""


async def measure() -> list[Row]:
    """Compare the gateway's rate with that of the stock client's call alone."""
    rates: dict[int, list[float]] = {concurrency: [] for concurrency in CONCURRENCIES}
    times: dict[int, list[float]] = {concurrency: [] for concurrency in CONCURRENCIES}
    stock_rates: list[float] = []
    with canned() as upstream, gateway(upstream) as ours, stock(upstream) as client:
        await load.ask(ours, cold(4), seconds=SECONDS)
        tried = {each: await stock_rate(client, each) for each in STOCK_CONCURRENCIES}
        best = max(tried, key=lambda each: tried[each])
        for _ in range(ROUNDS):
            for concurrency in CONCURRENCIES:
                stock_rates.append(await stock_rate(client, best))
                run = await load.ask(ours, cold(concurrency), seconds=SECONDS)
                rates[concurrency].append(run.rate)
                times[concurrency].append(run.rate / stock_rates[-1])
    return [
        *(
            Row(
                f"Cold request of 100 rows, {concurrency} at a time",
                f"{middle(rates[concurrency]):.0f} /s = {middle(times[concurrency]):.2f} x stock",
                f">= {TARGET_TIMES:g} x stock",
                middle(times[concurrency]) >= TARGET_TIMES,
            )
            for concurrency in CONCURRENCIES
        ),
        beside(f"  stock client's list call alone, {best} at a time", middle(stock_rates), "/s", 0),
    ]


async def measure_few() -> list[Row]:
    """Compare the CPU of ten rows of two fields with that of a hundred of all."""
    whole: list[float] = []
    few: list[float] = []
    going_on: list[float] = []
    shares: list[float] = []
    little = [question(TWO_FIELDS, first=10, fresh=True)]
    with (
        canned() as upstream,
        canned(pages=100) as long,
        gateway(upstream) as ours,
        gateway(long) as onward,
    ):
        await load.ask(ours, cold(1), seconds=SECONDS)
        await load.ask(onward, cold(1), seconds=SECONDS)
        for _ in range(ROUNDS):
            whole.append((await load.ask(ours, cold(1), seconds=SECONDS)).cpu_ms)
            few.append((await load.ask(ours, little, seconds=SECONDS)).cpu_ms)
            shares.append(few[-1] / whole[-1])
            going_on.append((await load.ask(onward, cold(1), seconds=SECONDS)).cpu_ms)
    return [
        Row(
            "Cold request of 10 rows and 2 fields: CPU",
            f"{middle(few):.2f} ms = {middle(shares):.2f} x of 100",
            f"<= {FEW_SHARE:g} x of 100",
            middle(shares) <= FEW_SHARE,
        ),
        beside("  100 rows and every field", middle(whole), "ms"),
        beside("  100 rows, and a second call for hasNextPage", middle(going_on), "ms"),
    ]


def cold(concurrency: int) -> Sequence[bytes]:
    """Make questions of distinct callers: one caller's would be one call while under way."""
    return [question(EVERY_FIELD, caller, fresh=True) for caller in range(concurrency)]


async def stock_rate(client: Process, concurrency: int) -> float:
    """Return the calls a second that the stock client makes."""
    client.tell(f"{concurrency} {SECONDS}")
    calls, seconds = (await asyncio.to_thread(client.hear)).split()
    return int(calls) / float(seconds)
