"""Retries: whether, and after which pause, a failed call is made again.

Source: AWS SDKs and Tools Reference Guide, "Retry behavior" (standard mode), with the figures
that AWS announced for 2026. It is not botocore's own because that has one budget per client
and lets one caller's throttles spend what all callers' failures may need.
"""

from collections.abc import Callable

from gateway.errors import ThrottledError, UpstreamError

ATTEMPTS = 3

BUDGET = 500
FAILURE_COST = 14
THROTTLE_COST = 5
"""A failing upstream stops being asked twice after some 35 retries that no success pays for."""

FAILURE_BASE_SECONDS = 0.05
THROTTLE_BASE_SECONDS = 1.0
MAX_PAUSE_SECONDS = 20.0

MAX_HINT_SECONDS = 5.0
"""A caller who is to wait longer than this is told so at once."""


class RetryBudget:
    """Points that retries cost and successes bring, up to BUDGET."""

    def __init__(self, cost: int) -> None:
        self._cost = cost
        self._left = BUDGET

    def spend(self) -> bool:
        """Take the cost of a retry; says whether it was there."""
        if self._left < self._cost:
            return False
        self._left -= self._cost
        return True

    def succeeded(self, *, retried: bool) -> None:
        """Give back what the retry that succeeded had cost, or a point for a first attempt."""
        self._left = min(BUDGET, self._left + (self._cost if retried else 1))


class Retries:
    """The retries of all calls of the process. One caller's throttles have a budget apart."""

    def __init__(self, jitter: Callable[[], float]) -> None:
        """`jitter` draws from 0 to 1."""
        self._jitter = jitter
        self._failures = RetryBudget(FAILURE_COST)
        self._throttles = RetryBudget(THROTTLE_COST)

    def pause_after(self, error: UpstreamError, retries: int) -> float | None:
        """Return the seconds until the next attempt; None if this failure, after so many, is it."""
        if retries + 1 >= ATTEMPTS:
            return None
        hint, base = 0.0, FAILURE_BASE_SECONDS
        if isinstance(error, ThrottledError):
            hint, base = error.retry_after or 0.0, THROTTLE_BASE_SECONDS
        if hint > MAX_HINT_SECONDS or not self._budget_for(error).spend():
            return None
        backoff: float = min(base * 2**retries, MAX_PAUSE_SECONDS)
        return max(hint, self._jitter() * backoff)

    def succeeded(self, after: UpstreamError | None) -> None:
        """Note that a call succeeded, at once or as a retry after this failure."""
        paid = after and self._budget_for(after)
        for budget in (self._failures, self._throttles):
            budget.succeeded(retried=budget is paid)

    def _budget_for(self, error: UpstreamError) -> RetryBudget:
        return self._throttles if isinstance(error, ThrottledError) else self._failures
