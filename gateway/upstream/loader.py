"""Reads for one request: each page and object once, within call budgets and a deadline."""

import asyncio
import math
from collections.abc import Callable, Coroutine, Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, NamedTuple, TypeVar

from gateway.auth.credentials import Caller
from gateway.errors import (
    GatewayError,
    LimitExceededError,
    ThrottledError,
    UnauthenticatedError,
    UpstreamTimeoutError,
    UpstreamUnavailableError,
)
from gateway.settings import variable
from gateway.telemetry.metrics import CACHE_LOOKUPS, REJECTIONS
from gateway.upstream.cache.cached_client import CachedClient
from gateway.upstream.cache.memory import Stored, Version
from gateway.upstream.projection import Projection
from gateway.upstream.values import (
    FRESH,
    Item,
    ItemRequest,
    Page,
    PageRequest,
    RequestCost,
    UpstreamRequest,
)

T = TypeVar("T")

CONCURRENT_ITEMS = 16

MAX_HELD_PAGES = 32
"""Pages that a request holds, some 4 MB. Those after them are read again if another field of the
request needs them."""

NO_RESULT = Version(expires_at=0)
"""Stands for a read that has failed: the next one may not."""

DEADLINE_EXCEEDED = "The request exceeded its time limit. Request fewer items or fields."


class CallLimit(NamedTuple):
    """A limit on the upstream calls of an operation, in the words of its errors."""

    setting: str
    calls: str
    remedy: str

    @property
    def name(self) -> str:
        """Its name in metrics."""
        return self.setting.removeprefix("max_")

    def exceeded(self, verb: str, needed: str, limit: int) -> str:
        """Return the message of an operation that "needs" or "may need" so many calls."""
        return (
            f"The operation {verb} {needed} upstream calls for {self.calls}. Accepted: up to "
            f"{limit} ({variable(self.setting)}). {self.remedy}"
        )


PAGE_CALLS = CallLimit(
    "max_upstream_calls",
    "pages of lists",
    "Request fewer rows, or show fewer lists, orders and counts at once.",
)
DETAIL_CALLS = CallLimit(
    "max_detail_calls",
    "single objects and nested lists",
    "Request fewer rows, or fewer details, links and nested lists of each.",
)


class BudgetSpentError(LimitExceededError):
    """The operation has used up one of its call budgets."""


class DeadlineError(UpstreamTimeoutError):
    """The request's own deadline has passed."""


class CallBudget:
    """The upstream calls that an operation may still make. Cache hits are free."""

    def __init__(self, calls: int, limit: CallLimit) -> None:
        """Allow this number of calls."""
        self._left = calls
        self._limit = limit.name
        self._message = limit.exceeded("needs", f"more than {calls}", calls)

    def spend(self) -> None:
        """Take one call; raises BudgetSpentError if none is left."""
        if self._left <= 0:
            REJECTIONS.labels(self._limit).inc()
            raise BudgetSpentError(self._message)
        self._left -= 1


class RequestLoader:
    """Reads the upstream for one request of one caller, and lives as long as the request.

    A repeated read returns the same result, so that two places in a response do not disagree.
    """

    def __init__(
        self,
        client: CachedClient,
        caller: Caller,
        *,
        fresh: bool,
        deadline: float,
        page_budget: CallBudget,
        item_budget: CallBudget,
    ) -> None:
        """`deadline` is a time of the event loop's clock."""
        self._client = client
        self.caller = caller
        self._since = FRESH if fresh else -math.inf
        """Results that were asked for before are not used. In seconds since the epoch."""
        self._deadline = deadline
        self._page_budget = page_budget
        self._item_budget = item_budget
        self.cost = RequestCost()
        self.stale: dict[UpstreamRequest[Any], float] = {}
        """Expired results that were used because the upstream failed, and their age in seconds."""
        self.versions: set[Version] = set()
        """Of all results that were used, NO_RESULT included."""
        self._results: dict[UpstreamRequest[Any], Any] = {}
        self._pages = 0
        self._pending: dict[UpstreamRequest[Any], asyncio.Future[Any]] = {}
        """What is being read, and will be in `_results`."""
        self._slots = asyncio.Semaphore(CONCURRENT_ITEMS)
        self._rejections: dict[object, GatewayError] = {}
        """Errors about the caller, by region or by region and operation."""
        self._first_seen: dict[str, Item] = {}
        self._selected: AbstractSet[str] | None = None
        self._projections: dict[str, Projection] = {}

    def select(self, names: AbstractSet[str]) -> None:
        """Keep only the members with these names, at any depth, of the objects to be loaded."""
        self._selected = names

    def begin_at(
        self,
        moment: float,
        results: Mapping[UpstreamRequest[Any], Stored[Any]],
        rows: Mapping[str, Item],
    ) -> None:
        """Start from what was read until a moment, and use nothing else that was asked for before.

        `rows` are those of `first_seen`. The moment is in seconds since the epoch.
        """
        self._since = moment
        for request, stored in results.items():
            self._hold(request, stored)
        self._first_seen.update(rows)

    async def page(self, request: PageRequest, *, per_row: bool = False) -> Page:
        """Return a page. One that is fetched per row counts toward the budget of objects.

        Raises BudgetSpentError, DeadlineError, or the upstream's error.
        """
        return await self._load(request, self._fetch_detail if per_row else self._fetch_page)

    async def item(self, request: ItemRequest) -> Item:
        """Return an object; raises as `page` does. At most CONCURRENT_ITEMS run at a time."""
        return await self._load(request, self._fetch_detail)

    def first_seen(self, key: str, item: Item) -> Item:
        """Return the item first seen under the key, which is `item` itself if there was none.

        One response shows an object in one state only (Relay: Global Object Identification).
        """
        return self._first_seen.setdefault(key, item)

    def first_seen_all(self, keys: Iterable[str], items: Iterable[Item]) -> list[Item]:
        """Do for each key and item as `first_seen` does."""
        return list(map(self._first_seen.setdefault, keys, items))

    async def _load(
        self,
        request: UpstreamRequest[T],
        fetch: Callable[[UpstreamRequest[T]], Coroutine[Any, Any, Stored[T]]],
    ) -> T:
        held: T | None = self._results.get(request)
        if held is not None:
            return held
        if self._since != FRESH:
            # Most requests find everything here, without a task for each.
            cached = await self._client.cached(self.caller, request, cost=self.cost)
            if cached is not None and cached.asked_at >= self._since:
                return self._hold(request, cached)
        try:
            return await self._fetch_or_stale(request, fetch)
        except BaseException:
            self.versions.add(NO_RESULT)
            raise

    async def _fetch_or_stale(
        self,
        request: UpstreamRequest[T],
        fetch: Callable[[UpstreamRequest[T]], Coroutine[Any, Any, Stored[T]]],
    ) -> T:
        try:
            return await self._fetch_in_time(request, fetch)
        except (UpstreamTimeoutError, UpstreamUnavailableError):
            # Not an error of the caller, who has lost no permission: older data may be served.
            expired = await self._client.fetch_stale(self.caller, request)
            if expired is None or expired[0].asked_at < self._since:
                raise
            stored, self.stale[request] = expired
            CACHE_LOOKUPS.labels("stale").inc()
            return self._hold(request, stored)

    async def _fetch_in_time(
        self,
        request: UpstreamRequest[T],
        fetch: Callable[[UpstreamRequest[T]], Coroutine[Any, Any, Stored[T]]],
    ) -> T:
        if asyncio.get_running_loop().time() >= self._deadline:
            raise DeadlineError(DEADLINE_EXCEEDED)
        try:
            async with asyncio.timeout_at(self._deadline):
                return await self._fetch_once(request, fetch)
        except TimeoutError as error:
            raise DeadlineError(DEADLINE_EXCEEDED) from error

    async def _fetch_once(
        self,
        request: UpstreamRequest[T],
        fetch: Callable[[UpstreamRequest[T]], Coroutine[Any, Any, Stored[T]]],
    ) -> T:
        """Return what another field is reading, or read it.

        A field that reads may be cancelled: one of those that wait for it then reads again.
        """
        while (pending := self._pending.get(request)) is not None:
            await asyncio.wait([pending])
            if not pending.cancelled():
                shared: T = pending.result()
                return shared
        # Most requests have one reader, and a task as in SingleFlight would cost them more.
        pending = self._pending[request] = asyncio.get_running_loop().create_future()
        try:
            result = self._hold(request, await fetch(request))
        except Exception as error:
            pending.set_exception(error)
            pending.exception()  # marks it as retrieved, even if no other field waits
            raise
        else:
            pending.set_result(result)
            return result
        finally:
            pending.cancel()  # unless it has a result
            del self._pending[request]

    def _hold(self, request: UpstreamRequest[T], stored: Stored[T]) -> T:
        """Keep a result for the rest of the request; return the one that is kept already if any.

        Pages beyond MAX_HELD_PAGES are not kept.
        """
        held: T | None = self._results.get(request)
        if held is not None:
            return held
        self.versions.add(stored.version)
        if request.is_list:
            if self._pages >= MAX_HELD_PAGES:
                return stored.value
            self._pages += 1
        self._results[request] = result = self._keep(request, stored.value)
        return result

    async def _fetch_page(self, request: UpstreamRequest[T]) -> Stored[T]:
        return await self._fetch(request, self._page_budget)

    async def _fetch_detail(self, request: UpstreamRequest[T]) -> Stored[T]:
        async with self._slots:
            return await self._fetch(request, self._item_budget)

    def _keep(self, request: UpstreamRequest[T], result: T) -> T:
        """Return what is kept of a result: of an object, the selected members."""
        if self._selected is None or request.is_list:
            return result
        projection = self._projections.get(request.operation)
        if projection is None:
            whole = self._client.projections[request.operation]
            projection = whole.restricted_to(self._selected)
            self._projections[request.operation] = projection
        return request.project(result, projection)

    async def _fetch(self, request: UpstreamRequest[T], budget: CallBudget) -> Stored[T]:
        region, operation = request.region, request.operation

        def before_call() -> None:
            for scope in (region, (region, operation)):
                if rejection := self._rejections.get(scope):
                    raise rejection.with_traceback(None)  # it would grow with each use
            budget.spend()

        try:
            return await self._client.fetch(
                self.caller,
                request,
                cost=self.cost,
                before_call=before_call,
                since=self._since,
            )
        except UnauthenticatedError as error:
            # It concerns the caller, not this object: every other call would get it too.
            self._rejections[region] = error
            raise
        except ThrottledError as error:
            self._rejections[region, operation] = error  # AWS throttles by operation
            raise
