"""Ten times as many callers as a gateway accepts: what it serves meanwhile."""

from statistics import median

from benchmarks.client import Connection
from benchmarks.load import Overload, close, connect, no_backoff, overload, retry_after
from benchmarks.processes import Process, gateway, upstream_process
from benchmarks.queries import uncached_requests
from benchmarks.table import Row, at_most, percentile, reference

UPSTREAM_MS = 50.0
CONCURRENCIES = (32, 48, 64, 96)
NEARLY = 0.97
"""Of the highest rate. The limit is the lowest concurrency that reaches it."""
TIMES = 10
TRY_SECONDS = 2.0
SECONDS = 5.0
ROUNDS = 5
APART = 0.002
P99 = 0.99
TARGET_SHARE = 0.9
"""Of the peak."""
MB = 1024 * 1024
GROWTH_MB = 5.0


async def measure() -> list[Row]:
    """Find the best concurrency, then send ten times as many requests as are accepted.

    The peak is that of a gateway that rejects nothing; the two take turns.
    """
    with upstream_process(delay_ms=UPSTREAM_MS) as upstream, gateway(upstream) as roomy:
        rates = await _rates(roomy)
        best = max(rates, key=lambda each: rates[each])
        room = next(each for each in CONCURRENCIES if rates[each] >= NEARLY * rates[best])
        with gateway(upstream, max_in_flight=room) as ours:
            few, many = await connect(roomy, best), await connect(ours, TIMES * room)
            try:
                return await _rounds(ours, few, many)
            finally:
                close([*few, *many])


async def _rates(roomy: Process) -> dict[int, float]:
    rates: dict[int, float] = {}
    for concurrency in (CONCURRENCIES[-1], *CONCURRENCIES):  # the first warms up
        connections = await connect(roomy, concurrency)
        rates[concurrency] = (await _served(connections, TRY_SECONDS)).goodput
        close(connections)
    return rates


async def _rounds(ours: Process, few: list[Connection], many: list[Connection]) -> list[Row]:
    peaks: list[Overload] = []
    overloads: list[Overload] = []
    resident: list[int] = []
    for _ in range(ROUNDS):
        peaks.append(await _served(few, SECONDS))
        overloads.append(
            await overload(many, uncached_requests(len(many)), seconds=SECONDS, backoff=retry_after)
        )
        resident.append(ours.resident_bytes())
    without_backoff = await overload(
        many, uncached_requests(len(many)), seconds=SECONDS, backoff=no_backoff
    )
    return [
        *_goodput(peaks, overloads, len(few), len(many)),
        *_times(overloads),
        at_most(
            "  growth of memory in the second half of the time",
            (resident[-1] - resident[ROUNDS // 2 - 1]) / MB,
            GROWTH_MB,
            "MB",
        ),
        *_without_backoff(without_backoff, median([peak.goodput for peak in peaks])),
    ]


async def _served(connections: list[Connection], seconds: float) -> Overload:
    """Run load below the limit."""
    requests = uncached_requests(len(connections))
    return await overload(connections, requests, seconds=seconds, backoff=no_backoff, apart=APART)


def _goodput(
    peaks: list[Overload], overloads: list[Overload], best: int, callers: int
) -> list[Row]:
    peak = median([each.goodput for each in peaks])
    goodput = median([each.goodput for each in overloads])
    share = median(
        [result.goodput / peak.goodput for peak, result in zip(peaks, overloads, strict=True)]
    )
    return [
        Row(
            f"{callers} callers before room for {callers // TIMES} wait as told: goodput",
            f"{goodput:.0f} /s = {share:.2f} x peak",
            f">= {TARGET_SHARE:g} x peak",
            share >= TARGET_SHARE,
        ),
        reference(f"  peak, {best} at a time over a {UPSTREAM_MS:g} ms upstream", peak, "/s", 0),
    ]


def _times(overloads: list[Overload]) -> list[Row]:
    served = [1000 * each for result in overloads for each in result.served]
    rejected = [1000 * each for result in overloads for each in result.rejected]
    rate = len(rejected) / sum(result.seconds for result in overloads)
    return [
        reference("  of those let in: median", median(served), "ms", 0),
        reference("  of those let in: p99", percentile(served, P99), "ms", 0),
        reference(f"  of {rate:.0f} refusals a second: median", median(rejected), "ms"),
        reference("  of these refusals: p99", percentile(rejected, P99), "ms"),
    ]


def _without_backoff(result: Overload, peak: float) -> list[Row]:
    share = result.goodput / peak
    rejections = [1000 * each for each in result.rejected]
    return [
        Row(
            "  goodput where callers ask again at once",
            f"{result.goodput:.0f} /s = {share:.2f} x peak",
        ),
        reference(
            f"  of {len(rejections) / result.seconds:.0f} refusals a second then: median",
            median(rejections),
            "ms",
        ),
    ]
