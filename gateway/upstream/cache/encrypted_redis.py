"""The cache that replicas share: a Redis in which each caller's answers are sealed for them.

The Redis, whoever holds it, and every other caller see digests as keys and ciphertext as
values. A value opens with the key of the caller it was given to, under the name it was kept
under, until its time; whatever else stands there is a miss.
"""

import os
import time
from collections.abc import Callable
from struct import Struct
from typing import Any

from aiocache.backends.redis import RedisCache
from aiocache.serializers import NullSerializer
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.auth.credentials import Caller
from gateway.upstream.cache.redis_client import RedisClient

PREFIX = "audience-gateway:1:"
"""Before each key: a version that seals another way never meets this one's values."""

GET_SECONDS = 0.1
SET_SECONDS = 0.2
MAX_VALUE_BYTES = 8 * 1024 * 1024
"""More than any answer has; a larger value is not ours, and not worth the time to open it."""

NONCE_BYTES = 12
_EXPIRES = Struct(">d")


class EncryptedRedisCache:
    """An AnswerCache over aiocache's Redis backend. Slow or down, it is a miss, never an error."""

    def __init__(self, link: RedisClient, *, clock: Callable[[], float] = time.time) -> None:
        """`clock` is the wall's: entries carry when they end, whatever Redis thinks."""
        self._link = link
        self._redis: Any = RedisCache(
            serializer=NullSerializer(encoding=None), namespace="", timeout=None
        )
        self._redis.client = link.client
        self._clock = clock

    async def get(self, caller: Caller, key: str) -> bytes | None:
        """Return the bytes that were sealed for the caller under the key; see AnswerCache."""
        sealed = await self._link.execute(GET_SECONDS, self._redis.get, PREFIX + key)
        if not isinstance(sealed, bytes) or len(sealed) > MAX_VALUE_BYTES:
            return None
        opened = decrypt(caller.encryption_key, key, sealed)
        if opened is None:
            return None
        expires, value = opened
        return value if self._clock() < expires else None

    async def set(self, caller: Caller, key: str, value: bytes, seconds: float) -> None:
        """Seal and keep a value."""
        milliseconds = int(seconds * 1000)
        if milliseconds < 1 or len(value) > MAX_VALUE_BYTES // 2:
            return
        sealed = encrypt(caller.encryption_key, key, self._clock() + seconds, value)
        ttl = milliseconds / 1000
        await self._link.execute(SET_SECONDS, self._redis.set, PREFIX + key, sealed, ttl=ttl)

    async def close(self) -> None:
        """Close the connections."""
        await self._link.close()


def encrypt(encryption_key: bytes, key: str, expires: float, value: bytes) -> bytes:
    """Encrypt a value and when it ends, bound to the key it is kept under."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(encryption_key).encrypt(
        nonce, _EXPIRES.pack(expires) + value, key.encode()
    )


def decrypt(encryption_key: bytes, key: str, sealed: bytes) -> tuple[float, bytes] | None:
    """Decrypt what `encrypt` made with the same keys; None for anything else."""
    try:
        opened = AESGCM(encryption_key).decrypt(
            sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], key.encode()
        )
    except (InvalidTag, ValueError):
        return None
    if len(opened) < _EXPIRES.size:
        return None
    return _EXPIRES.unpack_from(opened)[0], opened[_EXPIRES.size :]
