"""A list to page through: how its pages are loaded and filtered, and its items counted."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.errors import GatewayError, LimitExceededError
from gateway.graph.types.resource_type import ResourceType
from gateway.upstream.loader import DeadlineError
from gateway.upstream.model import check_not_repeated
from gateway.upstream.values import PAGE_SIZE, Page


class LoadPage(Protocol):
    def __call__(self, token: str | None, rows: int = PAGE_SIZE, /) -> Awaitable[Page]:
        """Return the page of a token (None: the first), of which so many rows are needed.

        May return more of them. May raise BudgetSpentError or DeadlineError.
        """


@dataclass(frozen=True, slots=True)
class UpstreamList:
    """A list to page through, with its filter."""

    digest: bytes
    """The digest that its cursors carry."""
    resource: ResourceType
    load: LoadPage
    matches: Callable[[Page, range], Sequence[int]] | None = None
    """Returns which of these rows of a page pass the filter, if there is one."""

    def matching_rows(self, page: Page) -> Sequence[int]:
        """Return the rows of a page that pass the filter."""
        rows = range(len(page.items))
        return self.matches(page, rows) if self.matches else rows

    async def pages(self) -> AsyncIterator[Page]:
        """Load all pages.

        Raises what `load` raises, and UpstreamInvalidResponseError if AWS repeats a token.
        """
        token, seen = None, set[str]()
        while True:
            page = await self.load(token)
            yield page
            token = page.next_token
            if token is None:
                return
            check_not_repeated(token, seen)


class ListCounts:
    """The number of items of a whole list, by status: one walk for all fields that show it."""

    def __init__(self, source: UpstreamList) -> None:
        self._source = source
        self._by_status: Counter[str] = Counter()
        self._outcome: bool | GatewayError | None = None
        """Whether all items were counted, or the error that prevented it; None before the end."""
        self._walking = asyncio.Lock()

    def add(self, page: Page, rows: Sequence[int]) -> None:
        """Count these rows of a page."""
        statuses = page.values(self._source.resource.status_of)
        self._by_status.update([statuses[row] for row in rows])

    def complete(self) -> None:
        """End counting: all rows of the list were added."""
        self._outcome = True

    async def by_status(self) -> Counter[str] | None:
        """Return the number of items by the name of their status, for each that occurs.

        None if the budget or the time does not suffice to walk the list. Raises the error of AWS
        that ended the walk.
        """
        async with self._walking:
            if self._outcome is None:
                self._outcome = await self._walk()
        if isinstance(self._outcome, GatewayError):
            raise self._outcome.with_traceback(None)  # it would grow with each use
        return self._by_status if self._outcome else None

    async def _walk(self) -> bool | GatewayError:
        # An earlier walk may have been cancelled in the middle.
        self._by_status.clear()
        try:
            async for page in self._source.pages():
                self.add(page, self._source.matching_rows(page))
        except (LimitExceededError, DeadlineError):
            return False
        except GatewayError as error:
            return error
        return True
