"""CPU time of code in this process, and the time until a condition holds."""

import asyncio
import time
from collections.abc import Awaitable, Callable

REPETITIONS = 100
POLL_SECONDS = 0.005


async def cpu_ms(act: Callable[[], Awaitable[object]], repetitions: int = REPETITIONS) -> float:
    """Return the milliseconds of CPU of one repetition."""
    before = time.process_time()
    for _ in range(repetitions):
        await act()
    return 1000 * (time.process_time() - before) / repetitions


async def compare_cpu_ms(
    *acts: Callable[[], Awaitable[object]], rounds: int = 9
) -> list[list[float]]:
    """Measure the acts in turn, round by round; return the figures of each."""
    for act in acts:
        await cpu_ms(act)  # warms up
    figures: list[list[float]] = [[] for _ in acts]
    for _ in range(rounds):
        for act, own in zip(acts, figures, strict=True):
            own.append(await cpu_ms(act))
    return figures


async def seconds_until(condition: Callable[[], bool], *, limit: float) -> float:
    """Return the seconds until the condition holds; raise TimeoutError after the limit."""
    started = time.perf_counter()
    while not condition():
        if time.perf_counter() - started > limit:
            raise TimeoutError(f"not within {limit:g} seconds")
        await asyncio.sleep(POLL_SECONDS)
    return time.perf_counter() - started
