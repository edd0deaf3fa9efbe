"""Search of an upstream list for items by their keys, where no Get operation finds them."""

import asyncio
from collections.abc import Awaitable, Callable

from gateway.errors import GatewayError
from gateway.upstream.model import check_not_repeated
from gateway.upstream.values import Item, Page


class ListSearch:
    """Finds items of one list for one request: reads each page once, as far as it needs to."""

    def __init__(
        self, load: Callable[[str | None], Awaitable[Page]], key_of: Callable[[Item], str]
    ) -> None:
        """`load` returns the page of a token (None: the first), or raises a GatewayError."""
        self._load = load
        self._key_of = key_of
        self._items: dict[str, Item] = {}
        """Key -> the first item with it, of the pages that were read."""
        self._token: str | None = None
        self._seen_tokens: set[str] = set()
        self._ended = False
        self._error: GatewayError | None = None
        self._reading = asyncio.Lock()

    async def find(self, key: str) -> Item | None:
        """Return the item with this key; None if there is none.

        Raises what `load` raised for the page that comes next, for every key that no earlier
        page has, and UpstreamInvalidResponseError if AWS repeats a token.
        """
        if not self._knows(key):
            async with self._reading:
                while not self._knows(key):
                    await self._read_next()
        return self._items.get(key)

    def _knows(self, key: str) -> bool:
        return self._ended or key in self._items

    async def _read_next(self) -> None:
        if self._error is not None:
            # Without its traceback, which would grow each time.
            raise self._error.with_traceback(None)
        try:
            page = await self._load(self._token)
            if page.next_token is not None:
                check_not_repeated(page.next_token, self._seen_tokens)
        except GatewayError as error:
            self._error = error
            raise
        for item in page.items:
            self._items.setdefault(self._key_of(item), item)
        self._token = page.next_token
        self._ended = page.next_token is None
