"""Clients who leave by the thousand: what is done for them ends."""

import asyncio

from benchmarks.client import Connection, get
from benchmarks.crowd import connected
from benchmarks.measures.cold import cold
from benchmarks.patience import seconds_until
from benchmarks.processes import Process, gateway, ill
from benchmarks.table import Row, at_most

CALLERS = 1000
ROUNDS = 5
TARGET_SECONDS = 1.0
PATIENCE_SECONDS = 10.0
UPSTREAM_CONNECTIONS = 100
"""As many as the gateway holds to a region: the other requests wait for theirs."""


async def measure() -> list[Row]:
    """Let a thousand ask an upstream that hangs, and leave."""
    taken: list[tuple[float, float]] = []
    for _ in range(ROUNDS):
        # Each time anew: where a round takes long, calls fail, and the breaker knows it.
        with ill("hang") as upstream, gateway(upstream) as ours:
            taken.append(await _round(ours, upstream))
    sockets, calls = zip(*taken, strict=True)
    what = f"{CALLERS} requests under way are aborted"
    return [
        at_most(f"{what}: sockets back, slowest of {ROUNDS}", max(sockets), TARGET_SECONDS, "s"),
        at_most("  connections to the upstream closed", max(calls), TARGET_SECONDS, "s"),
    ]


async def _round(ours: Process, upstream: Process) -> tuple[float, float]:
    """Return the seconds after which the sockets of either process were back."""
    before, upstream_before = ours.files(), upstream.files()
    connections = await connected(ours, CALLERS)
    for connection, request in zip(connections, cold(CALLERS), strict=True):
        connection.say(request)
    full = upstream_before + UPSTREAM_CONNECTIONS
    await seconds_until(lambda: upstream.files() >= full, most=PATIENCE_SECONDS)
    await _has_read(ours)
    assert ours.files() >= before + CALLERS + UPSTREAM_CONNECTIONS
    for connection in connections:
        connection.abort()
    return await asyncio.gather(
        seconds_until(lambda: ours.files() <= before, most=PATIENCE_SECONDS),
        seconds_until(lambda: upstream.files() <= upstream_before, most=PATIENCE_SECONDS),
    )


async def _has_read(ours: Process) -> None:
    """Return when the gateway has read what it was sent: it serves connections in turn."""
    for _ in range(3):
        probe = await Connection.to(ours.port)
        await probe.ask(get("/livez"))
        probe.close()
