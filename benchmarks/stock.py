"""The stock client in a process of its own: one shared aioboto3 client with default settings.

    python -m benchmarks.stock http://127.0.0.1:9000

For each line `CONCURRENCY SECONDS ROWS` it lists pages of so many rows for that time, and prints
`CALLS SECONDS`.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aioboto3
import uvloop

from benchmarks.queries import credentials


@asynccontextmanager
async def stock_client(url: str) -> AsyncIterator[Any]:
    """Open a client as in aioboto3's documentation."""
    own = credentials()
    session: Any = aioboto3.Session(
        aws_access_key_id=own.access_key,
        aws_secret_access_key=own.secret_key,
        aws_session_token=own.token,
        region_name="us-east-1",
    )
    async with session.client("cleanroomsml", endpoint_url=url) as client:
        yield client


async def main() -> None:
    """Process the lines of standard input."""
    async with stock_client(sys.argv[1]) as client:
        for line in sys.stdin:
            concurrency, seconds, rows = line.split()
            started = time.perf_counter()
            until = started + float(seconds)
            counts = await asyncio.gather(
                *(_list_until(client, until, int(rows)) for _ in range(int(concurrency)))
            )
            print(sum(counts), time.perf_counter() - started, flush=True)


async def _list_until(client: Any, until: float, rows: int) -> int:
    count = 0
    while time.perf_counter() < until:
        await client.list_audience_generation_jobs(maxResults=rows)
        count += 1
    return count


if __name__ == "__main__":
    uvloop.run(main())
