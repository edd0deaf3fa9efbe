"""The cache that replicas share: a Redis that holds each caller's responses encrypted.

The Redis, its operators and other callers see digests as keys and ciphertext as values. A value
decrypts with its caller's key, under its own key in Redis and until it expires; anything else is a
miss.
"""

import asyncio
import contextlib
import math
import os
import time
from collections.abc import AsyncIterator, Callable
from struct import Struct
from typing import Any, TypeVar

import orjson
import structlog
from aiocache.backends.redis import RedisCache
from aiocache.serializers import NullSerializer
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from gateway.auth.credentials import Caller
from gateway.telemetry.metrics import CIRCUIT_BREAKER_OPEN
from gateway.upstream.cache.memory import Stored, Version
from gateway.upstream.resilience.circuit_breaker import CircuitBreaker
from gateway.upstream.values import UpstreamRequest

T = TypeVar("T")

log = structlog.get_logger()

CIRCUIT_BREAKER_TARGET = "redis"

CONNECT_SECONDS = 0.1
FAILURES = 3
RESET_SECONDS = 1.0
CONNECTIONS = 50

REJECTION_LOG_SECONDS = 60
"""Between two log entries about rejected commands."""

GRACE_ITERATIONS = 5
"""Iterations of the event loop within which a reply that has arrived is read."""

PREFIX = "audience-gateway:1:"
"""Prefix of each key, so that a version with another encryption never finds these values."""

GET_SECONDS = 0.1
SET_SECONDS = 0.2
MAX_VALUE_BYTES = 8 * 1024 * 1024
"""Larger than any response. A larger value is not from a gateway, and takes too long to decrypt."""

NONCE_BYTES = 12
_EXPIRES = Struct(">d")


class RedisClient:
    """A Redis with a short time limit per command, behind a circuit breaker.

    A Redis that is slow or down gives no result, never an error.
    """

    def __init__(self, url: str, *, breaker: CircuitBreaker | None = None) -> None:
        self.client = Redis.from_url(
            url,
            max_connections=CONNECTIONS,
            socket_connect_timeout=CONNECT_SECONDS,
            # `execute` limits the time. With a timeout of its own, redis-py sends by
            # asyncio.wait_for, which up to Python 3.11 loses a cancellation that arrives as it
            # completes: the command would run on.
            socket_timeout=None,
            retry=Retry(NoBackoff(), 0),  # the breaker decides when to try again
            # RESP3 lets a server redirect us, and leaves used connections unchecked.
            protocol=2,
        )
        # An exhausted pool raises; callers should wait for a connection instead.
        self._connections = asyncio.Semaphore(CONNECTIONS)
        self._rejection_logged_at = -math.inf
        self.breaker = breaker or CircuitBreaker(FAILURES, RESET_SECONDS)

    async def execute(
        self, seconds: float, command: Callable[..., Any], *arguments: Any, **options: Any
    ) -> Any:
        """Run a command of `client` and return its result; None if it takes over `seconds`."""
        started = False
        try:
            async with _time_limit(seconds), self._connections:
                # After the wait for a connection, during which the breaker may have opened.
                if not self.breaker.allows():
                    return None
                started = True
                result = await command(*arguments, **options)
        except ResponseError as error:
            # Redis works but rejects this command: a key of another type, no memory, a replica.
            self._log_rejection(str(error).partition(" ")[0])
            result = None
        except Exception as error:  # noqa: BLE001  the parser raises anything if the server is no Redis
            if started and self.breaker.record_failure():
                CIRCUIT_BREAKER_OPEN.labels(CIRCUIT_BREAKER_TARGET).set(1)
                log.warning("redis circuit opened", cause=type(error).__qualname__)
            return None
        if self.breaker.record_success():
            CIRCUIT_BREAKER_OPEN.labels(CIRCUIT_BREAKER_TARGET).set(0)
            log.info("redis circuit closed")
        return result

    async def close(self) -> None:
        # A connection whose last bytes the server does not accept is dropped with an error.
        with contextlib.suppress(RedisError, OSError):
            await self.client.aclose()

    def _log_rejection(self, kind: str) -> None:
        now = time.monotonic()
        if now - self._rejection_logged_at >= REJECTION_LOG_SECONDS:
            self._rejection_logged_at = now
            log.warning("redis rejected a command", kind=kind)


@contextlib.asynccontextmanager
async def _time_limit(seconds: float) -> AsyncIterator[None]:
    """Limit the time as asyncio.timeout does, without failures due to a busy event loop.

    A loop that runs late finds the reply and the timeout in the same iteration. So the timeout
    waits for a few more iterations, in which a reply that has arrived is read.
    """
    loop = asyncio.get_running_loop()
    limit = asyncio.timeout(None)
    timer: asyncio.Handle

    def expire(iterations: int) -> None:
        nonlocal timer
        if iterations:
            timer = loop.call_soon(expire, iterations - 1)
        else:
            limit.reschedule(loop.time())

    timer = loop.call_later(seconds, expire, GRACE_ITERATIONS)
    try:
        async with limit:
            yield
    finally:
        timer.cancel()


class EncryptedRedisCache:
    """A ResponseCache over aiocache's Redis backend. A Redis that is slow or down is a miss."""

    def __init__(self, redis: RedisClient, *, clock: Callable[[], float] = time.time) -> None:
        """`clock` is the wall clock. Entries contain their expiry, so Redis need not enforce it."""
        self._redis = redis
        self._backend: Any = RedisCache(
            serializer=NullSerializer(encoding=None), namespace="", timeout=None
        )
        self._backend.client = redis.client
        self._clock = clock

    async def get(self, caller: Caller, key: str, request: UpstreamRequest[T]) -> Stored[T] | None:
        encrypted = await self._redis.execute(GET_SECONDS, self._backend.get, PREFIX + key)
        if not isinstance(encrypted, bytes) or len(encrypted) > MAX_VALUE_BYTES:
            return None
        decrypted = decrypt(caller.encryption_key, key, encrypted)
        if decrypted is None or self._clock() >= decrypted[0]:
            return None
        stored_at, value = orjson.loads(decrypted[1])
        return Stored(request.from_json(value), stored_at, Version(decrypted[0]))

    async def set(
        self,
        caller: Caller,
        key: str,
        request: UpstreamRequest[T],
        stored: Stored[T],
        seconds: float,
    ) -> None:
        milliseconds = int(seconds * 1000)
        if milliseconds < 1:
            return
        value = orjson.dumps([stored.stored_at, request.to_json(stored.value)])
        if len(value) > MAX_VALUE_BYTES // 2:
            return
        encrypted = encrypt(caller.encryption_key, key, self._clock() + seconds, value)
        ttl = milliseconds / 1000
        await self._redis.execute(SET_SECONDS, self._backend.set, PREFIX + key, encrypted, ttl=ttl)

    async def close(self) -> None:
        await self._redis.close()


def encrypt(encryption_key: bytes, key: str, expires: float, value: bytes) -> bytes:
    """Encrypt a value and its expiry, bound to the key under which it is stored."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(encryption_key).encrypt(
        nonce, _EXPIRES.pack(expires) + value, key.encode()
    )


def decrypt(encryption_key: bytes, key: str, encrypted: bytes) -> tuple[float, bytes] | None:
    """Return expiry and value of what `encrypt` made with the same keys; None for anything else."""
    nonce, ciphertext = encrypted[:NONCE_BYTES], encrypted[NONCE_BYTES:]
    try:
        plain = AESGCM(encryption_key).decrypt(nonce, ciphertext, key.encode())
    except (InvalidTag, ValueError):
        return None
    if len(plain) < _EXPIRES.size:
        return None
    return _EXPIRES.unpack_from(plain)[0], plain[_EXPIRES.size :]
