"""Load on a gateway: closed loops of callers, with and without rejections, and a steady rate."""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from benchmarks.client import Answer, Connection, get
from benchmarks.processes import Process

OK = 200


class Server(Protocol):
    """A process, or several behind one port."""

    @property
    def port(self) -> int: ...

    def cpu(self) -> float:
        """Return the seconds of CPU that it has used."""


@dataclass(frozen=True, slots=True)
class Run:
    """The result of load that is never rejected."""

    seconds: float
    cpu_seconds: float
    latencies: list[float]

    @property
    def rate(self) -> float:
        """Responses a second."""
        return len(self.latencies) / self.seconds

    @property
    def cpu_ms(self) -> float:
        """Milliseconds of the server's CPU for a response."""
        return 1000 * self.cpu_seconds / len(self.latencies)


async def closed_loop(
    server: Server, requests: Sequence[bytes], *, seconds: float, apart: float = 0
) -> Run:
    """Send each request again and again on a connection of its own.

    The connections begin so many seconds `apart`.
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
    close(connections)
    return run


@dataclass(slots=True)
class Overload:
    """The result of load that is partly rejected: the seconds of each response."""

    seconds: float
    served: list[float] = field(default_factory=list)
    rejected: list[float] = field(default_factory=list)

    @property
    def goodput(self) -> float:
        """Responses with data in a second."""
        return len(self.served) / self.seconds

    @property
    def total(self) -> int:
        return len(self.served) + len(self.rejected)


def retry_after(answer: Answer) -> float:
    """Back off as the response says, with jitter up to as long again."""
    return answer.retry_after * (1 + random.random())  # noqa: S311  not a secret


def no_backoff(_: Answer) -> float:
    return 0.0


async def connect(server: Process, number: int) -> list[Connection]:
    return [await Connection.to(server.port) for _ in range(number)]


def close(connections: Sequence[Connection]) -> None:
    for connection in connections:
        connection.close()


async def overload(
    connections: Sequence[Connection],
    requests: Sequence[bytes],
    *,
    seconds: float,
    backoff: Callable[[Answer], float],
    apart: float = 0,
) -> Overload:
    """Send each request on a connection of its own again and again, with a backoff if rejected.

    The connections begin so many seconds `apart`.
    """
    result = Overload(seconds)
    until = time.perf_counter() + seconds

    async def caller(number: int, connection: Connection, request: bytes) -> None:
        await asyncio.sleep(number * apart)
        while (before := time.perf_counter()) < until:
            answer = await connection.exchange(request)
            now = time.perf_counter()
            served = answer.status == OK and answer.body.startswith(b'{"data":')
            if now < until:
                (result.served if served else result.rejected).append(now - before)
            if not served:
                await asyncio.sleep(min(backoff(answer), max(0.0, until - now)))

    await asyncio.gather(
        *(
            caller(number, connection, request)
            for number, (connection, request) in enumerate(zip(connections, requests, strict=True))
        )
    )
    return result


class OpenLoop:
    """So many requests a second, whether or not earlier ones are answered."""

    def __init__(self, port: int, requests: Sequence[bytes], rate: float) -> None:
        self.latencies: list[float] = []
        self.failures: list[str] = []
        self._port = port
        self._requests = requests
        self._rate = rate
        self._idle: list[Connection] = []
        self._in_flight: set[asyncio.Task[None]] = set()

    async def run(self, stopped: asyncio.Event) -> None:
        """Send requests until stopped, and wait for the last responses."""
        began = time.perf_counter()
        number = 0
        while not stopped.is_set():
            task = asyncio.create_task(self._send(self._requests[number % len(self._requests)]))
            self._in_flight.add(task)
            task.add_done_callback(self._in_flight.discard)
            number += 1
            await asyncio.sleep(began + number / self._rate - time.perf_counter())
        await asyncio.gather(*self._in_flight)
        close(self._idle)

    async def _send(self, request: bytes) -> None:
        started = time.perf_counter()
        try:
            connection = self._idle.pop() if self._idle else await Connection.to(self._port)
            answer = await connection.ask(request)
            assert answer.startswith(b'{"data":'), answer[:500]
        except (OSError, RuntimeError, AssertionError) as error:
            self.failures.append(repr(error))
            return
        self.latencies.append(time.perf_counter() - started)
        self._idle.append(connection)


async def upstream_calls(upstream: Process) -> int:
    connection = await Connection.to(upstream.port)
    answer = await connection.ask(get("/_calls"))
    connection.close()
    return int(answer)
