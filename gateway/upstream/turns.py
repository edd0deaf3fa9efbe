"""Turns: who asks much does not keep those waiting who ask little."""

import asyncio
from collections import deque


class Turns:
    """Lets so many begin in a round of the event loop under each key; the others follow, in order.

    Without it a round has as many requests of one kind in it as there are connections, and
    everybody else's next step comes after all of these. It takes no time where nobody waits.
    """

    def __init__(self, number: int = 1) -> None:
        self._number = number
        self._lines: dict[bytes, _Line] = {}

    async def take(self, key: bytes) -> None:
        """Return when it is one's turn."""
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = _Line(self._number)
            asyncio.get_running_loop().call_soon(self._next_round, key)
        if line.left:
            line.left -= 1
            return
        called: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line.waiting.append(called)
        await called

    def _next_round(self, key: bytes) -> None:
        line = self._lines[key]
        line.left = self._number
        while line.waiting and line.left:
            called = line.waiting.popleft()
            if not called.done():  # else it has left
                called.set_result(None)
                line.left -= 1
        if line.left == self._number:
            del self._lines[key]
        else:
            asyncio.get_running_loop().call_soon(self._next_round, key)


class _Line:
    """Those who wait under a key, and how many may still begin in this round."""

    __slots__ = ("left", "waiting")

    def __init__(self, left: int) -> None:
        self.left = left
        self.waiting: deque[asyncio.Future[None]] = deque()
