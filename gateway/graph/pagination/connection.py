"""Relay connections: their types, and the declaration of fields that return them.

Source: Relay's Cursor Connections specification.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar, cast

import strawberry
from graphql import FieldNode
from strawberry.annotation import StrawberryAnnotation
from strawberry.types.arguments import StrawberryArgument

from gateway.errors import BadUserInputError, InvalidCursorError, LimitExceededError
from gateway.graph.context import Info, ResolveInfo
from gateway.graph.execution.selections import fields_of
from gateway.graph.node import RESOURCE_TYPES
from gateway.graph.pagination.cursor import decode_cursor, listing_digest
from gateway.graph.pagination.ordering import ItemOrder, paginate_ordered
from gateway.graph.pagination.pager import DEFAULT_FIRST, MAX_FIRST, PageArguments, paginate
from gateway.graph.pagination.result import PageResult
from gateway.graph.pagination.source import LoadPage, UpstreamList
from gateway.graph.types.resource_type import RESOLVE, FieldCost, costly
from gateway.upstream.loader import BudgetSpentError
from gateway.upstream.values import PAGE_SIZE, Item, Listing, Page, PageRequest

T = TypeVar("T")

_FIRST = (
    f"Returns up to this many items from the front: 0 to {MAX_FIRST}. {DEFAULT_FIRST} if `last` is "
    "absent too."
)
_LAST = (
    f"Returns up to this many items from the back: 0 to {MAX_FIRST}. AWS lists forward only, so "
    "this reads the list from its start."
)


@strawberry.federation.type(shareable=True, description="The position of a page in its list.")
class PageInfo:
    has_next_page: bool = strawberry.field(description="Whether more items follow the page.")
    has_previous_page: bool = strawberry.field(description="Whether items precede the page.")
    start_cursor: str | None = strawberry.field(
        description="The cursor of the first edge. Null if there is none."
    )
    end_cursor: str | None = strawberry.field(
        description="The cursor to pass as `after` to get the next page. Null if there is none."
    )


@strawberry.type(description="An item of a list, with its cursor.")
class Edge(Generic[T]):
    cursor: str = strawberry.field(
        description="The position of the item. Opaque: pass it as `after` or `before`. May be "
        "long: send such queries by POST."
    )
    node: T = strawberry.field(description="The item.")


def page_info_field(exact_with: str) -> Any:
    """Declare the field `pageInfo`; `exact_with` are the arguments for `hasPreviousPage`."""
    return strawberry.field(
        description="The position of the page in the list. `hasNextPage` is exact and may cost one "
        "more upstream call; it is also true if the upstream call budget or the deadline was "
        "reached: `endCursor` then continues from there. `hasPreviousPage` is exact with "
        f"{exact_with}; otherwise it says whether `after` is the cursor of an item."
    )


@strawberry.type(description="A page of a list.")
class Connection(Generic[T]):
    """A PageResult in the schema: `execution.executor` completes its fields, counts apart."""

    edges: list[Edge[T]] = strawberry.field(
        description="The items of the page, each with its cursor."
    )
    nodes: list[T] = strawberry.field(description="The items of the page, without their cursors.")
    page_info: PageInfo = page_info_field("`last`")

    @strawberry.field(
        description="The number of items in the whole filtered list, regardless of cursors. Costs "
        "one upstream call per page of 100; null if the remaining upstream call budget does not "
        "suffice."
    )
    async def total_count(self, info: Info) -> int | None:
        counts = await counts_by_status(self, info)
        return None if counts is None else counts.total()


async def counts_by_status(connection: object, info: Info) -> Counter[str] | None:
    """Return the number of items of a connection's whole list by the name of their status.

    None if the upstream call budget or the time does not suffice.
    """
    counts = await cast("PageResult", connection).counts.by_status()
    # Other fields may have counted already, and then nothing was waited for.
    await info.context.meter.pause()
    return counts


class Predicate(NamedTuple):
    """A condition on one value of an item."""

    read: Callable[[Item], Any]
    """Reads the value. What it returns of a page's items is kept with the page, by function."""
    accepts: Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class ItemFilter:
    """A filter of items; two filters have the same `key` if and only if they are equal."""

    predicates: tuple[Predicate, ...]
    key: str

    def matches(self, page: Page, rows: Sequence[int]) -> Sequence[int]:
        """Return which of these rows of a page pass the filter."""
        for read, accepts in self.predicates:
            values = page.values(read)
            rows = [row for row in rows if accepts(values[row])]
        return rows

    def accepts(self, item: Item) -> bool:
        """Return whether an item passes the filter."""
        return all(accepts(read(item)) for read, accepts in self.predicates)


@dataclass(frozen=True, slots=True)
class ListQuery:
    """The list to page through; the resolver of a connection field returns it."""

    region: str
    filters: tuple[tuple[str, str], ...] = ()
    """Filters of AWS's List operation."""
    item_filter: ItemFilter | None = None
    """The filter that the gateway applies itself."""
    order: ItemOrder | None = None
    """None is AWS's own order."""


Fixed = Mapping[str, Callable[[Item], str]]
"""Name of an argument -> how it is read from the row of the object that fixes it."""


def connection_field(
    type_name: str,
    resolver: Callable[..., ListQuery],
    description: str,
    *,
    fixed: Fixed | None = None,
) -> Any:
    """Declare a connection over the list of a resource type that the resolver selects.

    The field has Relay's arguments, then those of the resolver but the `fixed` ones. The resolver
    also takes `info`, of which it may use the context only. A connection with fixed arguments is
    nested: its first page counts as a detail of its row.
    """
    options = costly(FieldCost.CONNECTION, description)
    options["metadata"][RESOLVE] = _ConnectionResolver(type_name, resolver, fixed or {})
    field: Any = strawberry.field(resolver=resolver, **options)
    own_arguments = [each for each in field.arguments if each.python_name not in (fixed or {})]
    field.arguments = [*_PAGE_ARGUMENTS, *own_arguments]
    return field


_PAGE_ARGUMENTS = [
    StrawberryArgument(name, None, StrawberryAnnotation(of_type), description=description)
    for name, of_type, description in (
        ("first", int | None, _FIRST),
        ("after", str | None, "Returns items after this cursor."),
        ("last", int | None, _LAST),
        ("before", str | None, "Returns items before this cursor."),
    )
]


class _ConnectionResolver:
    """Resolves a connection field, as a resolver of graphql-core.

    Strawberry's own resolvers convert the arguments by their annotations on each call, which takes
    longer than the rest.
    """

    def __init__(self, type_name: str, query: Callable[..., ListQuery], fixed: Fixed) -> None:
        self._type_name = type_name
        self._query = query
        self._fixed = fixed.items()
        self._nested = bool(fixed)

    # A coroutine, so that errors of arguments take their turn among those of other fields.
    async def __call__(
        self,
        parent: Any,
        info: ResolveInfo,
        *,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
        **arguments: Any,
    ) -> PageResult:
        for name, read in self._fixed:
            arguments[name] = read(parent.item)
        query = self._query(info, **arguments)
        resource = RESOURCE_TYPES[self._type_name]
        listing = Listing(resource.list_operation, query.region, query.filters)
        filtered, order = query.item_filter, query.order
        digest = listing_digest(
            listing, filtered.key if filtered else "", order.name if order else ""
        )
        relay = first, after, last, before
        look_around = _selects(info, "pageInfo", "hasNextPage") or (
            (last is not None or order is not None)
            and _selects(info, "pageInfo", "hasPreviousPage")
        )

        def source(first_token: str | None) -> UpstreamList:
            load = _page_loader(info, listing, first_token, nested=self._nested)
            return UpstreamList(digest, resource, load, filtered.matches if filtered else None)

        page: PageResult
        if order is None:
            positions = PageArguments.parse(partial(decode_cursor, digest), *relay)
            start = positions.after.token if positions.after else None
            page = await paginate(positions, source(start), look_around=look_around)
        else:
            ranks = PageArguments.parse(partial(order.decode, digest), *relay)
            page = await paginate_ordered(ranks, source(None), order, look_around=look_around)
        return _record(info, page)


def _page_loader(
    info: ResolveInfo, listing: Listing, first_token: str | None, *, nested: bool
) -> LoadPage:
    """Return how the pages of a list are loaded, of which that of `first_token` is the first."""
    loader, meter = info.context.loader, info.context.meter
    # Later requests, and other fields of this one, may need the whole page if it is kept for them.
    is_kept = info.context.settings.cache_seconds > 0 or not _is_only_reader(info)

    async def load(token: str | None, rows: int = PAGE_SIZE) -> Page:
        per_row = nested and token == first_token
        request = PageRequest(listing, token, PAGE_SIZE if is_kept else rows)
        try:
            page = await loader.page(request, per_row=per_row)
        except BudgetSpentError as error:
            if not per_row:
                raise
            # Nothing of this list was read: an empty page would look like an empty list.
            raise LimitExceededError(error.message) from error
        except BadUserInputError as error:
            if token is None or token != first_token:
                raise
            # All other inputs have been checked against the service model.
            raise InvalidCursorError(
                "`after` is a cursor that AWS no longer accepts. Start without it.",
                aws=error.aws,
            ) from error
        meter.charge_rows(len(page.items))
        await meter.pause()
        return page

    return load


def _record(info: ResolveInfo, page: PageResult) -> PageResult:
    """Note a walk that ended early, and show objects of the response in one state."""
    loader = info.context.loader
    if page.resume is not None:
        info.context.record_stopped_walk(info.path.as_list(), page.scanned)
    key_of = page.source.resource.key_of
    page.parts = [
        part.with_items(loader.first_seen_all(map(key_of, part.items), part.items))
        for part in page.parts
    ]
    return page


def _is_only_reader(info: ResolveInfo) -> bool:
    """Return whether the field being resolved is the operation's only one, and reads one page."""
    selections = info.operation.selection_set.selections
    is_only_field = len(selections) == 1 and isinstance(selections[0], FieldNode)
    counts = _selects(info, "totalCount") or _selects(info, "statusCounts")
    return is_only_field and info.path.prev is None and not counts


def _selects(info: ResolveInfo, *path: str) -> bool:
    """Return whether the field being resolved has this path of fields selected below it."""
    nodes: list[FieldNode] = list(info.field_nodes)
    for name in path:
        below = (("", node.selection_set) for node in nodes)
        fields = fields_of(below, info.fragments, info.variable_values.coerced)
        nodes = [field for _, field in fields if field.name.value == name]
    return bool(nodes)
