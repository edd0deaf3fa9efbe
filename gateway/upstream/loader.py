"""What one request reads: each page and each object once, within its budgets and its time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from gateway.auth.credentials import Caller
from gateway.concurrency import SingleFlight
from gateway.errors import (
    GatewayError,
    LimitExceededError,
    ThrottledError,
    UnauthenticatedError,
    UpstreamTimeoutError,
    UpstreamUnavailableError,
)
from gateway.telemetry.metrics import CACHE_LOOKUPS
from gateway.upstream.cache.cached_client import CachedClient, FetchOptions
from gateway.upstream.cost import Cost
from gateway.upstream.values import Item, ItemRequest, Page, PageRequest

T = TypeVar("T")
R = TypeVar("R", PageRequest, ItemRequest)

CONCURRENT_ITEMS = 16

TOOK_LONGER = "The request took longer than it may. Ask for less at once."


class BudgetSpentError(LimitExceededError):
    """The operation has made all the upstream calls it may."""


class DeadlineError(UpstreamTimeoutError):
    """The request's own time is over."""


class CallBudget:
    """How many upstream calls an operation may still make. What the cache answers is free."""

    def __init__(self, calls: int, setting: str) -> None:
        self._left = calls
        self._message = (
            f"The operation needs more than {calls} upstream calls ({setting}). "
            "Ask for less at once."
        )

    def spend(self) -> None:
        """Take one call; raises BudgetSpentError when none is left."""
        if self._left <= 0:
            raise BudgetSpentError(self._message)
        self._left -= 1


class RequestLoader:
    """Reads the upstream for one request of one caller. Lives as long as the request.

    Whatever is read twice in a request is the same: rows shown in two places never disagree.
    """

    def __init__(
        self,
        answers: CachedClient,
        caller: Caller,
        *,
        fresh: bool,
        deadline: float,
        page_budget: CallBudget,
        item_budget: CallBudget,
    ) -> None:
        """`deadline` is a time of the event loop's clock."""
        self._answers = answers
        self._caller = caller
        self._fresh = fresh
        self._deadline = deadline
        self._page_budget = page_budget
        self._item_budget = item_budget
        self.cost = Cost()
        self.stale: dict[PageRequest | ItemRequest, float] = {}
        """What was answered past its time because the upstream failed, and its age in seconds."""
        self._slots = asyncio.Semaphore(CONCURRENT_ITEMS)
        self._items: dict[ItemRequest, Item] = {}
        self._flights: SingleFlight[Any] = SingleFlight()
        self._pages: dict[PageRequest, Page] = {}
        self._seen: dict[str, Item] = {}
        self._refused: GatewayError | None = None

    async def page(self, request: PageRequest, *, per_row: bool = False) -> Page:
        """Return a page; one that is asked for once per row counts as an object.

        Raises BudgetSpentError, DeadlineError, or what the upstream gave cause for.
        """
        page = self._pages.get(request)
        if page is None:
            ask = self._fetch_nested_page if per_row else self._ask_page
            page = await self._read(request, ask, self._answers.stale_page)
            self._pages[request] = page
        return page

    async def item(self, request: ItemRequest) -> Item:
        """Return an object; raises as `page` does. At most CONCURRENT_ITEMS at a time."""
        item = self._items.get(request)
        if item is None:
            item = await self._read(request, self._ask_item, self._answers.stale_item)
            self._items[request] = item
        return item

    async def _read(
        self,
        request: R,
        ask: Callable[[R], Coroutine[Any, Any, T]],
        stale: Callable[[Caller, R], Awaitable[tuple[T, float] | None]],
    ) -> T:
        try:
            async with self._time():
                answer: T = await self._flights.run(request, lambda: ask(request))
                return answer
        except (UpstreamTimeoutError, UpstreamUnavailableError):
            # The caller has done nothing wrong, nor lost a right: what was read before may do.
            found = None if self._fresh else await stale(self._caller, request)
            if found is None:
                raise
            answer, self.stale[request] = found
            CACHE_LOOKUPS.labels("stale").inc()
            return answer

    async def _ask_page(self, request: PageRequest, budget: CallBudget | None = None) -> Page:
        budget = budget or self._page_budget
        terms = FetchOptions(self._fresh, budget.spend, self.cost)
        return await self._answers.page(self._caller, request, terms)

    async def _fetch_nested_page(self, request: PageRequest) -> Page:
        async with self._slots:
            return await self._ask_page(request, self._item_budget)

    async def _ask_item(self, request: ItemRequest) -> Item:
        async with self._slots:
            if self._refused is not None:
                raise self._refused
            return await self._answer_of(request)

    async def _answer_of(self, request: ItemRequest) -> Item:
        try:
            terms = FetchOptions(self._fresh, self._item_budget.spend, self.cost)
            return await self._answers.item(self._caller, request, terms)
        except (UnauthenticatedError, ThrottledError) as error:
            # AWS said it of the caller, not of this object: the other rows need not ask again.
            self._refused = error
            raise

    def first_seen(self, key: str, item: Item) -> Item:
        """Return the item that was first seen under the key: `item` itself if none was.

        One answer shows an object in one state only (Relay: Global Object Identification).
        """
        return self._seen.setdefault(key, item)

    @asynccontextmanager
    async def _time(self) -> AsyncIterator[None]:
        if asyncio.get_running_loop().time() >= self._deadline:
            raise DeadlineError(TOOK_LONGER)
        try:
            async with asyncio.timeout_at(self._deadline):
                yield
        except TimeoutError as error:
            raise DeadlineError(TOOK_LONGER) from error
