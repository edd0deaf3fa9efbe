"""Load on a gateway: so many callers, each asking again as soon as it is answered."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from benchmarks.client import Connection, get
from benchmarks.processes import Process


class Server(Protocol):
    """What is asked: a process, or several behind one port."""

    @property
    def port(self) -> int:
        """Where it answers."""

    def cpu(self) -> float:
        """Return the seconds of CPU that it has used."""


@dataclass(frozen=True, slots=True)
class Run:
    """What came of some load."""

    seconds: float
    cpu_seconds: float
    latencies: list[float]

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds

    @property
    def cpu_ms(self) -> float:
        """Milliseconds of the server's CPU for an answer."""
        return 1000 * self.cpu_seconds / len(self.latencies)


async def ask(
    server: Server, requests: Sequence[bytes], *, seconds: float, apart: float = 0
) -> Run:
    """Ask each request again and again on a connection of its own, for so many seconds.

    They begin so many seconds `apart`.
    """
    connections = [await Connection.to(server.port) for _ in requests]
    latencies: list[float] = []

    async def caller(number: int, connection: Connection, request: bytes, until: float) -> None:
        await asyncio.sleep(number * apart)
        now = time.perf_counter()
        while now < until:
            answer = await connection.ask(request)
            before, now = now, time.perf_counter()
            assert answer.startswith(b'{"data":'), answer[:500]
            latencies.append(now - before)

    started, cpu = time.perf_counter(), server.cpu()
    await asyncio.gather(
        *(
            caller(number, connection, request, started + seconds)
            for number, (connection, request) in enumerate(zip(connections, requests, strict=True))
        )
    )
    run = Run(time.perf_counter() - started, server.cpu() - cpu, latencies)
    for connection in connections:
        connection.close()
    return run


async def calls(upstream: Process) -> int:
    """Return how many calls the canned upstream has answered."""
    connection = await Connection.to(upstream.port)
    answer = await connection.ask(get("/_calls"))
    connection.close()
    return int(answer)
