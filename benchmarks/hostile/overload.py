"""Ten times as many callers as there is room for: what is done for those who are let in."""

from benchmarks.client import Connection
from benchmarks.crowd import Crowd, connected, impatient, patient, press
from benchmarks.measures.cold import cold
from benchmarks.processes import Process, canned, gateway
from benchmarks.table import Row, at_most, beside, middle, percentile

UPSTREAM_MS = 50.0
CONCURRENCIES = (32, 48, 64, 96)
NEARLY = 0.97
"""Of the highest rate. There is room for the fewest who reach it: more only wait longer."""
TIMES = 10
TRY_SECONDS = 2.0
SECONDS = 5.0
ROUNDS = 5
APART = 0.002
P99 = 0.99
KEPT = 0.9
"""Of the peak."""
MB = 1024 * 1024
GROWTH_MB = 5.0


async def measure() -> list[Row]:
    """Find the concurrency that serves most; then let ten times as many come as there is room for.

    The peak is that of a gateway which need not refuse anybody; they take turns.
    """
    with canned(delay_ms=UPSTREAM_MS) as upstream, gateway(upstream) as roomy:
        rates = await _rates(roomy)
        best = max(rates, key=lambda each: rates[each])
        room = next(each for each in CONCURRENCIES if rates[each] >= NEARLY * rates[best])
        with gateway(upstream, max_in_flight=room) as ours:
            few, many = await connected(roomy, best), await connected(ours, TIMES * room)
            try:
                return await _rounds(ours, few, many)
            finally:
                _close([*few, *many])


async def _rates(roomy: Process) -> dict[int, float]:
    rates: dict[int, float] = {}
    for concurrency in (CONCURRENCIES[-1], *CONCURRENCIES):  # the first warms up
        connections = await connected(roomy, concurrency)
        rates[concurrency] = (await _served(connections, TRY_SECONDS)).goodput
        _close(connections)
    return rates


async def _rounds(ours: Process, few: list[Connection], many: list[Connection]) -> list[Row]:
    peaks: list[Crowd] = []
    crowds: list[Crowd] = []
    resident: list[int] = []
    for _ in range(ROUNDS):
        peaks.append(await _served(few, SECONDS))
        crowds.append(await press(many, cold(len(many)), seconds=SECONDS, pause=patient))
        resident.append(ours.resident())
    rude = await press(many, cold(len(many)), seconds=SECONDS, pause=impatient)
    return [
        *_goodput(peaks, crowds, len(few), len(many)),
        *_times(crowds),
        at_most(
            "  growth of memory in the second half of the time",
            (resident[-1] - resident[ROUNDS // 2 - 1]) / MB,
            GROWTH_MB,
            "MB",
        ),
        *_rude(rude, middle([peak.goodput for peak in peaks])),
    ]


async def _served(connections: list[Connection], seconds: float) -> Crowd:
    """Ask on connections for which there is room."""
    requests = cold(len(connections))
    return await press(connections, requests, seconds=seconds, pause=impatient, apart=APART)


def _goodput(peaks: list[Crowd], crowds: list[Crowd], best: int, callers: int) -> list[Row]:
    peak = middle([each.goodput for each in peaks])
    goodput = middle([each.goodput for each in crowds])
    share = middle(
        [crowd.goodput / peak.goodput for peak, crowd in zip(peaks, crowds, strict=True)]
    )
    return [
        Row(
            f"{callers} callers before room for {callers // TIMES} wait as told: goodput",
            f"{goodput:.0f} /s = {share:.2f} x peak",
            f">= {KEPT:g} x peak",
            share >= KEPT,
        ),
        beside(f"  peak, {best} at a time over a {UPSTREAM_MS:g} ms upstream", peak, "/s", 0),
    ]


def _times(crowds: list[Crowd]) -> list[Row]:
    served = [1000 * each for crowd in crowds for each in crowd.served]
    refused = [1000 * each for crowd in crowds for each in crowd.refused]
    rate = len(refused) / sum(crowd.seconds for crowd in crowds)
    return [
        beside("  of those let in: median", middle(served), "ms", 0),
        beside("  of those let in: p99", percentile(served, P99), "ms", 0),
        beside(f"  of {rate:.0f} refusals a second: median", middle(refused), "ms"),
        beside("  of these refusals: p99", percentile(refused, P99), "ms"),
    ]


def _rude(crowd: Crowd, peak: float) -> list[Row]:
    share = crowd.goodput / peak
    refusals = [1000 * each for each in crowd.refused]
    return [
        Row(
            "  goodput where callers ask again at once",
            f"{crowd.goodput:.0f} /s = {share:.2f} x peak",
        ),
        beside(
            f"  of {len(refusals) / crowd.seconds:.0f} refusals a second then: median",
            middle(refusals),
            "ms",
        ),
    ]


def _close(connections: list[Connection]) -> None:
    for connection in connections:
        connection.close()
