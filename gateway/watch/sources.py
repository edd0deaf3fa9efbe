"""What can be watched: one object, and the rows of a list."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from gateway.auth.credentials import Caller
from gateway.errors import (
    BadUserInputError,
    LimitExceededError,
    NotFoundError,
    UpstreamInvalidResponseError,
    drop_tracebacks,
)
from gateway.upstream.cache.cached_client import CachedClient
from gateway.upstream.cache.memory import Stored, size_of
from gateway.upstream.model import check_not_repeated
from gateway.upstream.values import (
    FRESH,
    Item,
    ItemRequest,
    Listing,
    Page,
    PageRequest,
    RequestCost,
    UpstreamRequest,
    kept_json,
)
from gateway.watch.memory import ROW_OVERHEAD, WatchMemory

T = TypeVar("T")

SECONDS_PER_PAGE = 2.0
"""Between two readings of a list, for each page that the first one took."""

TOO_MANY_PAGES = (
    "The watched list has more than {} pages (GATEWAY_MAX_UPSTREAM_CALLS). Watch a shorter list, "
    "such as that of a collaboration."
)


@dataclass(frozen=True, slots=True)
class ObjectState:
    item: Item | None
    """As its Get operation returns it; None if there is no such object."""
    stored: Stored[Item] | None = field(default=None, compare=False)
    missing: NotFoundError | None = None
    """The upstream's error, if the object was never seen."""


class ObjectSource:
    """An object, read by its Get operation. A source of ObjectStates."""

    def __init__(
        self,
        client: CachedClient,
        request: ItemRequest,
        is_settled: Callable[[Item], bool],
        *,
        memory: WatchMemory,
    ) -> None:
        self._client = client
        self._request = request
        self._is_settled = is_settled
        self._memory = memory

    @property
    def key(self) -> Hashable:
        return self._request

    async def read(self, caller: Caller, previous: ObjectState | None) -> ObjectState:
        try:
            stored = await _read_now(self._client, caller, self._request)
        except NotFoundError as error:
            drop_tracebacks(error)
            return ObjectState(None, missing=error if previous is None else None)
        self._memory.hold(caller.limit_key, self, size_of(stored.value))
        return ObjectState(stored.value, stored)

    @property
    def least_seconds(self) -> float:
        return 0.0

    def is_final(self, state: ObjectState) -> bool:
        return state.item is None or self._is_settled(state.item)

    def close(self) -> None:
        self._memory.release(self)


@dataclass(frozen=True, slots=True)
class ListState:
    rows: Mapping[str, bytes]
    """Key -> JSON of the row. What is equal in successive states is the same object."""


class ListSource:
    """All rows of a list, read page by page. A source of ListStates."""

    def __init__(
        self,
        client: CachedClient,
        listing: Listing,
        key_of: Callable[[Item], str],
        *,
        max_pages: int,
        memory: WatchMemory,
    ) -> None:
        self._client = client
        self._listing = listing
        self._key_of = key_of
        self._max_pages = max_pages
        self._memory = memory
        self._pages = 0

    @property
    def key(self) -> Hashable:
        return self._listing

    @property
    def least_seconds(self) -> float:
        return SECONDS_PER_PAGE * self._pages

    async def read(self, caller: Caller, previous: ListState | None) -> ListState:
        self._pages = 0
        known = previous.rows if previous else {}
        rows, walked, known_size = known, _WalkedRows(known), _size_of(known)
        hold = partial(self._memory.hold, caller.limit_key, self)
        try:
            # While it grows, because a list may be longer than the memory.
            await self._walk(caller, walked, lambda: hold(known_size + walked.size))
            if walked.rows != known:
                rows = walked.rows
        finally:
            hold(_size_of(rows))
        return ListState(rows)

    async def _walk(self, caller: Caller, walked: "_WalkedRows", count: Callable[[], None]) -> None:
        """Read all pages, twice if rows seem to be gone; `count` is called after each."""
        await self._walk_once(caller, walked, count)
        if self._pages > 1 and walked.lacks_known:
            # The pages are of different times: a row that has moved between them may be in none.
            await self._walk_once(caller, walked, count)

    async def _walk_once(
        self, caller: Caller, walked: "_WalkedRows", count: Callable[[], None]
    ) -> None:
        """Read all pages. Of a row that is in several pages, the last counts."""
        token, seen = None, set[str]()
        for _ in range(self._max_pages):
            self._pages += 1
            page = await self._page(caller, token)
            for item in page.items:
                walked.add(self._key_of(item), kept_json(item))
            count()
            token = page.next_token
            if token is None:
                return
            check_not_repeated(token, seen)
        raise LimitExceededError(TOO_MANY_PAGES.format(self._max_pages), limit="upstream_calls")

    async def _page(self, caller: Caller, token: str | None) -> Page:
        try:
            stored = await _read_now(self._client, caller, PageRequest(self._listing, token))
        except BadUserInputError as error:
            if token is None:
                raise
            # The other inputs are those of the page before.
            raise UpstreamInvalidResponseError(
                "Clean Rooms ML does not accept its own token of the next page."
            ) from error
        return stored.value

    def is_final(self, _: ListState) -> bool:
        return False

    def close(self) -> None:
        self._memory.release(self)


class _WalkedRows:
    """The rows of a list while it is read again."""

    def __init__(self, known: Mapping[str, bytes]) -> None:
        self.rows: dict[str, bytes] = {}
        self.size = 0
        """Bytes that they take beside the known ones."""
        self._known = known

    @property
    def lacks_known(self) -> bool:
        return bool(self._known.keys() - self.rows.keys())

    def add(self, key: str, row: bytes) -> None:
        """Set a row; one that is equal to the known one is the same object."""
        known, replaced = self._known.get(key), self.rows.get(key)
        self.rows[key] = kept = known if row == known else row
        self.size += 0 if kept is known else len(row)
        if replaced is None:
            self.size += ROW_OVERHEAD + len(key)
        elif replaced is not known:
            self.size -= len(replaced)


def _size_of(rows: Mapping[str, bytes]) -> int:
    return sum(len(key) + len(row) + ROW_OVERHEAD for key, row in rows.items())


async def _read_now(client: CachedClient, caller: Caller, request: UpstreamRequest[T]) -> Stored[T]:
    """Return what the upstream has now, and cache it; raises a GatewayError."""
    return await client.fetch(caller, request, cost=RequestCost(), before_call=_allow, since=FRESH)


def _allow() -> None:
    """Prevent no call: a poll has no budget, and the caller's rate limit applies."""
