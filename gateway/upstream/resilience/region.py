"""A region's breaker: it opens on how the region does, not on how one caller's calls end there.

AWS may fail one account's calls and no other's, and whoever asks most often has most failures.
"""

import time
from collections import Counter, OrderedDict
from collections.abc import Callable

import structlog

from gateway.telemetry.metrics import CIRCUIT_BREAKER_OPEN
from gateway.upstream.resilience.circuit_breaker import CircuitBreaker

log = structlog.get_logger()

FAILURES = 10
REST_SECONDS = 2.0
"""What failed FAILURES times in a row is left alone for so long, but for one probe."""

FAILURES_OF_ONE = 4
"""How many of a region's failures in a row may be one caller's: it takes three to open it."""

MAX_CALLERS = 1000
"""Whose calls have failed last, some 300 bytes each."""


class RegionCircuitBreaker:
    """Says who may be asked for: nobody while the region fails, nor a caller whose calls do.

    What fails for one caller alone is left alone for them; it takes several to leave the region
    alone for all.
    """

    def __init__(self, name: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self._clock = clock
        self._all = CircuitBreaker(FAILURES, REST_SECONDS, clock=clock)
        self._of_callers: OrderedDict[bytes, CircuitBreaker] = OrderedDict()
        self._row: Counter[bytes] = Counter()

    def open_for(self, caller: bytes) -> bool:
        """Say whether the caller's calls are not made now."""
        own = self._of_callers.get(caller)
        return self._all.open or (own is not None and own.open)

    def allows(self, caller: bytes) -> bool:
        """Say whether to make a call of the caller's; when a rest is over, one is the probe."""
        own = self._of_callers.get(caller)
        if own is None or not own.tripped:
            return self._all.allows()
        # Their probe would fail for reasons of their own: somebody else's may come first.
        return own.allows() and self._all.allows(patience=REST_SECONDS)

    def failed(self, caller: bytes) -> None:
        """Note that a call of the caller's failed, and not by what it asked."""
        own = self._of_callers.get(caller)
        if own is None:
            own = self._of_callers[caller] = CircuitBreaker(
                FAILURES, REST_SECONDS, clock=self._clock
            )
        self._of_callers.move_to_end(caller)
        if len(self._of_callers) > MAX_CALLERS:
            self._of_callers.popitem(last=False)
        own.failed()
        if self._all.tripped:
            self._all.failed()  # a probe: the rest begins anew
        elif self._row[caller] < FAILURES_OF_ONE:
            self._row[caller] += 1
            if self._all.failed():
                CIRCUIT_BREAKER_OPEN.labels(self.name).set(1)
                log.warning("circuit opened", region=self.name, seconds=REST_SECONDS)

    def works(self, caller: bytes) -> None:
        """Note that the region answers, whatever it says."""
        self._of_callers.pop(caller, None)
        self._row.clear()
        if self._all.succeeded():
            CIRCUIT_BREAKER_OPEN.labels(self.name).set(0)
            log.info("circuit closed", region=self.name)
