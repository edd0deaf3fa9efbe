"""What something costs in this process."""

import time
from collections.abc import Awaitable, Callable

TIMES = 100


async def cpu_ms(act: Callable[[], Awaitable[object]], times: int = TIMES) -> float:
    """Return the milliseconds of CPU that one of so many goes takes."""
    before = time.process_time()
    for _ in range(times):
        await act()
    return 1000 * (time.process_time() - before) / times


async def compared(*acts: Callable[[], Awaitable[object]], rounds: int = 9) -> list[list[float]]:
    """Measure each act in turn, round by round; returns each one's figures."""
    for act in acts:
        await cpu_ms(act)  # warms up
    figures: list[list[float]] = [[] for _ in acts]
    for _ in range(rounds):
        for act, own in zip(acts, figures, strict=True):
            own.append(await cpu_ms(act))
    return figures
