"""Circuit breakers: a service that fails repeatedly gets only one probe at a time for a while.

The breaker of a service must not open because of one caller's calls: AWS may fail for one account
only, and the busiest caller has the most failures.
"""

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from gateway.errors import (
    GatewayError,
    UpstreamInvalidResponseError,
    UpstreamTimeoutError,
    UpstreamUnavailableError,
)
from gateway.telemetry.metrics import CIRCUIT_BREAKER_OPEN
from gateway.upstream.errors import is_failure_behind_service
from gateway.upstream.resilience.callers import UNPROVED

log = structlog.get_logger()

SERVICE_FAILURES = 10
RESET_SECONDS = 2.0

UNRESPONSIVE_SECONDS = 2.0
"""A call that is cancelled after so long without a response counts as failed. Deadlines of requests
may be shorter than the time limits of calls."""

CALLER_FAILURES = 4
"""Consecutive failures that count for one caller, so that three must fail to open a breaker."""

MAX_CALLERS = 1000
"""Callers with a breaker of their own, because their latest calls failed; some 300 bytes each."""


class CircuitBreaker:
    """Opens after `failures` in a row, and then allows one call, the probe, per `reset_seconds`."""

    def __init__(
        self, failures: int, reset_seconds: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._threshold = failures
        self.reset_seconds = reset_seconds
        self._clock = clock
        self._failures = 0
        self._probe_at = 0.0

    @property
    def tripped(self) -> bool:
        """Open or half-open: no call has succeeded since it opened."""
        return self._failures >= self._threshold

    @property
    def open(self) -> bool:
        return self.tripped and self._clock() < self._probe_at

    def allows(self, *, delay: float = 0.0) -> bool:
        """Decide whether a call may be made; the first allowed after the reset is the probe.

        A `delay` in seconds leaves the probe to others for that much longer.
        """
        if not self.tripped:
            return True
        if self._clock() < self._probe_at + delay:
            return False
        self._probe_at = self._clock() + self.reset_seconds
        return True

    def record_success(self) -> bool:
        """Return whether this closes the breaker."""
        closes = self.tripped
        self._failures = 0
        return closes

    def record_failure(self) -> bool:
        """Return whether this opens the breaker."""
        self._failures += 1
        self._probe_at = self._clock() + self.reset_seconds
        return self._failures == self._threshold


class ObservedCircuitBreaker(CircuitBreaker):
    """A breaker that reports its state as that of the `target` in the metric and in the log."""

    def __init__(
        self,
        target: str,
        failures: int,
        reset_seconds: float,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(failures, reset_seconds, clock=clock)
        self.target = target

    def record_success(self) -> bool:
        closes = super().record_success()
        if closes:
            CIRCUIT_BREAKER_OPEN.labels(self.target).set(0)
            log.info("circuit closed", target=self.target)
        return closes

    def record_failure(self) -> bool:
        opens = super().record_failure()
        if opens:
            CIRCUIT_BREAKER_OPEN.labels(self.target).set(1)
            log.warning("circuit opened", target=self.target, seconds=self.reset_seconds)
        return opens


class ServiceCircuitBreaker:
    """Decides whether a call to a service may be made for a caller, known by their limit key.

    Failures of one caller open a breaker for that caller; those of several open the service's.
    The callers whom nothing proves count as one.
    """

    def __init__(self, target: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`target` is the service's name in the metric and in the log."""
        self._clock = clock
        self._breaker = ObservedCircuitBreaker(target, SERVICE_FAILURES, RESET_SECONDS, clock=clock)
        self._caller_breakers: OrderedDict[bytes, CircuitBreaker] = OrderedDict()
        self._caller_failures: Counter[bytes] = Counter()

    def open_for(self, caller: bytes) -> bool:
        own = self._caller_breakers.get(caller)
        return self._breaker.open or (own is not None and own.open)

    def allows(self, caller: bytes) -> bool:
        """Decide whether to make a call for the caller."""
        own = self._caller_breakers.get(caller)
        if own is not None and own.tripped:
            # This caller's probe may fail for reasons of the caller, so another's may come first.
            return own.allows() and self._breaker.allows(delay=RESET_SECONDS)
        # Nor may invented credentials, which say little about the service.
        return self._breaker.allows(delay=RESET_SECONDS if caller == UNPROVED else 0.0)

    @contextmanager
    def record_call(self, caller: Callable[[], bytes]) -> Iterator[None]:
        """Record the outcome of the call inside.

        `caller` returns the limit key when the call has ended: a call may prove its caller.
        """
        started = self._clock()
        try:
            yield
        except asyncio.CancelledError:
            if self._clock() - started >= UNRESPONSIVE_SECONDS:
                self.record_failure(caller())
            raise
        except (UpstreamTimeoutError, UpstreamUnavailableError) as error:
            if not is_failure_behind_service(error):
                self.record_failure(caller())
            raise
        except UpstreamInvalidResponseError:
            raise  # it may come from a proxy, so it says nothing about the service
        except GatewayError:
            self.record_success(caller())  # the service responds
            raise
        self.record_success(caller())

    def record_failure(self, caller: bytes) -> None:
        """Record a call that failed through no fault of the caller."""
        own = self._caller_breakers.get(caller)
        if own is None:
            own = self._caller_breakers[caller] = CircuitBreaker(
                SERVICE_FAILURES, RESET_SECONDS, clock=self._clock
            )
        self._caller_breakers.move_to_end(caller)
        if len(self._caller_breakers) > MAX_CALLERS:
            self._caller_breakers.popitem(last=False)
        own.record_failure()
        if self._breaker.tripped:
            self._breaker.record_failure()  # of the probe: the reset time starts again
        elif self._caller_failures[caller] < CALLER_FAILURES:
            self._caller_failures[caller] += 1
            self._breaker.record_failure()

    def record_success(self, caller: bytes) -> None:
        """Record any response that shows the service to work, errors of the caller included."""
        self._caller_breakers.pop(caller, None)
        if caller == UNPROVED and not self._breaker.tripped:
            return  # refusals of invented credentials must not hide the failures of others
        self._caller_failures.clear()
        self._breaker.record_success()
