"""Where answers are kept: in this process, or sealed in a Redis that replicas share."""

from typing import Protocol

from gateway.auth.credentials import Caller
from gateway.upstream.cache.memory import BoundedMemoryCache


class AnswerCache(Protocol):
    """Keeps bytes for a caller under a key, for a while. Never raises for being out of order."""

    async def get(self, caller: Caller, key: str) -> bytes | None:
        """Return what was kept; None for whatever is not there, not this caller's or not whole."""

    async def set(self, caller: Caller, key: str, value: bytes, seconds: float) -> None:
        """Keep a value for `seconds`; not at all if that is 0 or less."""

    async def close(self) -> None:
        """Let go of connections."""


class MemoryAnswers:
    """The cache of one process. Keys name their callers, so values need no seal here."""

    def __init__(self, memory: BoundedMemoryCache) -> None:
        self._memory = memory

    async def get(self, caller: Caller, key: str) -> bytes | None:  # noqa: ARG002  the key names the caller
        """Return what was kept."""
        kept: bytes | None = await self._memory.get(key)
        return kept

    async def set(
        self,
        caller: Caller,  # noqa: ARG002  as in `get`
        key: str,
        value: bytes,
        seconds: float,
    ) -> None:
        """Keep a value."""
        await self._memory.set(key, value, ttl=seconds)

    async def close(self) -> None:
        """Nothing is held open."""
