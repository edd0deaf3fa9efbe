"""Load at a steady rate, whatever becomes of it: who is not answered does not hold up the next."""

import asyncio
import time
from collections.abc import Sequence

from benchmarks.client import Connection


class Steady:
    """Asks so many times a second, on as many kept connections as that takes."""

    def __init__(self, port: int, requests: Sequence[bytes], rate: float) -> None:
        self.latencies: list[float] = []
        self.failed: list[str] = []
        self._port = port
        self._requests = requests
        self._rate = rate
        self._idle: list[Connection] = []
        self._asked: set[asyncio.Task[None]] = set()

    async def run(self, over: asyncio.Event) -> None:
        """Ask until it is over, and wait for the last answers."""
        began = time.perf_counter()
        number = 0
        while not over.is_set():
            task = asyncio.create_task(self._ask(self._requests[number % len(self._requests)]))
            self._asked.add(task)
            task.add_done_callback(self._asked.discard)
            number += 1
            await asyncio.sleep(began + number / self._rate - time.perf_counter())
        await asyncio.gather(*self._asked)
        for connection in self._idle:
            connection.close()

    async def _ask(self, request: bytes) -> None:
        started = time.perf_counter()
        try:
            connection = self._idle.pop() if self._idle else await Connection.to(self._port)
            answer = await connection.ask(request)
            assert answer.startswith(b'{"data":'), answer[:500]
        except (OSError, RuntimeError, AssertionError) as error:
            self.failed.append(repr(error))
            return
        self.latencies.append(time.perf_counter() - started)
        self._idle.append(connection)
