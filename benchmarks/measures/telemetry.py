"""What log lines and metrics cost: the hot rate with them and without, in turns."""

from benchmarks import load
from benchmarks.processes import canned, gateway, untold
from benchmarks.questions import EVERY_FIELD, question
from benchmarks.table import Row, beside, middle

SECONDS = 1.0
ROUNDS = 15
CACHE_SECONDS = 3600
TARGET_PERCENT = 5.0


async def measure() -> list[Row]:
    """Ask the same again of a gateway as it comes, and of one that tells nothing."""
    told: list[float] = []
    silent: list[float] = []
    request = [question(EVERY_FIELD)]
    with (
        canned() as upstream,
        gateway(upstream, cache_seconds=CACHE_SECONDS) as ours,
        untold(upstream, cache_seconds=CACHE_SECONDS) as other,
    ):
        for server in (ours, other):
            await load.ask(server, request, seconds=SECONDS)
        for _ in range(ROUNDS):
            told.append((await load.ask(ours, request, seconds=SECONDS)).cpu_ms)
            silent.append((await load.ask(other, request, seconds=SECONDS)).cpu_ms)
    cost = 100 * middle([a / b - 1 for a, b in zip(told, silent, strict=True)])
    return [
        Row(
            "Log lines and metrics, of the CPU of a warm request",
            f"{cost:.1f} %",
            f"<= {TARGET_PERCENT:g} %",
            cost <= TARGET_PERCENT,
        ),
        beside("  a warm request with them", middle(told), "ms", 3),
        beside("  without", middle(silent), "ms", 3),
    ]
