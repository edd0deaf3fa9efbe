"""One Redis server, with a short time limit per command and a circuit breaker."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

import structlog
from redis.asyncio import Connection, ConnectionPool, Redis, SSLConnection
from redis.asyncio.connection import AbstractConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from gateway.outgoing import tls_context
from gateway.upstream.cache.host_lookup import HostLookup
from gateway.upstream.resilience.circuit_breaker import CircuitBreaker

A = TypeVar("A")

log = structlog.get_logger()

Address = tuple[str, int]
"""Host and port."""

DEFAULT_PORT = 6379

GRACE_ITERATIONS = 5
"""Iterations of the event loop within which a reply that has arrived is read."""

SPARE_CONNECTIONS = 1
"""For what is not a command of a caller: finding the nodes of a cluster."""


class _PlainConnection(Connection):
    """Has its host looked up by `lookup`, and tries each of the addresses."""

    def __init__(self, *, lookup: HostLookup, **options: Any) -> None:
        super().__init__(**options)
        self._lookup = lookup
        self._address = ""

    async def _connect(self) -> None:
        async with asyncio.timeout(self.socket_connect_timeout):
            *others, last = await self._lookup.addresses()
        for address in others:
            with contextlib.suppress(OSError):
                await self._connect_to(address)
                return
        await self._connect_to(last)

    async def _connect_to(self, address: str) -> None:
        self._address = address
        await super()._connect()  # type: ignore[no-untyped-call]

    def _connection_arguments(self) -> Mapping[str, Any]:
        return {"host": self._address, "port": self.port}


class _TlsConnection(_PlainConnection, SSLConnection):
    """Trusts the authorities that all outgoing connections trust, read once for all of them."""

    def _connection_arguments(self) -> Mapping[str, Any]:
        arguments = _PlainConnection._connection_arguments(self)  # noqa: SLF001
        return {**arguments, "ssl": tls_context(), "server_hostname": self.host}


class _Asking(AbstractConnection):
    """Precedes each command on keys by ASKING, as their slot is being moved to this node."""

    async def send_command(self, *words: Any, **options: Any) -> None:
        if words[0] in {"GET", "PSETEX", "EVALSHA"}:
            await super().send_command("ASKING", **options)
            await self.read_response()
        await super().send_command(*words, **options)


class _AskingConnection(_Asking, _PlainConnection):
    pass


class _AskingTlsConnection(_Asking, _TlsConnection):
    pass


CONNECTION_CLASSES: Mapping[tuple[str, bool], type[AbstractConnection]] = {
    ("redis", False): _PlainConnection,
    ("redis", True): _AskingConnection,
    ("rediss", False): _TlsConnection,
    ("rediss", True): _AskingTlsConnection,
}
"""By the scheme of the URL, and whether ASKING precedes commands."""


@dataclass(frozen=True, slots=True)
class NodeOptions:
    """What all nodes have in common."""

    connections: int
    connect_seconds: float
    on_breaker_change: Callable[[], None]


class RedisNode:
    """A Redis server that is slow or down gives no result, never an error."""

    def __init__(
        self, url: str, breaker: CircuitBreaker, options: NodeOptions, *, asking: bool = False
    ) -> None:
        self.url = url
        self.address = address_of(url)
        self.breaker = breaker
        self._options = options
        self.client = Redis.from_pool(_connection_pool(url, options, asking=asking))
        # An exhausted pool raises; callers should wait for a connection instead.
        self._connections = asyncio.Semaphore(options.connections)
        self._adapters: dict[Callable[[Redis], Any], Any] = {}
        self._asking: RedisNode | None = None

    @property
    def asking(self) -> "RedisNode":
        """The same server, for keys whose slot is being moved to it."""
        if self._asking is None:
            self._asking = RedisNode(self.url, self.breaker, self._options, asking=True)
        return self._asking

    def adapter(self, make: Callable[[Redis], A]) -> A:
        """Return what `make` makes of the client, the same each time."""
        if make not in self._adapters:
            self._adapters[make] = make(self.client)
        adapter: A = self._adapters[make]
        return adapter

    async def run(self, command: Callable[["RedisNode"], Awaitable[Any]], seconds: float) -> Any:
        """Run a command and return its result; None if it fails or takes over `seconds`.

        Raises redis.exceptions.ResponseError if the server rejects the command.
        """
        started = False
        try:
            async with _time_limit(seconds), self._connections:
                # After the wait for a connection, during which the breaker may have opened.
                if not self.breaker.allows():
                    return None
                started = True
                result = await command(self)
        except ResponseError:
            self._record_success()
            raise
        except Exception as error:  # noqa: BLE001  the parser raises anything if the server is no Redis
            if started and self.breaker.record_failure():
                log.warning("redis circuit opened", node=self.name, cause=type(error).__qualname__)
                self._options.on_breaker_change()
            return None
        self._record_success()
        return result

    @property
    def name(self) -> str:
        return name_of(self.address)

    async def retire(self) -> None:
        """Close once the commands that run or wait have ended."""
        self._options.on_breaker_change()  # it no longer counts
        try:
            for _ in range(self._options.connections):
                await self._connections.acquire()
        finally:
            await self.close()

    async def close(self) -> None:
        if self._asking is not None:
            await self._asking.close()
        # A connection whose last bytes the server does not accept is dropped with an error.
        with contextlib.suppress(RedisError, OSError):
            await self.client.aclose()

    def _record_success(self) -> None:
        if self.breaker.record_success():
            log.info("redis circuit closed", node=self.name)
            self._options.on_breaker_change()


def _connection_pool(url: str, options: NodeOptions, *, asking: bool) -> ConnectionPool:
    arguments: dict[str, Any] = {
        **parse_url(url),
        "connection_class": CONNECTION_CLASSES[urlsplit(url).scheme, asking],
        "lookup": HostLookup(address_of(url)[0]),
        "max_connections": options.connections + SPARE_CONNECTIONS,
        "socket_connect_timeout": options.connect_seconds,
        # `run` limits the time. With a timeout of its own, redis-py sends by asyncio.wait_for,
        # which up to Python 3.11 loses a cancellation that arrives as it completes: the command
        # would run on.
        "socket_timeout": None,
        "retry": Retry(NoBackoff(), 0),  # the breaker decides when to try again
        # RESP3 lets a server redirect us, and leaves used connections unchecked.
        "protocol": 2,
    }
    return ConnectionPool(**arguments)


def address_of(url: str) -> Address:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or DEFAULT_PORT


def name_of(address: Address) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def url_at(url: str, address: Address) -> str:
    """Return the URL with another address, but the same scheme, credentials and database."""
    parts = urlsplit(url)
    credentials, at, _ = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{credentials}{at}{name_of(address)}").geturl()


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
