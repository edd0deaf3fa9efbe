"""Execution of a query over a page in memory, without HTTP, cache or JSON."""

from statistics import median

from benchmarks.execution import Execution
from benchmarks.table import Row, reference
from benchmarks.timing import compare_cpu_ms


async def measure() -> list[Row]:
    """Compare the engine with graphql-core over the same data as dicts."""
    execution = Execution()
    ours, stock = await compare_cpu_ms(execution.ours, execution.stock)
    return [
        reference("Execution of 100 rows over a page in memory: CPU", median(ours), "ms"),
        reference("  by graphql-core over plain dicts", median(stock), "ms"),
    ]
