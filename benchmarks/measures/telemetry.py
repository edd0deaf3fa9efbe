"""The cost of log lines and metrics in cached requests."""

from statistics import median

from benchmarks import load
from benchmarks.processes import gateway, gateway_without_telemetry, upstream_process
from benchmarks.queries import EVERY_FIELD, graphql_request
from benchmarks.table import Row, reference

SECONDS = 1.0
ROUNDS = 15
CACHE_SECONDS = 3600
TARGET_PERCENT = 5.0


async def measure() -> list[Row]:
    """Compare a gateway with one that has neither, in turn."""
    with_telemetry: list[float] = []
    without: list[float] = []
    request = [graphql_request(EVERY_FIELD)]
    with (
        upstream_process() as upstream,
        gateway(upstream, cache_seconds=CACHE_SECONDS) as ours,
        gateway_without_telemetry(upstream, cache_seconds=CACHE_SECONDS) as other,
    ):
        for server in (ours, other):
            await load.closed_loop(server, request, seconds=SECONDS)
        for _ in range(ROUNDS):
            with_telemetry.append((await load.closed_loop(ours, request, seconds=SECONDS)).cpu_ms)
            without.append((await load.closed_loop(other, request, seconds=SECONDS)).cpu_ms)
    cost = 100 * median([a / b - 1 for a, b in zip(with_telemetry, without, strict=True)])
    return [
        Row(
            "Log lines and metrics, of the CPU of a warm request",
            f"{cost:.1f} %",
            f"<= {TARGET_PERCENT:g} %",
            cost <= TARGET_PERCENT,
        ),
        reference("  a warm request with them", median(with_telemetry), "ms", 3),
        reference("  without", median(without), "ms", 3),
    ]
