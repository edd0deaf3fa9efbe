"""Answers of the upstream, kept for a few seconds for the caller they were given to."""

import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

import orjson
import structlog

from gateway.caller import Caller
from gateway.errors import UpstreamError
from gateway.upstream.aws import Aws
from gateway.upstream.cache import AnswerCache
from gateway.upstream.cost import Cost
from gateway.upstream.flight import SingleFlight
from gateway.upstream.page import PAGE_SIZE, Item, ItemRequest, Page, PageRequest
from gateway.upstream.rows import item_from, page_from

log = structlog.get_logger()

FORMAT = 1
"""Part of every key: a version that stores another form never reads this one's."""


class Answers:
    """Asks the upstream as a caller, through the cache and the single flight.

    An answer lives `seconds` (0: not at all) and is seen by nobody but the caller who got it.
    Only complete successes are kept. `fresh` reads past the cache and refreshes it;
    `before_call` runs before the upstream is asked for this caller's question, and may raise
    to forbid it; not where the cache answers or a call is under way. `cost` counts all that.
    """

    def __init__(
        self,
        aws: Aws,
        cache: AnswerCache,
        seconds: float,
        *,
        origin: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`origin` says which upstream is asked, where a cache is shared by askers of several.

        `clock` is the wall's: credentials end by it.
        """
        self._origin = origin
        self._aws = aws
        self._cache = cache
        self._seconds = seconds
        self._clock = clock
        self._flights: SingleFlight[Any] = SingleFlight()

    async def page(
        self,
        caller: Caller,
        request: PageRequest,
        *,
        fresh: bool,
        before_call: Callable[[], None],
        cost: Cost | None = None,
    ) -> Page:
        """Return a page."""
        cost = cost or Cost()
        listing = request.listing
        what = [listing.operation, listing.region, listing.filters, request.token]
        key = key_of(caller, [self._origin, *what])

        async def ask() -> Page:
            parameters: dict[str, Any] = {"maxResults": PAGE_SIZE, **dict(listing.filters)}
            if request.token is not None:
                parameters["nextToken"] = request.token
            with failures_logged(listing.operation, listing.region):
                answer = await self._aws.call(caller, listing.region, listing.operation, parameters)
                cost.called(answer.get("ResponseMetadata", {}))
                page = page_from(listing.operation, answer)
            await self._keep(caller, key, [page.items, page.next_token])
            return page

        kept = None if fresh else await self._kept(caller, key)
        if kept is not None:
            cost.cache_hits += 1
            return Page(*kept)
        page: Page = await self._flight(key, ask, fresh, before_call, cost)
        return page

    async def item(
        self,
        caller: Caller,
        request: ItemRequest,
        *,
        fresh: bool,
        before_call: Callable[[], None],
        cost: Cost | None = None,
    ) -> Item:
        """Return one object."""
        cost = cost or Cost()
        what = [request.operation, request.region, request.parameters]
        key = key_of(caller, [self._origin, *what])

        async def ask() -> Item:
            with failures_logged(request.operation, request.region):
                answer = await self._aws.call(
                    caller, request.region, request.operation, dict(request.parameters)
                )
                cost.called(answer.get("ResponseMetadata", {}))
                item = item_from(request.operation, answer)
            await self._keep(caller, key, item)
            return item

        kept = None if fresh else await self._kept(caller, key)
        if kept is not None:
            cost.cache_hits += 1
            found: Item = kept
            return found
        item: Item = await self._flight(key, ask, fresh, before_call, cost)
        return item

    async def _kept(self, caller: Caller, key: str) -> Any:
        kept = await self._cache.get(caller, key)
        return None if kept is None else orjson.loads(kept)

    async def _keep(self, caller: Caller, key: str, answer: Any) -> None:
        seconds = self._life(caller)
        # A call that a fresh one has overtaken must not put its older answer over the newer.
        if seconds > 0 and self._flights.leads(key):
            await self._cache.set(caller, key, orjson.dumps(answer), seconds)

    def _life(self, caller: Caller) -> float:
        """Return how long an answer may be kept: never longer than the right to it lasts."""
        if caller.expires_at is None:
            return self._seconds
        return min(self._seconds, caller.expires_at - self._clock())

    async def _flight(
        self,
        key: str,
        ask: Callable[[], Coroutine[Any, Any, Any]],
        fresh: bool,  # noqa: FBT001  private, and named by its callers' own parameter
        before_call: Callable[[], None],
        cost: Cost,
    ) -> Any:
        started = False

        def start() -> Coroutine[Any, Any, Any]:
            nonlocal started
            before_call()
            started = True
            return ask()

        # A fresh question must not be answered by a call that began before it was asked.
        answer = await self._flights.join(key, start, anew=fresh)
        cost.cache_hits += not started
        return answer


@contextmanager
def failures_logged(operation: str, region: str) -> Iterator[None]:
    """Log what the upstream did not do; a caller's own mistakes are no news to an operator."""
    try:
        yield
    except UpstreamError as error:
        log.warning(
            "upstream failed",
            operation=operation,
            region=region,
            code=error.code,
            why=error.message,
            cause=type(error.__cause__).__qualname__,
            aws=error.aws and error.aws.extensions(),
        )
        raise


def key_of(caller: Caller, question: list[Any]) -> str:
    """Name an answer: two callers never share a name, whatever they ask.

    JSON keeps the parts of the question apart, and null from "" and from absent.
    """
    return sha256(caller.fingerprint + orjson.dumps([FORMAT, question])).hexdigest()
