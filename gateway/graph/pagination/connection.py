"""Connections: what Relay calls a list that is paged by cursors.

Source: Relay's Cursor Connections specification. The types serve every list of the graph.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Generic, Protocol, TypeVar

import strawberry

from gateway.errors import BadUserInputError, InvalidCursorError
from gateway.graph.context import Info
from gateway.graph.execution.selection import selects
from gateway.graph.pagination.cursor import (
    PageCursors,
    decode_cursor,
    encode_cursor,
    item_digest,
    listing_digest,
)
from gateway.graph.pagination.pager import PageArguments, PageResult, count, paginate
from gateway.graph.pagination.walk import KeyOf, Listed, ListedItem
from gateway.upstream.values import Item, Listing, Page, PageRequest

DEFAULT_FIRST = 20
MAX_FIRST = 500

First = Annotated[
    int | None,
    strawberry.argument(
        description=f"How many items to return from the front: 0 to {MAX_FIRST}. "
        f"{DEFAULT_FIRST} if `last` is not given either."
    ),
]
After = Annotated[
    str | None,
    strawberry.argument(description="Return items behind the one with this cursor."),
]
Last = Annotated[
    int | None,
    strawberry.argument(
        description=f"How many items to return from the back: 0 to {MAX_FIRST}. "
        "The upstream lists one way only, so this walks the list from its start."
    ),
]
Before = Annotated[
    str | None,
    strawberry.argument(description="Return items in front of the one with this cursor."),
]

T = TypeVar("T")


@strawberry.federation.type(
    shareable=True,
    description="Where a slice of a list begins and ends, and what lies around it.",
)
class PageInfo:
    """Relay's PageInfo."""

    has_next_page: bool = strawberry.field(
        description="Whether an item really follows the slice. Selecting this may cost one more "
        "upstream call. True as well where the upstream call budget or the time ended the walk: "
        "`endCursor` then goes on from there."
    )
    has_previous_page: bool = strawberry.field(
        description="Whether an item lies in front of the slice: exact with `last`; with `after` "
        "alone, that the cursor is an item's."
    )
    start_cursor: str | None = strawberry.field(
        description="The cursor of the slice's first edge. Null if there is none."
    )
    end_cursor: str | None = strawberry.field(
        description="The cursor to pass as `after` for the next slice: that of the last edge, or "
        "where the walk ended early. Null if there is neither."
    )


@strawberry.type(description="An item of a list with its cursor.")
class Edge(Generic[T]):
    """Relay's edge, made from where the item was found."""

    row: strawberry.Private[ListedItem]
    slice: strawberry.Private["ConnectionPage"]

    @strawberry.field(
        description="The place right behind the item. Opaque: pass it as `after` or `before`. May "
        "be long: send such queries by POST."
    )
    def cursor(self) -> str:
        """Write the cursor."""
        return self.slice.cursor(self.row)

    @strawberry.field(description="The item.")
    def node(self) -> T:
        """Make the item's object."""
        return self.slice.source.make(self.row.item)  # type: ignore[no-any-return]


@strawberry.type(description="A slice of a list.")
class Connection(Generic[T]):
    """Relay's connection."""

    slice: strawberry.Private["ConnectionPage"]

    @strawberry.field(description="The items of the slice, each with its cursor.")
    def edges(self) -> list[Edge[T]]:
        """List the edges; the executor completes them in one go where it can."""
        return Rows(self.slice, self.slice.edge)  # type: ignore[return-value]

    @strawberry.field(description="The items of the slice, for those who need no cursors.")
    def nodes(self) -> list[T]:
        """List the nodes likewise."""
        return Rows(self.slice, self.slice.node)  # type: ignore[return-value]

    @strawberry.field(description="Where the slice begins and ends, and what lies around it.")
    def page_info(self) -> PageInfo:
        """Sum up the slice."""
        return self.slice.page_info()

    @strawberry.field(
        description="How many items the whole list has, whatever the cursors say. Counted by "
        "walking it, within what the slice left of the upstream call budget; null if that is "
        "not enough."
    )
    async def total_count(self) -> int | None:
        """Count the list."""
        return await count(self.slice.listed)


class ItemFilter(Protocol):
    """A filter that is applied here: which items it keeps, and what it is in a cursor."""

    @property
    def key(self) -> str:
        """A text that is equal for equal filters, and for them alone."""

    def keeps(self, item: Item) -> bool:
        """Say whether an item passes."""


@dataclass(frozen=True, slots=True)
class Source:
    """A kind of object that is listed: how its items are named and shown."""

    key_of: KeyOf
    make: Callable[[Item], Any]


class ConnectionPage:
    """A slice that was taken of a list, with all that its connection shows on demand."""

    def __init__(self, listing: bytes, source: Source, listed: Listed, taken: PageResult) -> None:
        self.source = source
        self.listed = listed
        self.taken = taken
        self._listing = listing
        self._cursors: dict[str | None, PageCursors] = {}

    def cursor(self, spot: ListedItem) -> str:
        """Write the cursor of an item."""
        # Spot.behind, without a Place for each of the rows of a page.
        token, offset = spot.token, spot.at + 1
        if offset == len(spot.page.items) and spot.page.next_token is not None:
            token, offset = spot.page.next_token, 0
        cursors = self._cursors.get(token)
        if cursors is None:
            cursors = self._cursors[token] = PageCursors(self._listing, token)
        return cursors.encode(offset, item_digest(self.source.key_of(spot.item)))

    def edge(self, spot: ListedItem) -> Edge[Any]:
        """Make the edge of an item."""
        return Edge(row=spot, slice=self)

    def node(self, spot: ListedItem) -> Any:
        """Make the object of an item."""
        return self.source.make(spot.item)

    def page_info(self) -> PageInfo:
        """Sum up the slice."""
        spots, resume = self.taken.spots, self.taken.resume
        end = self.cursor(spots[-1]) if spots else None
        return PageInfo(
            has_next_page=self.taken.has_next,
            has_previous_page=self.taken.has_previous,
            start_cursor=self.cursor(spots[0]) if spots else None,
            end_cursor=end if resume is None else encode_cursor(self._listing, resume),
        )


class Rows:
    """The rows of a slice, each made only if somebody iterates.

    The executor recognises it, and completes rows of plain fields without making them.
    """

    __slots__ = ("_make", "slice")

    def __init__(self, taken: ConnectionPage, make: Callable[[ListedItem], Any]) -> None:
        self.slice = taken
        self._make = make

    def __iter__(self) -> Iterator[Any]:
        return map(self._make, self.slice.taken.spots)


async def connect(
    info: Info,
    listing: Listing,
    source: Source,
    first: int | None,
    after: str | None,
    last: int | None,
    before: str | None,
    item_filter: ItemFilter | None = None,
    *,
    per_row: bool = False,
) -> ConnectionPage:
    """Take the slice of a list, narrowed or not, that Relay's four arguments ask for.

    The list of `per_row` is asked for once per row, as details are: its first page counts as one.

    Raises BadUserInputError or InvalidCursorError before any upstream call if one of them is
    wrong, and what paging.take raises.
    """
    digest = listing_digest(listing, item_filter.key if item_filter else "")
    window = PageArguments(
        first=_amount(first, "first", DEFAULT_FIRST if last is None else None),
        after=decode_cursor(digest, after, argument="after") if after else None,
        last=_amount(last, "last", None),
        before=decode_cursor(digest, before, argument="before") if before else None,
    )
    reader = info.context.loader

    first_token = None if window.after is None else window.after.token

    async def load(token: str | None) -> Page:
        try:
            asked_per_row = per_row and token == first_token
            return await reader.page(PageRequest(listing, token), per_row=asked_per_row)
        except BadUserInputError as error:
            if token is None or window.after is None or token != window.after.token:
                raise
            # Everything else in the question was held against the model before.
            raise InvalidCursorError(
                "`after` is a cursor that AWS does not accept any more. Start without it.",
                aws=error.aws,
            ) from error

    look_around = selects(info._raw_info, "pageInfo", "hasNextPage") or (  # noqa: SLF001  Strawberry's own copy of the selection costs more than the rest of this function
        window.last is not None and selects(info._raw_info, "pageInfo", "hasPreviousPage")  # noqa: SLF001
    )
    listed = Listed(load, source.key_of, item_filter.keeps if item_filter else None)
    taken = await paginate(window, listed, look_around=look_around)
    reader.cost.scanned += taken.scanned
    if taken.resume is not None:
        info.context.stopped_early(info._raw_info.path.as_list(), taken.scanned)  # noqa: SLF001
    for at, spot in enumerate(taken.spots):
        shown = reader.first_seen(source.key_of(spot.item), spot.item)
        if shown is not spot.item:
            taken.spots[at] = spot._replace(item=shown)
    return ConnectionPage(digest, source, listed, taken)


def _amount(value: int | None, argument: str, default: int | None) -> int | None:
    if value is None:
        return default
    if not 0 <= value <= MAX_FIRST:
        raise BadUserInputError(f"`{argument}` is {value}. Accepted: 0 to {MAX_FIRST}.")
    return value
