"""Waiting for something to become so, for a while."""

import asyncio
import time
from collections.abc import Callable

LOOK_SECONDS = 0.005


async def seconds_until(so: Callable[[], bool], *, most: float) -> float:
    """Return the seconds until it was so; raises TimeoutError where it is not so in time."""
    started = time.perf_counter()
    while not so():
        if time.perf_counter() - started > most:
            raise TimeoutError(f"not within {most:g} seconds")
        await asyncio.sleep(LOOK_SECONDS)
    return time.perf_counter() - started
