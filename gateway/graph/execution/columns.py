"""Columns: the values of a batch of objects, field by field, as JSON."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
from graphql import GraphQLError, GraphQLOutputType
from graphql.execution.collect_fields import FieldDetailsList

from gateway.concurrency import settle
from gateway.errors import GatewayError, UpstreamInvalidResponseError
from gateway.graph.execution.values import INVALID, compile_value
from gateway.graph.pagination.result import DerivedTexts, PageResult, PageRows
from gateway.graph.types.resource_type import (
    LinkSource,
    ReadAll,
    ResourceObject,
    ValueSource,
)
from gateway.upstream.loader import CONCURRENT_ITEMS
from gateway.upstream.values import Item

if TYPE_CHECKING:
    from gateway.graph.execution.batch import ObjectBatch

FIELD_ERRORS = (GatewayError, GraphQLError)

NULL = b"null"


class SelectedField(NamedTuple):
    name: str
    type: GraphQLOutputType
    response_name: str
    nodes: FieldDetailsList


class Column(ABC):
    size = 1
    """How many values it has of an object, without those of lists, which charge their own."""
    work = 1
    """How many of these values take time to render."""
    rendered_bytes = 0
    """Bytes of its values that are rendered, and counted, already."""
    loads = False
    """Whether `load` must be awaited before `texts`."""
    in_detail = False
    """Whether it reads the Get responses of the batch."""

    async def load(self) -> None:  # noqa: B027  most columns have all they need
        """Load what the rows of a list do not have."""

    @abstractmethod
    def texts(self, start: int, stop: int) -> Sequence[bytes]:
        """Return the JSON of the values of the objects with these indexes."""


class RowColumn(Column):
    """Fields that stand side by side in a selection, and are read from rows without further work.

    Its texts are members of a JSON object, `"name":"value","status":"value"`.
    """

    def __init__(
        self,
        fields: Sequence[tuple[str, str]],
        reads: Mapping[str, ReadAll],
        items: Sequence[Item],
    ) -> None:
        """`fields` are pairs of response name and field name; `reads` has how a field is read."""
        self.size = len(fields)
        self._reads = [(response_name, reads[name]) for response_name, name in fields]
        self._items = items

    def texts(self, start: int, stop: int) -> Sequence[bytes]:
        return self._render(self._items[start:stop])

    def _render(self, items: Sequence[Item]) -> list[bytes]:
        rows: list[dict[str, Any]] = [{} for _ in items]
        for name, read in self._reads:
            for row, value in zip(rows, read(items), strict=True):
                row[name] = value
        return [orjson.dumps(row)[1:-1] for row in rows]


class ListedRowColumn(RowColumn):
    """A RowColumn of a list, whose pages keep the texts."""

    def __init__(
        self, fields: Sequence[tuple[str, str]], reads: Mapping[str, ReadAll], page: PageResult
    ) -> None:
        super().__init__(fields, reads, ())
        self._texts = DerivedTexts(page.parts, (*fields,))

    def texts(self, start: int, stop: int) -> Sequence[bytes]:
        return self._texts.between(start, stop, self._render_rows)

    def _render_rows(self, rows: PageRows) -> list[bytes]:
        return self._render(rows.items)


class CursorColumn(Column):
    """Cursors of edges, without their quotes."""

    def __init__(self, page: PageResult) -> None:
        self._page = page

    def texts(self, start: int, stop: int) -> Sequence[bytes]:
        return self._page.cursors(start, stop)


class ValueColumn(Column):
    """A member of the rows, or of the Get responses, with a type of its own."""

    def __init__(self, batch: "ObjectBatch", field: SelectedField, source: ValueSource) -> None:
        executor = batch.executor
        self._batch = batch
        self._field = field
        self._member = source.member or field.name
        self._convert = source.convert
        completer = compile_value(executor, executor.meter, field.type, field.nodes)
        self._complete = completer.complete
        self.size = self.work = 1 + completer.size
        self.in_detail = source.in_detail

    def texts(self, start: int, stop: int) -> Sequence[bytes]:
        sources = self._batch.details if self.in_detail else self._batch.items
        values = [self._value(index, sources[index]) for index in range(start, stop)]
        return list(map(orjson.dumps, values))

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


class LinkColumn(Column):
    """Objects that the rows link to. One that several rows link to is completed once."""

    loads = True

    def __init__(self, batch: "ObjectBatch", field: SelectedField, source: LinkSource) -> None:
        self._batch = batch
        self._field = field
        self._source = source
        self._keys: list[str | None] = [item.get(source.member) for item in batch.items]
        self._linked: dict[str, bytes | Exception] = {}

    async def load(self) -> None:
        batch, field, executor = self._batch, self._field, self._batch.executor
        found = await batch.find_linked(self._source)
        objects = {key: each for key, each in found.items() if isinstance(each, ResourceObject)}
        first_indexes = {key: index for index, key in reversed([*enumerate(self._keys)])}
        paths = [batch.path(first_indexes[key], field) for key in objects]
        completed = await executor.complete_objects(field.nodes, [*objects.values()], paths)
        texts = dict(zip(objects, completed, strict=True))
        sizes = {key: len(text) for key, text in texts.items() if isinstance(text, bytes)}
        self.rendered_bytes = sum(sizes.get(key, 0) for key in self._keys if key is not None)
        # Counted for each row before the rows are rendered.
        executor.meter.charge_bytes(self.rendered_bytes - sum(sizes.values()))
        self._linked = {key: NULL if each is None else each for key, each in found.items()} | texts

    def texts(self, start: int, stop: int) -> Sequence[bytes]:
        return [self._text(index) for index in range(start, stop)]

    def _text(self, index: int) -> bytes:
        key = self._keys[index]
        linked = NULL if key is None else self._linked[key]
        if isinstance(linked, Exception):
            self._batch.fail(index, self._field, linked)
            return NULL
        return linked


class ResolvedColumn(Column):
    """A field with a resolver, such as a nested connection, executed by graphql-core."""

    loads = True

    def __init__(self, batch: "ObjectBatch", field: SelectedField) -> None:
        self._batch = batch
        self._field = field
        self._values: list[Any] = []

    async def load(self) -> None:
        calls = [partial(self._execute, index) for index in range(len(self._batch.items))]
        self._values = await settle(calls, concurrency=CONCURRENT_ITEMS, errors=FIELD_ERRORS)
        for index, value in enumerate(self._values):
            if isinstance(value, Exception):
                self._batch.failed.setdefault(index, value)
                self._values[index] = None
            self.rendered_bytes += self._batch.executor.pop_size(value)

    def texts(self, start: int, stop: int) -> Sequence[bytes]:
        return list(map(orjson.dumps, self._values[start:stop]))

    async def _execute(self, index: int) -> Any:
        batch, field = self._batch, self._field
        # A resolver that fails on its arguments waits for nothing.
        await batch.executor.meter.pause()
        source = ResourceObject(batch.resource, batch.items[index])
        path = batch.path(index, field)
        value: Any = batch.executor.execute_field(
            batch.executor.object_type(batch.resource.name), source, field.nodes, path, None
        )
        return await value if batch.executor.is_awaitable(value) else value
