"""Reads of the upstream, cached for a few seconds for the caller who made them."""

import math
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from typing import Any, TypeVar

import orjson
import structlog

from gateway.auth.credentials import Caller
from gateway.concurrency import SingleFlight
from gateway.errors import GatewayError, NotFoundError, UpstreamError
from gateway.telemetry.metrics import CACHE_LOOKUPS
from gateway.upstream.cache.memory import ResponseCache, Stored, Version
from gateway.upstream.client import UpstreamClient
from gateway.upstream.projection import Projection
from gateway.upstream.resilience.callers import RefusedCredentialsError
from gateway.upstream.resilience.client import CircuitOpenError
from gateway.upstream.resilience.rate_limit import RateLimitedError
from gateway.upstream.values import RequestCost, UpstreamRequest

log = structlog.get_logger()

T = TypeVar("T")

FROM_CACHE, FROM_FLIGHT, FROM_UPSTREAM = map(CACHE_LOOKUPS.labels, ("cache", "flight", "upstream"))

FORMAT = 6
"""Part of every cache key, so that a version with another format never reads these entries."""

NOT_CALLED = (RateLimitedError, CircuitOpenError, RefusedCredentialsError)
"""Errors without a call."""


class CachedClient:
    """Reads the upstream as a caller, through the cache and a single flight.

    A result lives for `cache_seconds` (0 disables the cache), and only its caller gets it. Only
    complete successes are cached, without what their operation's projection leaves out. For
    another `stale_seconds`, `fetch_stale` still finds a result.
    """

    def __init__(
        self,
        client: UpstreamClient,
        cache: ResponseCache,
        cache_seconds: float,
        projections: Mapping[str, Projection],
        *,
        stale_seconds: float = 0,
        origin: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`projections` has what is kept of the objects that each operation returns.

        `origin` separates the entries of gateways that share a cache but not an upstream.
        `clock` is the wall clock, which replicas share and which decides when credentials expire.
        """
        self._client = client
        self._cache = cache
        self._seconds = cache_seconds
        self.projections = projections
        # Versions that keep other members have entries of their own.
        kept = orjson.dumps(projections, default=sorted, option=orjson.OPT_SORT_KEYS)
        self._scope = (origin, sha256(kept).hexdigest())
        self._stale_seconds = stale_seconds if cache_seconds > 0 else 0
        self._clock = clock
        self._flights: SingleFlight[Any] = SingleFlight(clock=clock)

    async def cached(
        self, caller: Caller, request: UpstreamRequest[T], *, cost: RequestCost
    ) -> Stored[T] | None:
        """Return the result of a request if it is cached, and count it in `cost`."""
        found = await self._lookup(caller, request) if self._seconds > 0 else None
        # Clocks of replicas differ a little: an entry may seem to come from the future.
        if found is None or abs(self._clock() - found.stored_at) >= self._seconds:
            return None
        cost.cache_hits += 1
        FROM_CACHE.inc()
        return found

    async def fetch(
        self,
        caller: Caller,
        request: UpstreamRequest[T],
        *,
        cost: RequestCost,
        before_call: Callable[[], None],
        since: float = -math.inf,
    ) -> Stored[T]:
        """Return the result of a request that is not cached, cache it, and count it in `cost`.

        A call for the same request that is in progress is joined, unless it began before `since`,
        in seconds since the epoch.
        `before_call` runs before this request starts an upstream call, and may raise to prevent
        it. Raises a GatewayError.
        """
        key = self._key(caller, request)
        called = False

        def start() -> Coroutine[Any, Any, Stored[T]]:
            nonlocal called
            before_call()
            called = True
            return self._call(caller, request, key, cost)

        stored: Stored[T] = await self._flights.run(key, start, since=since)
        cost.cache_hits += not called
        (FROM_UPSTREAM if called else FROM_FLIGHT).inc()
        return stored

    async def fetch_stale(
        self, caller: Caller, request: UpstreamRequest[T]
    ) -> tuple[Stored[T], float] | None:
        """Return an expired result and its age in seconds, if the cache still has one."""
        found = await self._lookup(caller, request) if self._stale_seconds else None
        return None if found is None else (found, self._clock() - found.stored_at)

    async def _call(
        self, caller: Caller, request: UpstreamRequest[T], key: str, cost: RequestCost
    ) -> Stored[T]:
        asked_at = self._clock()
        try:
            with _log_failure(request):
                result = await self._read(caller, request, cost)
        except NotFoundError:
            if self._seconds > 0 and self._flights.is_current(key):
                await self._cache.delete(caller, key)  # it is gone
            raise
        now = self._clock()
        credentials_expire_at = math.inf if caller.expires_at is None else caller.expires_at
        version = Version(min(now + self._seconds, credentials_expire_at))
        stored = Stored(result, now, version, asked_at)
        # No longer than the caller's credentials are valid.
        seconds = min(self._seconds + self._stale_seconds, credentials_expire_at - now)
        # A call that a fresh one has replaced must not overwrite the newer result.
        if seconds > 0 and self._flights.is_current(key):
            await self._cache.set(caller, key, request, stored, seconds)
        return stored

    async def _read(self, caller: Caller, request: UpstreamRequest[T], cost: RequestCost) -> T:
        # First: a request whose time is over reports its cost before its calls have ended.
        cost.upstream_calls += 1
        try:
            response = await self._client.call(
                caller, request.region, request.operation, dict(request.parameters)
            )
        except GatewayError as error:
            if isinstance(error, NOT_CALLED) and not error.retries:
                cost.upstream_calls -= 1
            cost.retries += error.retries
            raise
        cost.record_response(response.get("ResponseMetadata", {}))
        return request.project(request.parse(response), self.projections[request.operation])

    async def _lookup(self, caller: Caller, request: UpstreamRequest[T]) -> Stored[T] | None:
        return await self._cache.get(caller, self._key(caller, request), request)

    def _key(self, caller: Caller, request: UpstreamRequest[Any]) -> str:
        return cache_key(
            caller, [*self._scope, request.operation, request.region, request.parameters]
        )


def cache_key(caller: Caller, request: list[Any]) -> str:
    """Return the key of a request, which no two callers share.

    JSON distinguishes the parts of the request, and null from "" and from an absent part.
    """
    return sha256(caller.fingerprint + orjson.dumps([FORMAT, request])).hexdigest()


@contextmanager
def _log_failure(request: UpstreamRequest[Any]) -> Iterator[None]:
    """Log failures of the upstream, but not errors of callers, which operators cannot fix."""
    try:
        yield
    except NOT_CALLED:
        raise  # a flood of requests, or of polls, must not flood the log
    except UpstreamError as error:
        cause = error.__cause__
        log.warning(
            "upstream failed",
            operation=request.operation,
            region=request.region,
            code=error.code,
            reason=error.message,
            cause=cause and type(cause).__qualname__,
            aws=error.aws and error.aws.extensions(),
        )
        raise
