"""Requests /livez again and again, in a process of its own, which nothing delays.

    python -m benchmarks.probe PORT

For each line that it reads, it prints the milliseconds of the slowest response since the last one.
"""

import argparse
import asyncio
import sys
import time

import uvloop

from benchmarks.client import Connection, get

PAUSE_SECONDS = 0.002


async def main(port: int) -> None:
    slowest = 0.0

    async def probe() -> None:
        nonlocal slowest
        connection = await Connection.to(port)
        while True:
            began = time.perf_counter()
            await connection.ask(get("/livez"))
            slowest = max(slowest, 1000 * (time.perf_counter() - began))
            await asyncio.sleep(PAUSE_SECONDS)

    probing = asyncio.create_task(probe())
    while await asyncio.to_thread(sys.stdin.readline):
        print(slowest, flush=True)
        slowest = 0.0
    probing.cancel()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    uvloop.run(main(parser.parse_args().port))
