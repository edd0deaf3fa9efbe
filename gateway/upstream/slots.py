"""Slots: how many at once, for each of many keys."""

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Slots(Generic[K]):
    """Lets `number` in at once under each key; who comes then waits, in order.

    A key is known for as long as somebody is in, or waits.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._doors: dict[K, asyncio.Semaphore] = {}
        self._present: dict[K, int] = {}

    @asynccontextmanager
    async def one_of(self, key: K) -> AsyncIterator[None]:
        """Wait for a slot, and hold it."""
        door = self._doors.get(key)
        if door is None:
            door = self._doors[key] = asyncio.Semaphore(self._number)
        self._present[key] = self._present.get(key, 0) + 1
        try:
            async with door:
                yield
        finally:
            self._present[key] -= 1
            if not self._present[key]:
                del self._present[key], self._doors[key]
