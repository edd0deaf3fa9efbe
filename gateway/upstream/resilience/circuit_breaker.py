"""A breaker: what has failed several times in a row is left alone for a while."""

import time
from collections.abc import Callable


class CircuitBreaker:
    """Opens after `failures` in a row; after `rest` seconds lets one try through at a time."""

    def __init__(
        self, failures: int, rest: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._allowed = failures
        self._rest = rest
        self._clock = clock
        self._failed = 0
        self._retry_at = 0.0

    @property
    def tripped(self) -> bool:
        """Whether the thing has failed so often, and not worked since."""
        return self._failed >= self._allowed

    @property
    def open(self) -> bool:
        """Whether the thing is left alone now."""
        return self.tripped and self._clock() < self._retry_at

    def allows(self, *, patience: float = 0.0) -> bool:
        """Say whether to try. When the rest is over, whoever asks first is the probe.

        Who has `patience` lets others be first for so many seconds more.
        """
        if not self.tripped:
            return True
        if self._clock() < self._retry_at + patience:
            return False
        self._retry_at = self._clock() + self._rest
        return True

    def succeeded(self) -> bool:
        """Note that it works; says whether that is news."""
        was_open = self.tripped
        self._failed = 0
        return was_open

    def failed(self) -> bool:
        """Note that it does not; says whether the breaker opens by this."""
        self._failed += 1
        self._retry_at = self._clock() + self._rest
        return self._failed == self._allowed
