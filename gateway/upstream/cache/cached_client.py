"""Answers of the upstream, kept for a few seconds for the caller they were given to."""

import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Protocol

import orjson
import structlog

from gateway.auth.credentials import Caller
from gateway.concurrency import SingleFlight
from gateway.errors import GatewayError, UpstreamError
from gateway.telemetry.metrics import CACHE_LOOKUPS
from gateway.upstream.cache.backend import AnswerCache
from gateway.upstream.cost import Cost
from gateway.upstream.resilience.client import CircuitOpenError
from gateway.upstream.resilience.rate_limit import RateLimitedError
from gateway.upstream.rows import item_from, page_from
from gateway.upstream.values import PAGE_SIZE, Item, ItemRequest, Page, PageRequest

log = structlog.get_logger()

FORMAT = 2
"""Part of every key: a version that stores another form never reads this one's."""


class UpstreamClient(Protocol):
    """Makes a call to the upstream as a caller."""

    async def call(
        self, caller: Caller, region: str, operation: str, parameters: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return the parsed answer; raises a GatewayError for whatever goes wrong."""


@dataclass(frozen=True, slots=True)
class FetchOptions:
    """On which terms a question is asked."""

    fresh: bool
    """Read past the cache, and refresh it."""
    before_call: Callable[[], None]
    """Runs before the upstream is asked for this question, and may raise to forbid it; not
    where the cache answers or a call is under way."""
    cost: Cost = field(default_factory=Cost)
    """Counts all that."""


@dataclass(frozen=True, slots=True)
class _Request:
    operation: str
    region: str
    parameters: dict[str, Any]
    read: Callable[[str, dict[str, Any]], Any]
    """Turns the parsed answer into the form that is kept: plain JSON."""


class CachedClient:
    """Asks the upstream as a caller, through the cache and the single flight.

    An answer lives `seconds` (0: not at all) and is seen by nobody but the caller who got it.
    Only complete successes are kept. For `stale_seconds` more it is kept for who asks for it
    because the upstream fails.
    """

    def __init__(
        self,
        upstream: UpstreamClient,
        cache: AnswerCache,
        seconds: float,
        *,
        stale_seconds: float = 0,
        origin: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`origin` says which upstream is asked, where a cache is shared by askers of several.

        `clock` is the wall's: credentials end by it, and replicas share it.
        """
        self._origin = origin
        self._upstream = upstream
        self._cache = cache
        self._seconds = seconds
        self._stale_seconds = stale_seconds if seconds > 0 else 0
        self._clock = clock
        self._flights: SingleFlight[Any] = SingleFlight()

    async def page(self, caller: Caller, request: PageRequest, terms: FetchOptions) -> Page:
        """Return a page."""
        return Page(*await self._answer(caller, _page_question(request), terms))

    async def item(self, caller: Caller, request: ItemRequest, terms: FetchOptions) -> Item:
        """Return one object."""
        item: Item = await self._answer(caller, _item_question(request), terms)
        return item

    async def stale_page(self, caller: Caller, request: PageRequest) -> tuple[Page, float] | None:
        """Return a page that has outlived its time and how old it is, in seconds; None if none is.

        Asks the cache alone.
        """
        found = await self._stale(caller, _page_question(request))
        return None if found is None else (Page(*found[0]), found[1])

    async def stale_item(self, caller: Caller, request: ItemRequest) -> tuple[Item, float] | None:
        """Return an object likewise."""
        return await self._stale(caller, _item_question(request))

    async def _answer(self, caller: Caller, question: _Request, terms: FetchOptions) -> Any:
        key = self._key(caller, question)
        if not terms.fresh:
            kept = await self._kept(caller, key)
            # Replicas' clocks are not quite the same: an answer may seem to be of the future.
            if kept is not None and abs(kept[1]) < self._seconds:
                terms.cost.cache_hits += 1
                CACHE_LOOKUPS.labels("cache").inc()
                return kept[0]
        started = False

        def start() -> Coroutine[Any, Any, Any]:
            nonlocal started
            terms.before_call()
            started = True
            return self._ask(caller, question, key, terms.cost)

        # A fresh question must not be answered by a call that began before it was asked.
        answer = await self._flights.run(key, start, anew=terms.fresh)
        terms.cost.cache_hits += not started
        CACHE_LOOKUPS.labels("upstream" if started else "flight").inc()
        return answer

    async def _ask(self, caller: Caller, question: _Request, key: str, cost: Cost) -> Any:
        with failures_logged(question.operation, question.region):
            try:
                answer = await self._upstream.call(
                    caller, question.region, question.operation, question.parameters
                )
            except (RateLimitedError, CircuitOpenError):
                raise  # nobody was asked
            except GatewayError:
                cost.upstream_calls += 1
                raise
            cost.called(answer.get("ResponseMetadata", {}))
            read = question.read(question.operation, answer)
        seconds = self._life(caller)
        # A call that a fresh one has overtaken must not put its older answer over the newer.
        if seconds > 0 and self._flights.is_current(key):
            await self._cache.set(caller, key, orjson.dumps([self._clock(), read]), seconds)
        return read

    async def _stale(self, caller: Caller, question: _Request) -> tuple[Any, float] | None:
        return (
            await self._kept(caller, self._key(caller, question)) if self._stale_seconds else None
        )

    async def _kept(self, caller: Caller, key: str) -> tuple[Any, float] | None:
        """Return what is kept and its age."""
        kept = await self._cache.get(caller, key)
        if kept is None:
            return None
        since, answer = orjson.loads(kept)
        return answer, self._clock() - since

    def _life(self, caller: Caller) -> float:
        """Return how long an answer is kept: never longer than the right to it lasts."""
        seconds = self._seconds + self._stale_seconds
        if caller.expires_at is None:
            return seconds
        return min(seconds, caller.expires_at - self._clock())

    def _key(self, caller: Caller, question: _Request) -> str:
        what = [self._origin, question.operation, question.region, question.parameters]
        return key_of(caller, what)


def _page_question(request: PageRequest) -> _Request:
    listing = request.listing
    parameters: dict[str, Any] = {"maxResults": PAGE_SIZE, **dict(listing.filters)}
    if request.token is not None:
        parameters["nextToken"] = request.token
    return _Request(listing.operation, listing.region, parameters, _kept_page)


def _kept_page(operation: str, answer: dict[str, Any]) -> list[Any]:
    page = page_from(operation, answer)
    return [page.items, page.next_token]


def _item_question(request: ItemRequest) -> _Request:
    return _Request(request.operation, request.region, dict(request.parameters), item_from)


@contextmanager
def failures_logged(operation: str, region: str) -> Iterator[None]:
    """Log what the upstream did not do; a caller's own mistakes are no news to an operator."""
    try:
        yield
    except RateLimitedError:
        raise  # nobody was asked, and whoever floods us must not flood the log
    except UpstreamError as error:
        cause = error.__cause__
        log.warning(
            "upstream failed",
            operation=operation,
            region=region,
            code=error.code,
            why=error.message,
            cause=cause and type(cause).__qualname__,
            aws=error.aws and error.aws.extensions(),
        )
        raise


def key_of(caller: Caller, question: list[Any]) -> str:
    """Name an answer: two callers never share a name, whatever they ask.

    JSON keeps the parts of the question apart, and null from "" and from absent.
    """
    return sha256(caller.fingerprint + orjson.dumps([FORMAT, question])).hexdigest()
