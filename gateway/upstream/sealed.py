"""The cache that replicas share: a Redis in which each caller's answers are sealed for them.

The Redis, whoever holds it, and every other caller see digests as keys and ciphertext as
values. A value opens with the key of the caller it was given to, under the name it was kept
under, until its time; whatever else stands there is a miss.
"""

import asyncio
import contextlib
import math
import os
import time
from collections.abc import AsyncIterator, Callable
from struct import Struct
from typing import Any

import structlog
from aiocache.backends.redis import RedisCache
from aiocache.serializers import NullSerializer
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from gateway.caller import Caller
from gateway.upstream.breaker import Breaker

log = structlog.get_logger()

PREFIX = "audience-gateway:1:"
"""Before each key: a version that seals another way never meets this one's values."""

GET_SECONDS = 0.1
SET_SECONDS = 0.2
MAX_VALUE_BYTES = 8 * 1024 * 1024
"""More than any answer has; a larger value is not ours, and not worth the time to open it."""

FAILURES = 3
REST_SECONDS = 1.0
CONNECTIONS = 50

REFUSAL_NOTE_SECONDS = 60

TURNS = 5
"""Of the event loop, in which an answer that is there has been read."""

NONCE_BYTES = 12
_EXPIRES = Struct(">d")


class SealedRedis:
    """An AnswerCache over aiocache's Redis backend. Slow or down, it is a miss, never an error."""

    def __init__(
        self, url: str, *, clock: Callable[[], float] = time.time, breaker: Breaker | None = None
    ) -> None:
        """`clock` is the wall's: entries carry when they end, whatever Redis thinks."""
        self._redis: Any = RedisCache(
            serializer=NullSerializer(encoding=None), namespace="", timeout=None
        )
        self._redis.client = Redis.from_url(
            url,
            max_connections=CONNECTIONS,
            socket_connect_timeout=GET_SECONDS,
            # Ours ends a command. With its own, redis-py sends by asyncio.wait_for, which loses
            # the cancellations that come as it is done, up to Python 3.11: we would wait on.
            socket_timeout=None,
            retry=Retry(NoBackoff(), 0),  # the breaker decides when to try again
            protocol=2,  # by 3 a server may send us elsewhere, and used connections go unchecked
        )
        # The pool fails where it is empty; one must wait for a connection, not be told of an error.
        self._connections = asyncio.Semaphore(CONNECTIONS)
        self._refusal_noted_at = -math.inf
        self._clock = clock
        self._breaker = breaker or Breaker(FAILURES, REST_SECONDS)

    async def get(self, caller: Caller, key: str) -> bytes | None:
        """Return the bytes that were sealed for the caller under the key; see AnswerCache."""
        sealed = await self._try(GET_SECONDS, self._redis.get, PREFIX + key)
        if not isinstance(sealed, bytes) or len(sealed) > MAX_VALUE_BYTES:
            return None
        opened = unseal(caller.sealing_key, key, sealed)
        if opened is None:
            return None
        expires, value = opened
        return value if self._clock() < expires else None

    async def set(self, caller: Caller, key: str, value: bytes, seconds: float) -> None:
        """Seal and keep a value."""
        milliseconds = int(seconds * 1000)
        if milliseconds < 1 or len(value) > MAX_VALUE_BYTES // 2:
            return
        sealed = seal(caller.sealing_key, key, self._clock() + seconds, value)
        ttl = milliseconds / 1000
        await self._try(SET_SECONDS, self._redis.set, PREFIX + key, sealed, ttl=ttl)

    async def close(self) -> None:
        """Close the connections."""
        # One whose last bytes the other side does not take is dropped, and said to have failed.
        with contextlib.suppress(RedisError, OSError):
            await self._redis.client.aclose()

    async def _try(
        self, seconds: float, command: Callable[..., Any], *arguments: Any, **options: Any
    ) -> Any:
        asked = False
        try:
            async with _limit(seconds), self._connections:
                # Looked at by who has a connection: who waited for one is spared a known failure.
                if not self._breaker.allows():
                    return None
                asked = True
                answer = await command(*arguments, **options)
        except ResponseError as error:
            # It lives, and refuses this one: another type under the key, full, a replica.
            self._note_refusal(str(error).partition(" ")[0])
            answer = None
        except Exception as error:  # noqa: BLE001  what is no Redis fails its parser in any way
            if asked and self._breaker.failed():
                log.warning("redis left alone", cause=type(error).__qualname__)
            return None
        if self._breaker.succeeded():
            log.info("redis works again")
        return answer

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


def seal(sealing_key: bytes, key: str, expires: float, value: bytes) -> bytes:
    """Encrypt a value and when it ends, bound to the key it is kept under."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(sealing_key).encrypt(nonce, _EXPIRES.pack(expires) + value, key.encode())


def unseal(sealing_key: bytes, key: str, sealed: bytes) -> tuple[float, bytes] | None:
    """Decrypt what `seal` made with the same keys; None for anything else."""
    try:
        opened = AESGCM(sealing_key).decrypt(
            sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], key.encode()
        )
    except (InvalidTag, ValueError):
        return None
    if len(opened) < _EXPIRES.size:
        return None
    return _EXPIRES.unpack_from(opened)[0], opened[_EXPIRES.size :]
