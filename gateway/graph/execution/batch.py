"""Batches: objects that are completed together, column by column, as JSON."""

import asyncio
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby, repeat
from typing import TYPE_CHECKING, Any, TypeVar, cast

from graphql import GraphQLObjectType
from graphql.execution.collect_fields import FieldDetailsList
from graphql.pyutils import Path

from gateway.concurrency import run_together, settle
from gateway.errors import drop_tracebacks
from gateway.graph.execution.columns import (
    FIELD_ERRORS,
    Column,
    CursorColumn,
    LinkColumn,
    ListedRowColumn,
    ResolvedColumn,
    RowColumn,
    SelectedField,
    ValueColumn,
)
from gateway.graph.pagination.result import PageResult
from gateway.graph.types.resource_type import (
    ArnResourceType,
    EntityType,
    LinkSource,
    ValueSource,
)
from gateway.upstream.loader import CONCURRENT_ITEMS
from gateway.upstream.values import Item

if TYPE_CHECKING:
    from gateway.graph.execution.executor import ObjectExecutor

T = TypeVar("T")

PathOf = Callable[[int], Path]
"""Returns the path of the object with this index in its batch."""

Layout = list[bytes | Column]
"""The JSON of an object: text that is the same for each object of a batch, and columns."""


class Batch:
    """Objects of one type, and what is selected of them."""

    def __init__(self, failed: dict[int, Exception]) -> None:
        self.failed = failed
        """Index of each object that is null because a required field failed -> the error."""
        self.layout: Layout = []
        self.columns: list[Column] = []
        self.size = 0
        """How many values an object has, without those of lists."""
        self.work = 0
        """How many of them take time to render."""

    @property
    def needs_loading(self) -> bool:
        return any(column.loads or column.in_detail for column in self.columns)

    @property
    def rendered_bytes(self) -> int:
        return sum(column.rendered_bytes for column in self.columns)

    async def load(self) -> None:
        await run_together(self._loads())

    def _loads(self) -> list[Coroutine[Any, Any, None]]:
        return [each.load() for each in self.columns if each.loads]

    def complete(self, start: int, stop: int) -> list[bytes | Exception]:
        """Return the JSON of each of these objects, or the error that made it null."""
        texts = [
            repeat(each, stop - start) if isinstance(each, bytes) else each.texts(start, stop)
            for each in self.layout
        ]
        rows: list[Any] = list(map(b"".join, zip(*texts, strict=True)))
        for index, error in self.failed.items():
            if start <= index < stop:
                rows[index - start] = error
        return rows

    def _lay_out(self, members: Iterable[Layout]) -> None:
        """Lay out an object with these members."""
        text, comma = b"{", b""
        for member in members:
            text += comma
            for each in member:
                if isinstance(each, bytes):
                    text += each
                else:
                    self.layout += [text, each]
                    self.columns.append(each)
                    text = b""
            comma = b","
        self.layout.append(text + b"}")
        self.work = sum(column.work for column in self.columns)


def _member(response_name: str, *value: bytes | Column) -> Layout:
    return [f'"{response_name}":'.encode(), *value]


class EdgeBatch(Batch):
    """The edges of a page of a connection. An edge is null if its node is."""

    def __init__(
        self,
        executor: "ObjectExecutor",
        edge_type: GraphQLObjectType,
        selected: FieldDetailsList,
        page: PageResult,
        path: Path,
    ) -> None:
        super().__init__({})
        self._nodes: list[ObjectBatch] = []
        grouped = executor.collect_subfields(edge_type, selected).grouped_field_set
        members = []
        for response_name, nodes in grouped.items():
            match nodes[0].node.name.value:
                case "cursor":
                    members.append(_member(response_name, b'"', CursorColumn(page), b'"'))
                case "node":
                    path_of = partial(_node_path, path, response_name)
                    batch = ObjectBatch(
                        executor, page.source.resource, nodes, page, path_of, self.failed
                    )
                    self._nodes.append(batch)
                    members.append(_member(response_name, *batch.layout))
                case _:
                    members.append(_member(response_name, f'"{edge_type.name}"'.encode()))
        self._lay_out(members)
        self.size = len(members) + sum(batch.size for batch in self._nodes)

    async def load(self) -> None:
        await run_together([batch.load() for batch in self._nodes])


def _node_path(path: Path, response_name: str, index: int) -> Path:
    return path.add_key(index).add_key(response_name)


class ObjectBatch(Batch):
    """Objects of an entity type."""

    def __init__(
        self,
        executor: "ObjectExecutor",
        resource: EntityType,
        selected: FieldDetailsList,
        objects: PageResult | Sequence[Item],
        path_of: PathOf,
        failed: dict[int, Exception] | None = None,
    ) -> None:
        """`failed` is where the errors of failed objects are, if they are parts of others."""
        super().__init__({} if failed is None else failed)
        self.executor = executor
        self.resource = resource
        self.items = objects.items if isinstance(objects, PageResult) else objects
        self.details: Sequence[Item | Exception] = ()
        """The Get response of each object, or the error that it failed with."""
        self._type = executor.object_type(resource.name)
        self._path_of = path_of
        self._linked: dict[LinkSource, asyncio.Future[Mapping[str, Any]]] = {}
        self._shared_errors: dict[tuple[str, int], Exception] = {}
        grouped = executor.collect_subfields(self._type, selected).grouped_field_set
        self._lay_out(self._members(objects, grouped))
        self.size = sum(column.size for column in self.columns)

    def _loads(self) -> list[Coroutine[Any, Any, None]]:
        loads = super()._loads()
        if any(column.in_detail for column in self.columns):
            loads.append(self._load_details())
        return loads

    def path(self, index: int, field: SelectedField) -> Path:
        return Path(self._path_of(index), field.response_name, self._type.name)

    def fail(self, index: int, field: SelectedField, error: Exception) -> None:
        """Handle the error of an object's field, as graphql-core does: the field is null.

        The object is null instead if the field may not be. An error that several objects share,
        such as that of a caller whom AWS refuses, is listed for the first one only.
        """
        key = field.response_name, id(error)
        if key in self._shared_errors:
            self.executor.omitted_errors += 1
            return
        path = self.path(index, field)
        try:
            self.executor.handle_field_error(error, field.type, field.nodes, path)
        except FIELD_ERRORS as raised:
            drop_tracebacks(raised)
            self.failed.setdefault(index, raised)
        else:
            self._shared_errors[key] = error

    async def find_linked(self, source: LinkSource) -> Mapping[str, Any]:
        """Find the objects that the rows link to, once for all fields that show them.

        Returns by key the object, None if it is gone, or the error.
        """
        if source not in self._linked:
            self._linked[source] = asyncio.ensure_future(self._find_linked(source))
        return await self._linked[source]

    async def _find_linked(self, source: LinkSource) -> Mapping[str, Any]:
        context, member = self.executor.context_value, source.member
        linked = (item.get(member) for item in self.items)
        keys: dict[str, None] = dict.fromkeys(key for key in linked if key is not None)
        calls = [partial(source.target.find, context, key, argument=member) for key in keys]
        found = await self._settle(calls)
        return dict(zip(keys, found, strict=True))

    def _members(
        self, objects: PageResult | Sequence[Item], grouped: Mapping[str, FieldDetailsList]
    ) -> Iterator[Layout]:
        reads = self.resource.scalar_fields
        names = [(each, nodes[0].node.name.value) for each, nodes in grouped.items()]
        for in_row, fields in groupby(names, key=lambda each: each[1] in reads):
            if not in_row:
                for response_name, name in fields:
                    nodes = grouped[response_name]
                    yield _member(response_name, self._column(response_name, name, nodes))
            elif isinstance(objects, PageResult):
                yield [ListedRowColumn([*fields], reads, objects)]
            else:
                yield [RowColumn([*fields], reads, objects)]

    def _column(self, response_name: str, name: str, nodes: FieldDetailsList) -> Column:
        field = SelectedField(name, self._type.fields[name].type, response_name, nodes)
        source = self.resource.sources.get(name)
        # A cycle would keep the executor, with all that it has rendered, in memory until the next
        # full garbage collection.
        batch = cast("ObjectBatch", weakref.proxy(self))
        if isinstance(source, ValueSource):
            return ValueColumn(batch, field, source)
        if isinstance(source, LinkSource):
            return LinkColumn(batch, field, source)
        return ResolvedColumn(batch, field)

    async def _load_details(self) -> None:
        resource, loader = self.resource, self.executor.context_value.loader
        assert isinstance(resource, ArnResourceType)  # noqa: S101  others have no details
        arns = map(resource.key_of, self.items)
        calls = [partial(resource.load_detail, loader, arn) for arn in arns]
        self.details = await self._settle(calls)

    async def _settle(self, calls: Sequence[Callable[[], Awaitable[T]]]) -> list[T | Exception]:
        """Load objects, and let other work continue: all of them may be in the cache."""

        async def load(call: Callable[[], Awaitable[T]]) -> T:
            loaded = await call()
            await self.executor.meter.pause()
            return loaded

        loads = [partial(load, call) for call in calls]
        return await settle(loads, concurrency=CONCURRENT_ITEMS, errors=FIELD_ERRORS)
