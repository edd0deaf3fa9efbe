"""Circuit breakers: a service that fails repeatedly gets only one probe at a time for a while.

The breaker of a region must not open because of one caller's calls: AWS may fail for one account
only, and the busiest caller has the most failures.
"""

import time
from collections import Counter, OrderedDict
from collections.abc import Callable

import structlog

from gateway.telemetry.metrics import CIRCUIT_BREAKER_OPEN

log = structlog.get_logger()

REGION_FAILURES = 10
RESET_SECONDS = 2.0

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
        self._reset_seconds = reset_seconds
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
        self._probe_at = self._clock() + self._reset_seconds
        return True

    def record_success(self) -> bool:
        """Return whether this closes the breaker."""
        closes = self.tripped
        self._failures = 0
        return closes

    def record_failure(self) -> bool:
        """Return whether this opens the breaker."""
        self._failures += 1
        self._probe_at = self._clock() + self._reset_seconds
        return self._failures == self._threshold


class RegionCircuitBreaker:
    """Decides whether a call may be made for a caller in this region.

    Failures of one caller open a breaker for that caller; those of several open the region's.
    """

    def __init__(self, region: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.region = region
        self._clock = clock
        self._breaker = self._new_breaker()
        self._caller_breakers: OrderedDict[bytes, CircuitBreaker] = OrderedDict()
        self._caller_failures: Counter[bytes] = Counter()

    def open_for(self, caller: bytes) -> bool:
        own = self._caller_breakers.get(caller)
        return self._breaker.open or (own is not None and own.open)

    def allows(self, caller: bytes) -> bool:
        """Decide whether to make a call for the caller with this fingerprint."""
        own = self._caller_breakers.get(caller)
        if own is None or not own.tripped:
            return self._breaker.allows()
        # This caller's probe may fail for reasons of the caller, so another's may come first.
        return own.allows() and self._breaker.allows(delay=RESET_SECONDS)

    def record_failure(self, caller: bytes) -> None:
        """Record a call that failed through no fault of the caller."""
        own = self._caller_breakers.get(caller)
        if own is None:
            own = self._caller_breakers[caller] = self._new_breaker()
        self._caller_breakers.move_to_end(caller)
        if len(self._caller_breakers) > MAX_CALLERS:
            self._caller_breakers.popitem(last=False)
        own.record_failure()
        if self._breaker.tripped:
            self._breaker.record_failure()  # of the probe: the reset time starts again
        elif self._caller_failures[caller] < CALLER_FAILURES:
            self._caller_failures[caller] += 1
            if self._breaker.record_failure():
                CIRCUIT_BREAKER_OPEN.labels(self.region).set(1)
                log.warning("circuit opened", region=self.region, seconds=RESET_SECONDS)

    def record_success(self, caller: bytes) -> None:
        """Record any response that shows the region to work, errors of the caller included."""
        self._caller_breakers.pop(caller, None)
        self._caller_failures.clear()
        if self._breaker.record_success():
            CIRCUIT_BREAKER_OPEN.labels(self.region).set(0)
            log.info("circuit closed", region=self.region)

    def _new_breaker(self) -> CircuitBreaker:
        return CircuitBreaker(REGION_FAILURES, RESET_SECONDS, clock=self._clock)
