"""Batches: objects that are completed together, column by column.

A column holds the values of one selected field, one for each object of the batch.
"""

import asyncio
import weakref
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

from graphql import GraphQLError, GraphQLObjectType, GraphQLOutputType
from graphql.execution.collect_fields import FieldDetailsList
from graphql.pyutils import Path, gather_with_cancel

from gateway.concurrency import settle
from gateway.errors import GatewayError, UpstreamInvalidResponseError, drop_tracebacks
from gateway.graph.execution.values import INVALID, compile_value
from gateway.graph.pagination.pager import PageResult
from gateway.graph.types.resource_type import (
    ArnResourceType,
    LinkSource,
    Read,
    ResourceObject,
    ResourceType,
    ValueSource,
)
from gateway.upstream.loader import CONCURRENT_ITEMS
from gateway.upstream.values import Item

if TYPE_CHECKING:
    from gateway.graph.execution.executor import ObjectExecutor

T = TypeVar("T")

FIELD_ERRORS = (GatewayError, GraphQLError)

PathOf = Callable[[int], Path]
"""Returns the path of the object with this index in its batch."""


@dataclass(frozen=True, slots=True)
class SelectedField:
    name: str
    type: GraphQLOutputType
    response_name: str
    nodes: FieldDetailsList


class Column(ABC):
    size = 1
    """How many values it has of an object, without those of lists, which charge their own."""
    rendered_bytes = 0
    """Bytes of its values that are rendered, and counted, already."""
    loads = False
    """Whether `load` must be awaited before `values`."""
    in_detail = False
    """Whether it reads the Get responses of the batch."""

    async def load(self) -> None:  # noqa: B027  most columns have all they need
        """Load what the rows of a list do not have."""

    @abstractmethod
    def values(self, start: int, stop: int) -> Sequence[Any]:
        """Return the values of the objects with these indexes."""


class Batch:
    """Objects of one type, and the columns that are selected of them."""

    def __init__(self) -> None:
        self.columns: dict[str, Column] = {}
        self.failed: dict[int, Exception] = {}
        """Index of each object that is null because a required field failed -> the error."""

    @property
    def size(self) -> int:
        return sum(column.size for column in self.columns.values())

    @property
    def needs_loading(self) -> bool:
        return any(column.loads for column in self.columns.values())

    @property
    def rendered_bytes(self) -> int:
        return sum(column.rendered_bytes for column in self.columns.values())

    async def load(self) -> None:
        await gather_with_cancel(*(each.load() for each in self.columns.values() if each.loads))

    def complete(self, start: int, stop: int) -> list[dict[str, Any] | Exception]:
        """Complete some of the objects; return each, or the error that made it null."""
        names, columns = [*self.columns], self.columns.values()
        values = [column.values(start, stop) for column in columns]
        rows: list[Any] = [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]
        if not names:
            rows = [{} for _ in range(start, stop)]
        for index, error in self.failed.items():
            if start <= index < stop:
                rows[index - start] = error
        return rows


class EdgeBatch(Batch):
    """The edges of a page of a connection."""

    def __init__(
        self,
        executor: "ObjectExecutor",
        edge_type: GraphQLObjectType,
        selected: FieldDetailsList,
        page: PageResult,
        path: Path,
    ) -> None:
        super().__init__()
        items = page.items
        grouped = executor.collect_subfields(edge_type, selected).grouped_field_set
        for response_name, nodes in grouped.items():
            match nodes[0].node.name.value:
                case "cursor":
                    self.columns[response_name] = _CursorColumn(page)
                case "node":
                    path_of = partial(_node_path, path, response_name)
                    batch = ObjectBatch(executor, page.source.resource, nodes, items, path_of)
                    self.columns[response_name] = _NodeColumn(batch, self.failed)
                case _:
                    self.columns[response_name] = _ConstantColumn(edge_type.name)


def _node_path(path: Path, response_name: str, index: int) -> Path:
    return path.add_key(index).add_key(response_name)


class ObjectBatch(Batch):
    """Objects of a resource type."""

    def __init__(
        self,
        executor: "ObjectExecutor",
        resource: ResourceType,
        selected: FieldDetailsList,
        items: Sequence[Item],
        path_of: PathOf,
    ) -> None:
        super().__init__()
        self.executor = executor
        self.resource = resource
        self.items = items
        self.details: Sequence[Item | Exception] = ()
        """The Get response of each object, or the error that it failed with."""
        self._type = executor.object_type(resource.name)
        self._path_of = path_of
        self._linked: dict[ArnResourceType, asyncio.Future[Mapping[str, Any]]] = {}
        self._shared_errors: dict[tuple[str, int], Exception] = {}
        grouped = executor.collect_subfields(self._type, selected).grouped_field_set
        for response_name, nodes in grouped.items():
            self.columns[response_name] = self._column(response_name, nodes)

    async def load(self) -> None:
        await gather_with_cancel(self._load_details(), super().load())

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

    async def find_linked(self, target: ArnResourceType) -> Mapping[str, Any]:
        """Find the objects of a type that the rows link to, once for all fields that show them.

        Returns by ARN the object, None if it is gone, or the error.
        """
        if target not in self._linked:
            self._linked[target] = asyncio.ensure_future(self._find_linked(target))
        return await self._linked[target]

    async def _find_linked(self, target: ArnResourceType) -> Mapping[str, Any]:
        context, member = self.executor.context_value, target.arn_member
        arns = dict.fromkeys(item[member] for item in self.items)
        calls = [partial(target.find, context, arn, argument=member) for arn in arns]
        found = await self._settle(calls)
        return dict(zip(arns, found, strict=True))

    def _column(self, response_name: str, nodes: FieldDetailsList) -> Column:
        name = nodes[0].node.name.value
        if name == "__typename":
            return _ConstantColumn(self._type.name)
        read = self.resource.scalar_fields.get(name)
        if read is not None:
            return _ScalarColumn(self.items, read)
        field = SelectedField(name, self._type.fields[name].type, response_name, nodes)
        source = self.resource.sources.get(name)
        # A cycle would keep the executor, with all that it has rendered, in memory until the next
        # full garbage collection.
        batch = cast("ObjectBatch", weakref.proxy(self))
        if isinstance(source, ValueSource):
            return _ValueColumn(batch, field, source)
        if isinstance(source, LinkSource):
            return _LinkColumn(batch, field, source.target)
        return _ResolvedColumn(batch, field)

    async def _load_details(self) -> None:
        if not any(column.in_detail for column in self.columns.values()):
            return
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


class _ConstantColumn(Column):
    def __init__(self, value: str) -> None:
        self._value = value

    def values(self, start: int, stop: int) -> Sequence[str]:
        return [self._value] * (stop - start)


class _ScalarColumn(Column):
    def __init__(self, items: Sequence[Item], read: Read) -> None:
        self._items = items
        self._read = read

    def values(self, start: int, stop: int) -> Sequence[Any]:
        return list(map(self._read, self._items[start:stop]))


class _CursorColumn(Column):
    def __init__(self, page: PageResult) -> None:
        self._page = page

    def values(self, start: int, stop: int) -> Sequence[str]:
        return [each.decode() for each in self._page.cursors(start, stop)]


class _NodeColumn(Column):
    """The nodes of edges. An edge is null if its node is."""

    def __init__(self, batch: ObjectBatch, failed: dict[int, Exception]) -> None:
        self._batch = batch
        self._failed = failed
        self.size = 1 + batch.size
        self.loads = batch.needs_loading

    async def load(self) -> None:
        await self._batch.load()
        self.rendered_bytes = self._batch.rendered_bytes

    def values(self, start: int, stop: int) -> Sequence[Any]:
        nodes = self._batch.complete(start, stop)
        self._failed.update(self._batch.failed)
        return nodes


class _ValueColumn(Column):
    """A member of the rows, or of the Get responses, with a type of its own."""

    def __init__(self, batch: ObjectBatch, field: SelectedField, source: ValueSource) -> None:
        executor = batch.executor
        self._batch = batch
        self._field = field
        self._member = source.member or field.name
        self._convert = source.convert
        completer = compile_value(executor, executor.meter, field.type, field.nodes)
        self._complete = completer.complete
        self.size = 1 + completer.size
        self.in_detail = self.loads = source.in_detail

    def values(self, start: int, stop: int) -> Sequence[Any]:
        sources = self._batch.details if self.in_detail else self._batch.items
        return [self._value(index, sources[index]) for index in range(start, stop)]

    def _value(self, index: int, source: Item | Exception) -> Any:
        if isinstance(source, Exception):
            return self._batch.fail(index, self._field, source)
        try:
            value = source.get(self._member)
            return self._complete(self._convert(value) if self._convert else value)
        except INVALID as error:
            invalid = UpstreamInvalidResponseError(
                f"Clean Rooms ML returned an invalid response: `{self._member}` does not match "
                "its model."
            )
            invalid.__cause__ = error
            return self._batch.fail(index, self._field, invalid)


class _LinkColumn(Column):
    """Objects that the rows link to. One that several rows link to is completed once."""

    loads = True

    def __init__(self, batch: ObjectBatch, field: SelectedField, target: ArnResourceType) -> None:
        self._batch = batch
        self._field = field
        self._target = target
        self._arns: list[str] = [item[target.arn_member] for item in batch.items]
        self._linked: dict[str, Any] = {}

    async def load(self) -> None:
        batch, field = self._batch, self._field
        found = await batch.find_linked(self._target)
        objects = {arn: each for arn, each in found.items() if isinstance(each, ResourceObject)}
        first_indexes = {arn: index for index, arn in reversed([*enumerate(self._arns)])}
        paths = [batch.path(first_indexes[arn], field) for arn in objects]
        completed = await batch.executor.complete_objects(field.nodes, [*objects.values()], paths)
        self._linked = {**found, **dict(zip(objects, completed, strict=True))}
        self._render_all()

    def _render_all(self) -> None:
        """Render each object once, and count it for each row before the rows are rendered."""
        executor = self._batch.executor
        sizes: dict[str, int] = {}
        for arn, linked in self._linked.items():
            if isinstance(linked, dict):
                fragment = self._linked[arn] = executor.render(linked)
                sizes[arn] = executor.pop_size(fragment)
        self.rendered_bytes = sum(sizes.get(arn, 0) for arn in self._arns)
        executor.meter.charge_bytes(self.rendered_bytes - sum(sizes.values()))

    def values(self, start: int, stop: int) -> Sequence[Any]:
        return [self._value(index) for index in range(start, stop)]

    def _value(self, index: int) -> Any:
        linked = self._linked[self._arns[index]]
        if isinstance(linked, Exception):
            return self._batch.fail(index, self._field, linked)
        return linked


class _ResolvedColumn(Column):
    """A field with a resolver, such as a nested connection, executed by graphql-core."""

    loads = True

    def __init__(self, batch: ObjectBatch, field: SelectedField) -> None:
        self._batch = batch
        self._field = field
        self._values: list[Any] = []

    async def load(self) -> None:
        calls = [partial(self._execute, index) for index in range(len(self._batch.items))]
        self._values = await settle(calls, concurrency=CONCURRENT_ITEMS, errors=FIELD_ERRORS)
        for index, value in enumerate(self._values):
            if isinstance(value, Exception):
                self._batch.failed.setdefault(index, value)
            self.rendered_bytes += self._batch.executor.pop_size(value)

    def values(self, start: int, stop: int) -> Sequence[Any]:
        return self._values[start:stop]

    async def _execute(self, index: int) -> Any:
        batch, field = self._batch, self._field
        source = ResourceObject(batch.resource, batch.items[index])
        path = batch.path(index, field)
        value: Any = batch.executor.execute_field(
            batch.executor.object_type(batch.resource.name), source, field.nodes, path, None
        )
        return await value if batch.executor.is_awaitable(value) else value
