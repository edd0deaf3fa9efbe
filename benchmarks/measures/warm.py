"""A cached request: what the gateway adds to its execution."""

from statistics import median

from benchmarks import load
from benchmarks.execution import Execution
from benchmarks.processes import gateway, upstream_process
from benchmarks.queries import EVERY_FIELD, TWO_FIELDS, graphql_request
from benchmarks.table import Row, at_most, reference
from benchmarks.timing import cpu_ms

SECONDS = 1.0
ROUNDS = 9
CACHE_SECONDS = 3600
TARGET_MS = 1.0


async def measure() -> list[Row]:
    """Compare a cached request with the execution of its document over a page in memory."""
    warm: list[float] = []
    rates: list[float] = []
    bare: list[float] = []
    stock: list[float] = []
    added: list[float] = []
    small: list[float] = []
    request = [graphql_request(EVERY_FIELD)]
    two_fields = [graphql_request(TWO_FIELDS, first=20)]
    execution = Execution()
    with upstream_process() as upstream, gateway(upstream, cache_seconds=CACHE_SECONDS) as ours:
        await load.closed_loop(ours, request, seconds=SECONDS)
        await cpu_ms(execution.ours)
        for _ in range(ROUNDS):
            run = await load.closed_loop(ours, request, seconds=SECONDS)
            warm.append(run.cpu_ms)
            rates.append(run.rate)
            bare.append(await cpu_ms(execution.ours))
            added.append(warm[-1] - bare[-1])
            stock.append(await cpu_ms(execution.stock))
            few = await load.closed_loop(ours, two_fields, seconds=SECONDS)
            small.append(few.cpu_ms)
        assert await load.upstream_calls(upstream) == 1
    return [
        at_most("Warm request of 100 rows: CPU beside execution", median(added), TARGET_MS, "ms"),
        reference("  the whole request", median(warm), "ms"),
        reference("  execution of it alone", median(bare), "ms"),
        reference("  the same field by field, as graphql-core does", median(stock), "ms"),
        reference("  rate, one at a time", median(rates), "/s", 0),
        reference("  20 rows and 2 fields", median(small), "ms"),
    ]
