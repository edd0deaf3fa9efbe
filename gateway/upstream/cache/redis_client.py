"""The way to the Redis that replicas share. Slow or down, it is no answer, never an error."""

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from gateway.telemetry.metrics import CIRCUIT_BREAKER_OPEN
from gateway.upstream.resilience.circuit_breaker import CircuitBreaker

log = structlog.get_logger()

REDIS = "redis"
"""What the metrics call it."""

CONNECT_SECONDS = 0.1
FAILURES = 3
REST_SECONDS = 1.0
CONNECTIONS = 50

REFUSAL_NOTE_SECONDS = 60

TURNS = 5
"""Of the event loop, in which an answer that is there has been read."""


class RedisClient:
    """A Redis that is asked for a moment at most, and left alone after FAILURES in a row."""

    def __init__(self, url: str, *, breaker: CircuitBreaker | None = None) -> None:
        self.client = Redis.from_url(
            url,
            max_connections=CONNECTIONS,
            socket_connect_timeout=CONNECT_SECONDS,
            # Ours ends a command. With its own, redis-py sends by asyncio.wait_for, which loses
            # the cancellations that come as it is done, up to Python 3.11: we would wait on.
            socket_timeout=None,
            retry=Retry(NoBackoff(), 0),  # the breaker decides when to try again
            protocol=2,  # by 3 a server may send us elsewhere, and used connections go unchecked
        )
        # The pool fails where it is empty; one must wait for a connection, not be told of an error.
        self._connections = asyncio.Semaphore(CONNECTIONS)
        self._refusal_noted_at = -math.inf
        self.breaker = breaker or CircuitBreaker(FAILURES, REST_SECONDS)

    async def execute(
        self, seconds: float, command: Callable[..., Any], *arguments: Any, **options: Any
    ) -> Any:
        """Return what a command over `client` answers within `seconds`; None if it does not."""
        asked = False
        try:
            async with _limit(seconds), self._connections:
                # Looked at by who has a connection: who waited for one is spared a known failure.
                if not self.breaker.allows():
                    return None
                asked = True
                answer = await command(*arguments, **options)
        except ResponseError as error:
            # It lives, and refuses this one: another type under the key, full, a replica.
            self._note_refusal(str(error).partition(" ")[0])
            answer = None
        except Exception as error:  # noqa: BLE001  what is no Redis fails its parser in any way
            if asked and self.breaker.failed():
                CIRCUIT_BREAKER_OPEN.labels(REDIS).set(1)
                log.warning("redis circuit opened", cause=type(error).__qualname__)
            return None
        if self.breaker.succeeded():
            CIRCUIT_BREAKER_OPEN.labels(REDIS).set(0)
            log.info("redis circuit closed")
        return answer

    async def close(self) -> None:
        """Close the connections."""
        # One whose last bytes the other side does not take is dropped, and said to have failed.
        with contextlib.suppress(RedisError, OSError):
            await self.client.aclose()

    def _note_refusal(self, kind: str) -> None:
        now = time.monotonic()
        if now - self._refusal_noted_at >= REFUSAL_NOTE_SECONDS:
            self._refusal_noted_at = now
            log.warning("redis refused a command", kind=kind)


@contextlib.asynccontextmanager
async def _limit(seconds: float) -> AsyncIterator[None]:
    """Limit the time as asyncio.timeout does, but do not blame Redis where this process is late.

    A loop that has much to do finds the answer and the end of the time in one turn: the end
    waits some turns more, in which an answer that is there is read.
    """
    loop = asyncio.get_running_loop()
    limit = asyncio.timeout(None)
    timer: asyncio.Handle

    def end(turns: int) -> None:
        nonlocal timer
        if turns:
            timer = loop.call_soon(end, turns - 1)
        else:
            limit.reschedule(loop.time())

    timer = loop.call_later(seconds, end, TURNS)
    try:
        async with limit:
            yield
    finally:
        timer.cancel()
