"""What a process holds over time, and whether it grows."""

import asyncio
from dataclasses import dataclass, field
from statistics import median

from tests.hostile.process import Program

READING_SECONDS = 0.5
MEGABYTE = 2**20
SPARE = {"resident": 24 * MEGABYTE, "files": 100, "threads": 4}
"""By how much it may seem to grow, in so short a time, without doing so."""
SHARE = 1.2


@dataclass
class Gauge:
    """Reads memory, open files and threads of a program again and again."""

    program: Program
    readings: dict[str, list[int]] = field(default_factory=lambda: {name: [] for name in SPARE})

    async def read(self) -> None:
        """Read until cancelled."""
        while True:
            for name, readings in self.readings.items():
                readings.append(getattr(self.program, name)())
            await asyncio.sleep(READING_SECONDS)

    def grown(self) -> dict[str, tuple[float, float]]:
        """Give what has grown from the second third of the time to the last: both medians."""
        found = {}
        for name, readings in self.readings.items():
            third = len(readings) // 3
            middle, end = median(readings[third : 2 * third]), median(readings[2 * third :])
            if end > middle * SHARE + SPARE[name]:
                found[name] = (middle, end)
        return found
