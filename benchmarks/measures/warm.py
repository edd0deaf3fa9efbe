"""The same request again, answered from the cache: what the gateway adds to the execution."""

from benchmarks import load
from benchmarks.cost import cpu_ms
from benchmarks.execution import Execution
from benchmarks.processes import canned, gateway
from benchmarks.questions import EVERY_FIELD, TWO_FIELDS, question
from benchmarks.table import Row, at_most, beside, middle

SECONDS = 1.0
ROUNDS = 9
CACHE_SECONDS = 3600
TARGET_MS = 1.0


async def measure() -> list[Row]:
    """Compare a warm request with the execution of its document over a page in memory."""
    warm: list[float] = []
    rates: list[float] = []
    bare: list[float] = []
    stock: list[float] = []
    added: list[float] = []
    small: list[float] = []
    request = [question(EVERY_FIELD)]
    execution = Execution()
    with canned() as upstream, gateway(upstream, cache_seconds=CACHE_SECONDS) as ours:
        await load.ask(ours, request, seconds=SECONDS)
        await cpu_ms(execution.ours)
        for _ in range(ROUNDS):
            run = await load.ask(ours, request, seconds=SECONDS)
            warm.append(run.cpu_ms)
            rates.append(run.rate)
            bare.append(await cpu_ms(execution.ours))
            added.append(warm[-1] - bare[-1])
            stock.append(await cpu_ms(execution.stock))
            few = await load.ask(ours, [question(TWO_FIELDS, first=20)], seconds=SECONDS)
            small.append(few.cpu_ms)
        assert await load.calls(upstream) == 1
    return [
        at_most("Warm request of 100 rows: CPU beside execution", middle(added), TARGET_MS, "ms"),
        beside("  the whole request", middle(warm), "ms"),
        beside("  execution of it alone", middle(bare), "ms"),
        beside("  the same field by field, as graphql-core does", middle(stock), "ms"),
        beside("  rate, one at a time", middle(rates), "/s", 0),
        beside("  20 rows and 2 fields", middle(small), "ms"),
    ]
