"""The cache that replicas share: a Redis that holds each caller's responses encrypted.

The Redis, its operators and other callers see digests as keys and ciphertext as values. A value
decrypts with its caller's key, under its own key in Redis and until it expires; anything else is a
miss.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import orjson
import structlog
from aiocache.backends.redis import RedisCache
from aiocache.serializers import NullSerializer
from redis.asyncio import Redis
from redis.exceptions import AskError, ResponseError

from gateway.auth.credentials import Caller
from gateway.telemetry.metrics import CIRCUIT_BREAKER_OPEN, REDIS_REJECTED_COMMANDS
from gateway.upstream.cache.encryption import decrypt, encrypt
from gateway.upstream.cache.memory import Stored, Version
from gateway.upstream.cache.redis_cluster import RedisTopology
from gateway.upstream.cache.redis_node import NodeOptions, RedisNode
from gateway.upstream.resilience.circuit_breaker import CircuitBreaker
from gateway.upstream.values import UpstreamRequest

T = TypeVar("T")

log = structlog.get_logger()

CIRCUIT_BREAKER_TARGET = "redis"

CONNECT_SECONDS = 0.1
FAILURES = 3
RESET_SECONDS = 1.0
CONNECTIONS = 50
"""To each node."""

MAX_NODES_ASKED = 3
"""By one command: a cluster's reply may name another node, which may just have lost the slot."""

REJECTION_LOG_SECONDS = 60
"""Between two log entries about rejected commands."""

PREFIX = "audience-gateway:1:"
"""Prefix of each key, so that a version with another encryption never finds these values."""

GET_SECONDS = 0.1
SET_SECONDS = 0.2
MAX_VALUE_BYTES = 8 * 1024 * 1024
"""Larger than any response. A larger value is not from a gateway, and takes too long to decrypt."""


class RedisClient:
    """A Redis server, or a cluster of them, with a short time limit per command.

    Each node is behind a circuit breaker. One that is slow or down gives no result for the keys
    that it holds, never an error.
    """

    def __init__(self, url: str, *, breaker: CircuitBreaker | None = None) -> None:
        """`breaker` is that of the node in the URL."""
        self._url = url
        self._rejection_logged_at = -math.inf
        self._retiring: set[asyncio.Task[None]] = set()
        self.topology = RedisTopology(self._make_node(url, breaker), self._make_node)

    async def execute(
        self, seconds: float, key: str, command: Callable[[RedisNode], Awaitable[Any]]
    ) -> Any:
        """Run a command on the node that holds `key`, the only one of its keys or in their slot.

        Returns its result; None if it fails or takes over `seconds`.
        """
        topology, deadline = self.topology, time.monotonic() + seconds
        node: RedisNode | None = topology.node_of(key)
        for _ in range(MAX_NODES_ASKED):
            left = deadline - time.monotonic()
            if node is None or left <= 0:
                break
            try:
                result = await node.run(command, left)
            except AskError as redirection:  # or a MovedError
                left = max(deadline - time.monotonic(), 0)
                node = await topology.follow(node, key, redirection, left)
            except ResponseError as error:
                # Redis works but rejects this command: a key of another type, no memory, a replica.
                self._log_rejection(error)
                break
            else:
                if node.breaker.tripped:
                    topology.refresh_if_cluster()
                return result
        return None

    def reconfigure(self, url: str) -> None:
        """Use another URL, such as one with a new password, for all commands from now on.

        Those that run end on their connections, which are closed then.
        """
        if url == self._url:
            return
        task = asyncio.create_task(self.topology.retire())
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)
        self._url = url
        self.topology = RedisTopology(self._make_node(url), self._make_node)
        self._show_breakers()

    async def close(self) -> None:
        await asyncio.gather(self.topology.close(), *self._retiring)

    def _make_node(self, url: str, breaker: CircuitBreaker | None = None) -> RedisNode:
        options = NodeOptions(CONNECTIONS, CONNECT_SECONDS, self._show_breakers)
        return RedisNode(url, breaker or CircuitBreaker(FAILURES, RESET_SECONDS), options)

    def _show_breakers(self) -> None:
        is_open = any(node.breaker.tripped for node in self.topology.nodes.values())
        CIRCUIT_BREAKER_OPEN.labels(CIRCUIT_BREAKER_TARGET).set(is_open)

    def _log_rejection(self, error: ResponseError) -> None:
        REDIS_REJECTED_COMMANDS.inc()
        now = time.monotonic()
        if now - self._rejection_logged_at >= REJECTION_LOG_SECONDS:
            self._rejection_logged_at = now
            log.warning("redis rejected a command", kind=error_code(error))


class EncryptedRedisCache:
    """A ResponseCache over aiocache's Redis backend. A Redis that is slow or down is a miss."""

    def __init__(self, redis: RedisClient, *, clock: Callable[[], float] = time.time) -> None:
        """`clock` is the wall clock. Entries contain their expiry, so Redis need not enforce it."""
        self._redis = redis
        self._clock = clock

    async def get(self, caller: Caller, key: str, request: UpstreamRequest[T]) -> Stored[T] | None:
        name = PREFIX + key
        encrypted = await self._redis.execute(
            GET_SECONDS, name, lambda node: node.adapter(aiocache_backend).get(name)
        )
        if not isinstance(encrypted, bytes) or len(encrypted) > MAX_VALUE_BYTES:
            return None
        decrypted = decrypt(caller.encryption_key, key, encrypted)
        if decrypted is None or self._clock() >= decrypted[0]:
            return None
        stored_at, asked_at, value = orjson.loads(decrypted[1])
        return Stored(request.from_json(value), stored_at, Version(decrypted[0]), asked_at)

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
        content = [stored.stored_at, stored.asked_at, request.to_json(stored.value)]
        value = orjson.dumps(content)
        if len(value) > MAX_VALUE_BYTES // 2:
            return
        encrypted = encrypt(caller.encryption_key, key, self._clock() + seconds, value)
        ttl = milliseconds / 1000
        name = PREFIX + key
        await self._redis.execute(
            SET_SECONDS,
            name,
            lambda node: node.adapter(aiocache_backend).set(name, encrypted, ttl=ttl),
        )

    async def delete(self, _: Caller, key: str) -> None:
        name = PREFIX + key
        # Not by DEL, so that the gateway needs the permission for two commands only.
        await self._redis.execute(
            SET_SECONDS,
            name,
            lambda node: node.adapter(aiocache_backend).set(name, b"", ttl=0.001),
        )

    async def close(self) -> None:
        await self._redis.close()


def aiocache_backend(client: Redis) -> Any:
    """Return aiocache's Redis backend over this client."""
    backend: Any = RedisCache(serializer=NullSerializer(encoding=None), namespace="", timeout=None)
    backend.client = client
    return backend


def error_code(error: ResponseError) -> str:
    """Return the code with which Redis begins an error, such as NOPERM; never its text."""
    code = error.status_code or str(error).partition(" ")[0]
    return code if code.isascii() and code.isalpha() and code.isupper() else "ERR"
