"""Clients that connect and send nothing, or half a request: other callers are not affected."""

from statistics import median

from benchmarks import load
from benchmarks.client import Connection
from benchmarks.load import connect
from benchmarks.processes import Process, gateway, upstream_process
from benchmarks.queries import uncached_requests
from benchmarks.table import Row, at_most, percentile
from benchmarks.timing import seconds_until

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
"""The noise of a shared machine in a ratio of two p99."""
REAPED_SECONDS = 12.0
"""The gateway waits 10 s for a request."""


async def measure() -> list[Row]:
    """Measure with such clients and without, in turn; then until they are disconnected."""
    alone: list[float] = []
    disturbed: list[float] = []
    with upstream_process(delay_ms=UPSTREAM_MS) as upstream, gateway(upstream) as ours:
        await load.closed_loop(ours, uncached_requests(CALLERS), seconds=1.0, apart=APART)
        before = ours.open_files()
        for _ in range(ROUNDS):
            alone.append(await _p99(ours))
            idle = await _idle(ours)
            disturbed.append(await _p99(ours))
            for connection in idle:
                connection.close()
            await _files_back(ours, before)
        await _idle(ours)
        reaped = await _files_back(ours, before)
    ratio = median(
        [with_them / without for with_them, without in zip(disturbed, alone, strict=True)]
    )
    return [
        Row(
            f"{BEGUN} half-open and {SILENT} silent sockets: p99 of {CALLERS} others",
            f"{median(disturbed):.1f} : {median(alone):.1f} ms = {ratio:.2f}",
            f"<= {UNCHANGED:g}",
            ratio <= UNCHANGED,
        ),
        at_most("  until all these sockets are closed", reaped, REAPED_SECONDS, "s"),
    ]


async def _p99(ours: Process) -> float:
    run = await load.closed_loop(ours, uncached_requests(CALLERS), seconds=SECONDS, apart=APART)
    return 1000 * percentile(run.latencies, P99)


async def _idle(ours: Process) -> list[Connection]:
    """Connect without sending a whole request."""
    begun = await connect(ours, BEGUN)
    for connection in begun:
        connection.write(HEAD)
    return [*begun, *await connect(ours, SILENT)]


async def _files_back(ours: Process, number: int) -> float:
    """Return the seconds until the gateway has so few files open."""
    return await seconds_until(lambda: ours.open_files() <= number, limit=2 * REAPED_SECONDS)
