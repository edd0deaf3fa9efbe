"""Calls to Clean Rooms ML within the caller's rate limit, with circuit breakers and retries.

Source: AWS SDKs and Tools Reference Guide, "Retry behavior" (standard mode), with the figures
that AWS announced for 2026. botocore's own retries are off: they have one budget per client, and
one caller's throttling would spend what the failures of all callers may need.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Any

import structlog

from gateway.auth.credentials import Caller
from gateway.concurrency import KeyedSemaphore
from gateway.cpu_scheduler import take_turn
from gateway.errors import (
    GatewayError,
    InternalError,
    ThrottledError,
    UnauthenticatedError,
    UpstreamError,
    UpstreamTimeoutError,
    UpstreamUnavailableError,
)
from gateway.telemetry.metrics import OK, UPSTREAM_CALLS, UPSTREAM_SECONDS
from gateway.telemetry.tracing import CLEAN_ROOMS_ML, end_call, start_call
from gateway.upstream.client import UpstreamClient
from gateway.upstream.errors import proves_credentials
from gateway.upstream.resilience.callers import UNPROVED, ProvedCallers, RefusedCredentials
from gateway.upstream.resilience.circuit_breaker import ServiceCircuitBreaker
from gateway.upstream.resilience.rate_limit import CallerRateLimiter

log = structlog.get_logger()

CANCELLED = "CANCELLED"
"""The outcome of a call that was cancelled because no request waited for it."""

CALLER_SLOTS = 25
"""Concurrent calls of one caller in a region: a quarter of its connections. All callers whose
credentials AWS has not accepted have as many together, and each of them one."""

ATTEMPTS = 3
RETRIED = (ThrottledError, UpstreamTimeoutError, UpstreamUnavailableError)

RETRY_BUDGET = 500
FAILURE_COST = 14
"""So a failing upstream gets no more retries after some 35 without a success."""
THROTTLE_COST = 5

FAILURE_BASE_SECONDS = 0.05
THROTTLE_BASE_SECONDS = 1.0
MAX_BACKOFF_SECONDS = 20.0

MAX_HINT_SECONDS = 5.0
"""If AWS asks for a longer wait than this, the caller gets the error at once."""

CIRCUIT_OPEN = (
    "Calls to Clean Rooms ML in this region have failed repeatedly and are paused for a moment "
    "(circuit breaker open). Try again later."
)


class CircuitOpenError(UpstreamUnavailableError):
    """No call was made, because calls to the service, or of this caller to it, keep failing."""


class RetryBudget:
    """Tokens that retries spend and successes return, up to RETRY_BUDGET."""

    def __init__(self, cost: int) -> None:
        self._cost = cost
        self._left = RETRY_BUDGET

    def spend(self) -> bool:
        """Take the cost of a retry; return False if fewer tokens are left."""
        if self._left < self._cost:
            return False
        self._left -= self._cost
        return True

    def record_success(self, *, retried: bool) -> None:
        """Return the cost of the successful retry, or one token for a first attempt."""
        self._left = min(RETRY_BUDGET, self._left + (self._cost if retried else 1))


class Retries:
    """The retries of all calls of the process. Throttling has a budget of its own."""

    def __init__(self, jitter: Callable[[], float]) -> None:
        """`jitter` returns a random number from 0 to 1."""
        self._jitter = jitter
        self._failures = RetryBudget(FAILURE_COST)
        self._throttles = RetryBudget(THROTTLE_COST)

    def delay_after(self, error: UpstreamError, retries: int) -> float | None:
        """Return the seconds before the next attempt; None if there should be none."""
        if retries + 1 >= ATTEMPTS:
            return None
        hint, base = 0.0, FAILURE_BASE_SECONDS
        if isinstance(error, ThrottledError):
            hint, base = error.retry_after or 0.0, THROTTLE_BASE_SECONDS
        if hint > MAX_HINT_SECONDS or not self._budget_for(error).spend():
            return None
        backoff: float = min(base * 2**retries, MAX_BACKOFF_SECONDS)
        return max(hint, self._jitter() * backoff)

    def record_success(self, *, after: UpstreamError | None) -> None:
        """Record a success: at the first attempt, or as the retry after an error."""
        spent = after and self._budget_for(after)
        for budget in (self._failures, self._throttles):
            budget.record_success(retried=budget is spent)

    def _budget_for(self, error: UpstreamError) -> RetryBudget:
        return self._throttles if isinstance(error, ThrottledError) else self._failures


class ResilientClient:
    """The UpstreamClient of the process, over one that makes single attempts."""

    def __init__(
        self,
        client: UpstreamClient,
        rate_limiter: CallerRateLimiter,
        proved_callers: ProvedCallers,
        *,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`jitter` returns a random number from 0 to 1."""
        self._client = client
        self._rate_limiter = rate_limiter
        self._proved_callers = proved_callers
        self._refused_credentials = RefusedCredentials()
        self._sleep = sleep
        self._retries = Retries(jitter)
        self._slots: KeyedSemaphore[tuple[bytes, str]] = KeyedSemaphore(CALLER_SLOTS)
        self._unproved_slots: KeyedSemaphore[bytes] = KeyedSemaphore(1)
        self._breakers: dict[str, ServiceCircuitBreaker] = {}

    async def call(
        self, caller: Caller, region: str, operation: str, parameters: Mapping[str, Any]
    ) -> dict[str, Any]:
        async with self._slot(caller, region):
            response = await self._call_with_retries(caller, region, operation, parameters)
        # Processing a page takes a millisecond, and many pages may arrive at once.
        await take_turn()
        return response

    @asynccontextmanager
    async def _slot(self, caller: Caller, region: str) -> AsyncIterator[None]:
        """Hold one of the slots for the caller's calls in the region, and count a call.

        Raises RateLimitedError, or RefusedCredentialsError.
        """
        self._refused_credentials.check(caller, region)
        if self._limit_key(caller) == UNPROVED:
            async with self._unproved_slots.acquire(caller.fingerprint):
                # The call that this one may have waited for has settled both questions.
                self._refused_credentials.check(caller, region)
                if self._limit_key(caller) == UNPROVED:
                    await self._rate_limiter.acquire(UNPROVED)
                    async with self._slots.acquire((UNPROVED, region)):
                        yield
                    return
        await self._rate_limiter.acquire(caller.limit_key)
        async with self._slots.acquire((caller.limit_key, region)):
            yield

    def _limit_key(self, caller: Caller) -> bytes:
        return self._proved_callers.limit_key(caller)

    async def _call_with_retries(
        self, caller: Caller, region: str, operation: str, parameters: Mapping[str, Any]
    ) -> dict[str, Any]:
        breaker = self._breakers.get(region)
        if breaker is None:
            breaker = self._breakers[region] = ServiceCircuitBreaker(region)
        retried: UpstreamError | None = None
        for retries in range(ATTEMPTS):
            try:
                response = await self._attempt(caller, region, breaker, operation, parameters)
            except GatewayError as error:
                error.retries = retries
                if not isinstance(error, RETRIED):
                    raise
                if breaker.open_for(self._limit_key(caller)):
                    raise  # without spending tokens, which other regions may need
                delay = self._retries.delay_after(error, retries)
                if delay is None:
                    raise
                await self._sleep(delay)
                retried = error
            else:
                self._retries.record_success(after=retried)
                response.setdefault("ResponseMetadata", {})["RetryAttempts"] = retries
                return response
        raise AssertionError("the last attempt has no delay after it")

    async def _attempt(
        self,
        caller: Caller,
        region: str,
        breaker: ServiceCircuitBreaker,
        operation: str,
        parameters: Mapping[str, Any],
    ) -> dict[str, Any]:
        if not breaker.allows(self._limit_key(caller)):
            raise CircuitOpenError(CIRCUIT_OPEN)
        with breaker.record_call(lambda: self._limit_key(caller)):
            try:
                with observe_call(operation, caller.digest, region) as observation:
                    response = await self._client.call(caller, region, operation, parameters)
                    observation.record_response(response)
            except GatewayError as error:
                self._record_rejection(caller, region, error)
                raise
            self._proved_callers.add(caller)
            return response

    def _record_rejection(self, caller: Caller, region: str, error: GatewayError) -> None:
        if isinstance(error, UnauthenticatedError):
            self._refused_credentials.add(caller, region, error)
            self._proved_callers.discard(caller)
        elif proves_credentials(error):
            self._proved_callers.add(caller)


_are_repeated: ContextVar[bool] = ContextVar("whether calls are repeated ones", default=False)


@contextmanager
def repeated_calls() -> Iterator[None]:
    """Log the successful calls of the block at `debug`: they are made again every few seconds."""
    token = _are_repeated.set(True)
    try:
        yield
    finally:
        _are_repeated.reset(token)


class CallObservation:
    def __init__(self) -> None:
        self.outcome = CANCELLED
        self.aws_request_id: str | None = None

    def record_response(self, response: Mapping[str, Any]) -> None:
        self.outcome = OK
        self.aws_request_id = response.get("ResponseMetadata", {}).get("RequestId")

    def record_error(self, error: Exception) -> None:
        self.outcome = InternalError.code
        if isinstance(error, GatewayError):
            self.outcome = error.code
            self.aws_request_id = error.aws.request_id if error.aws else None


@contextmanager
def observe_call(
    operation: str, caller: str, region: str, *, service: str = CLEAN_ROOMS_ML
) -> Iterator[CallObservation]:
    """Observe the attempt inside, made for the caller with this digest."""
    observation = CallObservation()
    span = start_call(service, operation, region)
    started = time.perf_counter()
    try:
        yield observation
    except Exception as error:
        observation.record_error(error)
        raise
    finally:
        seconds = time.perf_counter() - started
        outcome, aws_request_id = observation.outcome, observation.aws_request_id
        UPSTREAM_CALLS.labels(operation, region, outcome).inc()
        UPSTREAM_SECONDS.labels(operation, region).observe(seconds)
        write = log.debug if outcome == OK and _are_repeated.get() else log.info
        write(
            "upstream call",
            operation=operation,
            region=region,
            caller=caller,
            outcome=outcome,
            aws_request_id=aws_request_id,
            ms=round(seconds * 1000, 1),
        )
        if span is not None:
            failed = outcome not in {OK, CANCELLED}
            end_call(span, outcome, aws_request_id, failed=failed)
