"""The open subscriptions of a process: how many there may be, and when the gateway ends them."""

import asyncio
from collections import Counter

from gateway.errors import OverloadedError
from gateway.telemetry.metrics import REJECTIONS, SUBSCRIPTIONS
from gateway.upstream.resilience.callers import UNPROVED, LimitedCaller, ProvedCallers

MAX_SECONDS = 3600.0
"""How long a subscription lasts at most: permissions that a caller has lost end with it."""

PER_CALLER = 20
CALLER_FRACTION = 50
"""One caller may have PER_CALLER subscriptions, or this fraction of all if that is more."""

UNPROVED_FRACTION = 4
"""All callers together whose credentials AWS has not accepted may have this fraction of all.

They have subscriptions only while AWS is slow, or throttles their first call. Then many callers may
be new at once, after a restart.
"""

TOO_OLD = "The subscription has lasted an hour. Subscribe again."
STOPPING = "This replica of the gateway is stopping. Subscribe again."


class OpenSubscription:
    """One subscription, and what limits know of its caller, but no credentials.

    `ended` has the reason once the gateway ends it.
    """

    __slots__ = ("_timers", "ended", "limit_key", "verified")

    def __init__(self, caller: LimitedCaller) -> None:
        self.limit_key, self.verified = caller.limit_key, caller.verified
        loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[str] = loop.create_future()
        self._timers = [loop.call_later(MAX_SECONDS, self.end, TOO_OLD)]

    def end_in(self, seconds: float, reason: str) -> None:
        loop = asyncio.get_running_loop()
        self._timers.append(loop.call_later(seconds, self.end, reason))

    def end(self, reason: str) -> None:
        if not self.ended.done():
            self.ended.set_result(reason)

    def close(self) -> None:
        for timer in self._timers:
            timer.cancel()


class Subscriptions:
    """Admits subscriptions up to a number, in total and of each caller."""

    def __init__(
        self, maximum: int, proved_callers: ProvedCallers, *, most: int | None = None
    ) -> None:
        """`most` is how many there may be whatever the maximum is, which decides on the parts."""
        self._max = maximum if most is None else min(maximum, most)
        self._max_per_caller = max(PER_CALLER, maximum // CALLER_FRACTION)
        self._max_unproved = max(1, self._max // UNPROVED_FRACTION)
        self._proved_callers = proved_callers
        self._open: dict[OpenSubscription, None] = {}
        self._unproved: set[OpenSubscription] = set()
        """Those whose caller was not proved when last asked."""
        self._by_caller: Counter[bytes] = Counter()
        self._stops_at: float | None = None

    def check(self, caller: LimitedCaller) -> None:
        """Raise OverloadedError if no other subscription of a caller may be opened."""
        if self._by_caller[caller.limit_key] >= self._max_per_caller:
            REJECTIONS.labels("caller_subscriptions").inc()
            raise OverloadedError(
                "Too many subscriptions of this caller. Accepted: "
                f"{self._max_per_caller}. Try again later."
            )
        if len(self._open) >= self._max:
            REJECTIONS.labels("subscriptions").inc()
            raise OverloadedError("Too many subscriptions. Try again later.")

    def open(self, caller: LimitedCaller) -> OpenSubscription:
        """Admit a subscription, which must be closed, once AWS was asked for its first state.

        Raises OverloadedError if there are too many, also of callers whom AWS has not accepted.
        """
        self.check(caller)
        proved = self._is_proved(caller)
        if not proved and self._count_unproved() >= self._max_unproved:
            REJECTIONS.labels("unproved_subscriptions").inc()
            raise OverloadedError(
                "Too many subscriptions of callers whom AWS has not accepted recently. Try again "
                "later."
            )
        subscription = OpenSubscription(caller)
        self._open[subscription] = None
        if not proved:
            self._unproved.add(subscription)
        self._by_caller[caller.limit_key] += 1
        SUBSCRIPTIONS.inc()
        if self._stops_at is not None:
            now = asyncio.get_running_loop().time()
            subscription.end_in(max(0.0, self._stops_at - now), STOPPING)
        return subscription

    def close(self, subscription: OpenSubscription) -> None:
        del self._open[subscription]
        self._unproved.discard(subscription)
        key = subscription.limit_key
        self._by_caller[key] -= 1
        if not self._by_caller[key]:
            del self._by_caller[key]
        SUBSCRIPTIONS.dec()
        subscription.close()

    @property
    def draining(self) -> bool:
        return self._stops_at is not None

    def drain(self, seconds: float) -> None:
        """End all subscriptions within some seconds, and those that are opened later with the last.

        One after the other, so that their clients do not all subscribe elsewhere at once.
        """
        self._stops_at = asyncio.get_running_loop().time() + seconds
        for number, subscription in enumerate(self._open, 1):
            subscription.end_in(seconds * number / len(self._open), STOPPING)

    def end_all(self) -> None:
        """End all subscriptions now, and those that are opened later at once."""
        self._stops_at = asyncio.get_running_loop().time()
        for subscription in self._open:
            subscription.end(STOPPING)

    def _is_proved(self, caller: LimitedCaller) -> bool:
        return self._proved_callers.limit_key(caller) != UNPROVED

    def _count_unproved(self) -> int:
        # AWS may have accepted a call of theirs since.
        self._unproved = {each for each in self._unproved if not self._is_proved(each)}
        return len(self._unproved)
