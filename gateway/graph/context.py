"""The context that the resolvers of one request share."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

import strawberry
from graphql import GraphQLResolveInfo

from gateway.errors import BadUserInputError, ForbiddenError, GatewayError
from gateway.graph.meter import Meter
from gateway.graph.pagination.search import ListSearch
from gateway.settings import Settings
from gateway.upstream.loader import RequestLoader
from gateway.upstream.values import Item, ItemRequest, Listing, Page, PageRequest, RequestCost
from gateway.watch.poll import Identify, Source
from gateway.watch.sources import ListState, ObjectState
from gateway.watch.watcher import Watch, Watcher

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Watching:
    """What a subscription needs beside what each operation does."""

    watcher: Watcher
    identify: Identify
    """Identifies the caller again, while the subscription lasts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    settings: Settings
    loader_or_error: RequestLoader | GatewayError
    """The caller's loader, or the error of each data field if the request has no caller."""
    meter: Meter
    watching: Watching | None = None
    """What subscriptions need; None for other operations."""
    show_cost: bool = False
    """Whether to report the cost in `extensions.cost`."""
    from_router: bool = True
    """Whether the request may select the fields meant for a federation router."""
    stopped_walks: list[dict[str, Any]] = field(default_factory=list)
    """The entries of `extensions.stoppedEarly`."""
    searches: dict[Listing, ListSearch] = field(default_factory=dict)

    @property
    def loader(self) -> RequestLoader:
        """The caller's loader; raises the authentication error if there is none."""
        if isinstance(self.loader_or_error, GatewayError):
            raise self.loader_or_error
        return self.loader_or_error

    async def watch_object(
        self, request: ItemRequest, is_settled: Callable[[Item], bool]
    ) -> Watch[ObjectState]:
        """Subscribe to an object as the caller; see Watcher.watch."""
        return await self._watch(lambda watcher: watcher.object_source(request, is_settled))

    async def watch_list(self, listing: Listing, key_of: Callable[[Item], str]) -> Watch[ListState]:
        """Subscribe to the rows of a list as the caller; see Watcher.watch."""
        return await self._watch(lambda watcher: watcher.list_source(listing, key_of))

    async def _watch(self, source: Callable[[Watcher], Source[T]]) -> Watch[T]:
        assert self.watching is not None  # noqa: S101  the operation is a subscription
        watcher, identify = self.watching.watcher, self.watching.identify
        caller, deadline = self.loader.caller, self.meter.deadline
        return await watcher.watch(source(watcher), caller, identify, deadline=deadline)

    @property
    def cost(self) -> RequestCost | None:
        """The cost so far; None without a caller."""
        return None if isinstance(self.loader_or_error, GatewayError) else self.loader_or_error.cost

    def search(self, listing: Listing, key_of: Callable[[Item], str]) -> ListSearch:
        """Return the request's search of a list; its first page counts as a single object."""
        search = self.searches.get(listing)
        if search is None:

            async def load(token: str | None) -> Page:
                page = await self.loader.page(PageRequest(listing, token), per_row=token is None)
                self.meter.charge_rows(len(page.items))
                await self.meter.pause()
                return page

            search = self.searches[listing] = ListSearch(load, key_of)
        return search

    def check_region(self, region: str, *, argument: str) -> str:
        """Return the region; raises BadUserInputError naming the argument if it is not served."""
        served = self.settings.served_regions
        if region not in served:
            accepted = ", ".join(sorted(served))
            raise BadUserInputError(
                f"`{argument}` names a region that is not served. Accepted: {accepted}."
            )
        return region

    def check_router(self) -> None:
        """Raise ForbiddenError unless the request comes from the federation router."""
        if not self.from_router:
            raise ForbiddenError(
                "`_service` and `_entities` are reserved for the router. Accepted: its secret in "
                "the header X-Router-Secret."
            )

    def record_stopped_walk(self, path: list[str | int], scanned: int) -> None:
        """Record that a list was not read far enough to fill the page, and count the entry."""
        self.meter.charge_path(path)
        self.stopped_walks.append({"path": path, "scanned": scanned})


Info: TypeAlias = strawberry.Info[Context, None]

ResolveInfo: TypeAlias = GraphQLResolveInfo[Context]
"""What the resolvers of connections get."""
