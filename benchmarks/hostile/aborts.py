"""A thousand clients that disconnect: the work for their requests ends."""

import asyncio

from benchmarks.client import Connection, get
from benchmarks.load import connect
from benchmarks.processes import Process, faulty_upstream, gateway
from benchmarks.queries import uncached_requests
from benchmarks.table import Row, at_most
from benchmarks.timing import seconds_until

CALLERS = 1000
ROUNDS = 5
TARGET_SECONDS = 1.0
LIMIT_SECONDS = 10.0
UPSTREAM_CONNECTIONS = 100
"""The gateway's maximum to a region: the other requests wait."""


async def measure() -> list[Row]:
    """Abort a thousand requests to an upstream that hangs."""
    taken: list[tuple[float, float]] = []
    for _ in range(ROUNDS):
        # New processes each time: in a slow round calls fail, and the circuit breaker counts them.
        with faulty_upstream("hang") as upstream, gateway(upstream) as ours:
            taken.append(await _round(ours, upstream))
    sockets, calls = zip(*taken, strict=True)
    what = f"{CALLERS} requests under way are aborted"
    return [
        at_most(f"{what}: sockets back, slowest of {ROUNDS}", max(sockets), TARGET_SECONDS, "s"),
        at_most("  connections to the upstream closed", max(calls), TARGET_SECONDS, "s"),
    ]


async def _round(ours: Process, upstream: Process) -> tuple[float, float]:
    """Return the seconds until the sockets of each process were closed."""
    before, upstream_before = ours.open_files(), upstream.open_files()
    connections = await connect(ours, CALLERS)
    for connection, request in zip(connections, uncached_requests(CALLERS), strict=True):
        connection.write(request)
    full = upstream_before + UPSTREAM_CONNECTIONS
    await seconds_until(lambda: upstream.open_files() >= full, limit=LIMIT_SECONDS)
    await _wait_until_read(ours)
    assert ours.open_files() >= before + CALLERS + UPSTREAM_CONNECTIONS
    for connection in connections:
        connection.abort()
    return await asyncio.gather(
        seconds_until(lambda: ours.open_files() <= before, limit=LIMIT_SECONDS),
        seconds_until(lambda: upstream.open_files() <= upstream_before, limit=LIMIT_SECONDS),
    )


async def _wait_until_read(ours: Process) -> None:
    # The gateway serves its connections in turn: these responses follow the reading of all.
    for _ in range(3):
        probe = await Connection.to(ours.port)
        await probe.ask(get("/livez"))
        probe.close()
