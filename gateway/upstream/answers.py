"""Answers of the upstream, kept for a few seconds for the caller they were given to."""

from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

import orjson
import structlog
from aiocache.base import BaseCache

from gateway.caller import Caller
from gateway.errors import UpstreamError
from gateway.upstream.aws import Aws
from gateway.upstream.flight import SingleFlight
from gateway.upstream.page import PAGE_SIZE, Item, ItemRequest, Page, PageRequest
from gateway.upstream.rows import item_from, page_from

log = structlog.get_logger()

FORMAT = 1
"""Part of every key: a version that stores another form never reads this one's."""


class Answers:
    """Asks the upstream as a caller, through the cache and the single flight.

    An answer lives `seconds` (0: not at all) and is seen by nobody but the caller who got it.
    Only complete successes are kept.
    """

    def __init__(self, aws: Aws, cache: BaseCache, seconds: float) -> None:
        self._aws = aws
        self._cache = cache
        self._seconds = seconds
        self._flights: SingleFlight[bytes] = SingleFlight()

    async def page(
        self, caller: Caller, request: PageRequest, *, fresh: bool, before_call: Callable[[], None]
    ) -> Page:
        """Return a page; `fresh` reads past the cache and refreshes it.

        `before_call` runs before the upstream is asked for this caller's question, and may raise
        to forbid it; not where the cache answers or a call is under way.
        """

        async def ask() -> bytes:
            listing = request.listing
            parameters: dict[str, Any] = {"maxResults": PAGE_SIZE, **dict(listing.filters)}
            if request.token is not None:
                parameters["nextToken"] = request.token
            with failures_logged(listing.operation, listing.region):
                answer = await self._aws.call(caller, listing.region, listing.operation, parameters)
                page = page_from(listing.operation, answer)
            return orjson.dumps([page.items, page.next_token])

        listing = request.listing
        key = key_of(caller, [listing.operation, listing.region, listing.filters, request.token])
        items, next_token = orjson.loads(await self._answer(key, ask, fresh, before_call))
        return Page(items, next_token)

    async def item(
        self, caller: Caller, request: ItemRequest, *, fresh: bool, before_call: Callable[[], None]
    ) -> Item:
        """Return one object; `fresh` and `before_call` as for a page."""

        async def ask() -> bytes:
            with failures_logged(request.operation, request.region):
                answer = await self._aws.call(
                    caller, request.region, request.operation, dict(request.parameters)
                )
                item = item_from(request.operation, answer)
            return orjson.dumps(item)

        key = key_of(caller, [request.operation, request.region, request.parameters])
        item: Item = orjson.loads(await self._answer(key, ask, fresh, before_call))
        return item

    async def _answer(
        self,
        key: str,
        ask: Callable[[], Awaitable[bytes]],
        fresh: bool,  # noqa: FBT001  private, and named by its callers' own parameter
        before_call: Callable[[], None],
    ) -> bytes:
        if not fresh:
            kept: bytes | None = await self._cache.get(key)
            if kept is not None:
                return kept

        async def ask_and_keep() -> bytes:
            answer = await ask()
            if self._seconds > 0:
                await self._cache.set(key, answer, ttl=self._seconds)
            return answer

        def start() -> Coroutine[Any, Any, bytes]:
            before_call()
            return ask_and_keep()

        # A fresh question must not be answered by a call that began before it was asked.
        return await self._flights.join((key, fresh), start)


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
