"""Clients who connect and say nothing, or not enough: other callers notice nothing."""

from benchmarks import load
from benchmarks.client import Connection
from benchmarks.crowd import connected
from benchmarks.measures.cold import cold
from benchmarks.patience import seconds_until
from benchmarks.processes import Process, canned, gateway
from benchmarks.table import Row, at_most, middle, percentile

SILENT = 500
BEGUN = 500
HEAD = b"POST /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Aws-Access-Key-Id: ASI"
CALLERS = 4
UPSTREAM_MS = 50.0
APART = 0.013
SECONDS = 5.0
ROUNDS = 4
P99 = 0.99
UNCHANGED = 1.1
"""How much dearer a p99 may look beside another: what the noise of a shared machine makes."""
REAPED_SECONDS = 12.0
"""A request has ten seconds to arrive."""


async def measure() -> list[Row]:
    """Take turns: with such clients, and without. In the end see them go."""
    alone: list[float] = []
    beset: list[float] = []
    with canned(delay_ms=UPSTREAM_MS) as upstream, gateway(upstream) as ours:
        await load.ask(ours, cold(CALLERS), seconds=1.0, apart=APART)
        before = ours.files()
        for _ in range(ROUNDS):
            alone.append(await _p99(ours))
            idle = await _idle(ours)
            beset.append(await _p99(ours))
            for connection in idle:
                connection.close()
            await _files_back(ours, before)
        await _idle(ours)
        reaped = await _files_back(ours, before)
    ratio = middle([with_them / without for with_them, without in zip(beset, alone, strict=True)])
    return [
        Row(
            f"{BEGUN} half-open and {SILENT} silent sockets: p99 of {CALLERS} others",
            f"{middle(beset):.1f} : {middle(alone):.1f} ms = {ratio:.2f}",
            f"<= {UNCHANGED:g}",
            ratio <= UNCHANGED,
        ),
        at_most("  until all these sockets are closed", reaped, REAPED_SECONDS, "s"),
    ]


async def _p99(ours: Process) -> float:
    run = await load.ask(ours, cold(CALLERS), seconds=SECONDS, apart=APART)
    return 1000 * percentile(run.latencies, P99)


async def _idle(ours: Process) -> list[Connection]:
    """Connect without ever asking."""
    begun = await connected(ours, BEGUN)
    for connection in begun:
        connection.say(HEAD)
    return [*begun, *await connected(ours, SILENT)]


async def _files_back(ours: Process, number: int) -> float:
    """Return the seconds until the gateway has no more files open than that."""
    return await seconds_until(lambda: ours.files() <= number, most=2 * REAPED_SECONDS)
