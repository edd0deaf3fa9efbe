"""From the start of the process to the first answer with data."""

import asyncio
import time
from statistics import median

from benchmarks.client import Connection
from benchmarks.processes import START_SECONDS, Process, starting_gateway, upstream_process
from benchmarks.queries import EVERY_FIELD, graphql_request
from benchmarks.table import Row, at_most

STARTS = 7
PAUSE = 0.005
TARGET_SECONDS = 1.5


async def measure() -> list[Row]:
    with upstream_process() as upstream:
        await _start(upstream)  # brings the files into memory
        seconds = [await _start(upstream) for _ in range(STARTS)]
    return [at_most("Start to first answer", median(seconds), TARGET_SECONDS, "s")]


async def _start(upstream: Process) -> float:
    started = time.perf_counter()
    with starting_gateway(upstream) as ours:
        async with asyncio.timeout(START_SECONDS):
            connection = await _connected(ours)
            await connection.ask(graphql_request(EVERY_FIELD))
        seconds = time.perf_counter() - started
        connection.close()
    return seconds


async def _connected(ours: Process) -> Connection:
    while True:
        try:
            return await Connection.to(ours.port)
        except ConnectionRefusedError:
            await asyncio.sleep(PAUSE)
