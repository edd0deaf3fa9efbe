"""A crowd of callers who may be refused, and ask again in their own manner."""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from benchmarks.client import Answer, Connection
from benchmarks.processes import Process

OK = 200


@dataclass(slots=True)
class Crowd:
    """What came of it: the seconds that each answer took, until the time was over."""

    seconds: float
    served: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)

    @property
    def goodput(self) -> float:
        """Answers with data in a second."""
        return len(self.served) / self.seconds

    @property
    def asked(self) -> int:
        """All that was answered."""
        return len(self.served) + len(self.refused)


def patient(answer: Answer) -> float:
    """Wait as one is told, up to as long again, so that not all come back at once."""
    return answer.retry_after * (1 + random.random())  # noqa: S311  not a secret


def impatient(_: Answer) -> float:
    """Wait for nothing."""
    return 0.0


async def connected(server: Process, number: int) -> list[Connection]:
    """Connect so many times."""
    return [await Connection.to(server.port) for _ in range(number)]


async def press(
    connections: Sequence[Connection],
    requests: Sequence[bytes],
    *,
    seconds: float,
    pause: Callable[[Answer], float],
    apart: float = 0,
) -> Crowd:
    """Ask each request on a connection of its own again and again, for so many seconds.

    Who is refused asks again after a `pause`. They begin so many seconds `apart`.
    """
    crowd = Crowd(seconds)
    until = time.perf_counter() + seconds

    async def caller(number: int, connection: Connection, request: bytes) -> None:
        await asyncio.sleep(number * apart)
        while (before := time.perf_counter()) < until:
            answer = await connection.exchange(request)
            now = time.perf_counter()
            kept = answer.status == OK and answer.body.startswith(b'{"data":')
            if now < until:
                (crowd.served if kept else crowd.refused).append(now - before)
            if not kept:
                await asyncio.sleep(min(pause(answer), max(0.0, until - now)))

    await asyncio.gather(
        *(
            caller(number, connection, request)
            for number, (connection, request) in enumerate(zip(connections, requests, strict=True))
        )
    )
    return crowd
