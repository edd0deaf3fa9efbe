"""Execution of an operation by graphql-core, with objects of AWS completed in batches.

graphql-core completes one field after the other, never lets other work continue, and makes an
error for each field that fails. Here the rows of a list are completed together, from what AWS
returned of them, in slices between which other operations continue; a meter counts all of it.
"""

import weakref
from collections.abc import Awaitable, Coroutine, Iterator, Sequence
from functools import partial
from typing import Any, cast

import orjson
from graphql import (
    GraphQLAbstractType,
    GraphQLLeafType,
    GraphQLList,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLResolveInfo,
    GraphQLResolveInfoHelpers,
    GraphQLSchema,
    default_field_resolver,
    default_type_resolver,
    get_named_type,
    is_non_null_type,
)
from graphql.execution import Executor, VariableValues
from graphql.execution.collect_fields import FieldDetailsList, GroupedFieldSet
from graphql.pyutils import AwaitableOrValue, Path

from gateway.cpu_scheduler import close_arguments
from gateway.errors import GatewayError
from gateway.graph.context import Context
from gateway.graph.execution.batch import Batch, EdgeBatch, ObjectBatch
from gateway.graph.execution.named_objects import complete_named
from gateway.graph.execution.pages import PAGE_FIELDS, execute_page_field
from gateway.graph.execution.plan import Plan
from gateway.graph.meter import OperationEndedError
from gateway.graph.node import NamedObjects
from gateway.graph.pagination.result import PageResult
from gateway.graph.types.resource_type import ResourceObject

MAX_LISTED_ERRORS = 50
"""The other errors of a response are counted in `extensions.errorsOmitted`."""

SLICE_VALUES = 250
"""Values that are rendered at a time. Each may have 14 KB: a cursor. Members of an object that a
page has kept together count as one."""

SMALL_BATCH_VALUES = 2_000
"""A batch of up to this many values takes less than SLICE_SECONDS, and is completed at once."""


class ObjectExecutor(Executor[Any]):
    """graphql-core's executor, which completes the objects of AWS in batches."""

    context_value: Context

    def __init__(
        self,
        schema: GraphQLSchema,
        plan: Plan,
        variables: VariableValues,
        context: Context,
        *,
        hide_suggestions: bool,
        root_value: Any = None,
    ) -> None:
        super().__init__(
            schema,
            plan.fragment_definitions,
            plan.fragments,
            root_value,
            context,
            plan.operation,
            variables,
            default_field_resolver,
            default_type_resolver,
            default_field_resolver,
            hide_suggestions=hide_suggestions,
        )
        self._relevant_sub_fields = plan.subfields
        self._plan = plan
        # graphql-core's own helpers hold the executor that holds them. The cycle would keep what a
        # request has read and rendered in memory until the next full garbage collection.
        executor = weakref.proxy(self)
        self.async_helpers = GraphQLResolveInfoHelpers(
            gather=partial(Executor.gather_async_work, executor),
            track=partial(Executor.track_async_work, executor),
        )
        self.meter = self.context_value.meter
        self.omitted_errors = 0
        """How many errors are not in the result."""
        self._sizes: dict[orjson.Fragment, int] = {}
        """The size of each fragment that is no part of another yet; orjson does not tell it."""

    def execute_collected_root_fields(
        self,
        root_type: GraphQLObjectType,
        root_value: Any,
        grouped_field_set: GroupedFieldSet,
        serially: bool,  # noqa: FBT001  graphql-core's
        new_defer_usages: Sequence[Any],
    ) -> AwaitableOrValue[dict[str, Any]]:
        return super().execute_collected_root_fields(
            root_type,
            root_value,
            self._plan.root_fields(grouped_field_set),
            serially,
            new_defer_usages,
        )

    def complete_list_value(
        self,
        return_type: GraphQLList[Any],
        field_details_list: FieldDetailsList,
        info: GraphQLResolveInfo[Any],
        path: Path,
        result: Any,
        position_context: Any,
    ) -> Any:
        if isinstance(result, NamedObjects):
            return complete_named(self, info.return_type, field_details_list, path, result)
        return super().complete_list_value(
            return_type, field_details_list, info, path, result, position_context
        )

    def complete_object_value(
        self,
        return_type: GraphQLObjectType,
        field_details_list: FieldDetailsList,
        info: GraphQLResolveInfo[Any],
        path: Path,
        result: Any,
        position_context: Any,
    ) -> Any:
        if isinstance(result, ResourceObject):
            return self._complete_one(field_details_list, path, result)
        if isinstance(result, PageResult):
            return self.collect_and_execute_subfields(
                return_type, field_details_list, path, result, position_context
            )
        return super().complete_object_value(
            return_type, field_details_list, info, path, result, position_context
        )

    def complete_abstract_value(
        self,
        return_type: GraphQLAbstractType,
        field_details_list: FieldDetailsList,
        info: GraphQLResolveInfo[Any],
        path: Path,
        result: Any,
        position_context: Any,
    ) -> Any:
        if isinstance(result, ResourceObject):
            return self._complete_one(field_details_list, path, result)
        return super().complete_abstract_value(
            return_type, field_details_list, info, path, result, position_context
        )

    def execute_field(
        self,
        parent_type: GraphQLObjectType,
        source: Any,
        field_details_list: FieldDetailsList,
        path: Path,
        position_context: Any,
    ) -> Any:
        if isinstance(source, PageResult):
            name = field_details_list[0].node.name.value
            if name in PAGE_FIELDS:
                field_type = parent_type.fields[name].type
                return execute_page_field(self, field_type, field_details_list, path, source)
        return super().execute_field(
            parent_type, source, field_details_list, path, position_context
        )

    def execute_fields(
        self,
        parent_type: GraphQLObjectType,
        source_value: Any,
        path: Path | None,
        grouped_field_set: dict[str, FieldDetailsList],
        position_context: Any,
    ) -> AwaitableOrValue[dict[str, Any]]:
        self.meter.charge_values(len(grouped_field_set))
        self.meter.charge_bytes(sum(map(len, grouped_field_set)) + 4 * len(grouped_field_set))
        return super().execute_fields(
            parent_type, source_value, path, grouped_field_set, position_context
        )

    def complete_leaf_value(self, return_type: GraphQLLeafType, result: Any) -> Any:  # type: ignore[override]  # static in graphql-core
        value = super().complete_leaf_value(return_type, result)
        if type(value) is str:
            self.meter.charge_bytes(len(value))
        return value

    def handle_field_error(
        self,
        raw_error: Exception,
        return_type: GraphQLOutputType,
        field_details_list: FieldDetailsList,
        path: Path,
    ) -> None:
        """List an error, or only count it, if MAX_LISTED_ERRORS are listed."""
        if isinstance(raw_error, OperationEndedError):
            raise raw_error.with_traceback(None)
        listed = len(self.collected_errors.errors)
        if isinstance(raw_error, GatewayError) and listed >= MAX_LISTED_ERRORS:
            if self.error_propagation and is_non_null_type(return_type):
                raise raw_error
            self.omitted_errors += 1
            return
        self.meter.charge_path(path.as_list())
        super().handle_field_error(raw_error, return_type, field_details_list, path)

    def settle_in_background(self, awaitables: list[Awaitable[Any]]) -> None:
        """Drop the fields beside the one whose error made their parent null."""
        for each in cast("list[Coroutine[Any, Any, Any]]", awaitables):
            close_arguments(each)
            each.close()

    def pop_size(self, value: Any) -> int:
        """Return how many bytes of a completed value are rendered, and counted, already.

        Call it once, before the value is rendered as a part of another: otherwise the value would
        stay in memory beside its copy.
        """
        if isinstance(value, orjson.Fragment):
            return self._sizes.pop(value)
        return sum(map(self.pop_size, value.values())) if isinstance(value, dict) else 0

    def object_type(self, name: str) -> GraphQLObjectType:
        return cast("GraphQLObjectType", self.schema.type_map[name])

    async def complete_objects(
        self, selected: FieldDetailsList, objects: Sequence[ResourceObject], paths: Sequence[Path]
    ) -> list[bytes | Exception]:
        """Complete objects of any types, and count their bytes.

        Returns the JSON of each, or the error that made it null.
        """
        completed: list[Any] = [None] * len(objects)
        for resource in {id(each.resource): each.resource for each in objects}.values():
            indexes = [i for i, each in enumerate(objects) if each.resource is resource]
            items = [objects[i].item for i in indexes]
            of_type = [paths[i] for i in indexes]
            batch = ObjectBatch(self, resource, selected, items, of_type.__getitem__)
            await batch.load()
            self.meter.charge_bytes(-batch.rendered_bytes)
            for start, rows in self._slices(batch, len(items)):
                self.meter.charge_bytes(sum(len(row) for row in rows if isinstance(row, bytes)))
                for index, row in zip(indexes[start:], rows, strict=False):
                    completed[index] = row
                await self.meter.pause()
        return completed

    def complete_page(
        self,
        return_type: GraphQLList[Any],
        selected: FieldDetailsList,
        path: Path,
        page: PageResult,
    ) -> AwaitableOrValue[orjson.Fragment]:
        """Complete and render the list of a page's edges or nodes."""
        row_type = cast("GraphQLObjectType", get_named_type(return_type))
        resource, count = page.source.resource, len(page)
        batch: Batch
        if row_type.name == resource.name:
            batch = ObjectBatch(self, resource, selected, page, path.add_key)
        else:
            batch = EdgeBatch(self, row_type, selected, page, path)
        if batch.needs_loading or count * batch.size > SMALL_BATCH_VALUES:
            return self._load_and_complete(batch, count)
        return self.list_of([self._joined(batch, rows) for _, rows in self._slices(batch, count)])

    async def _load_and_complete(self, batch: Batch, count: int) -> orjson.Fragment:
        await batch.load()
        # What is rendered already is counted again, with the objects that it is part of.
        self.meter.charge_bytes(-batch.rendered_bytes)
        rendered = []
        for _, rows in self._slices(batch, count):
            rendered.append(self._joined(batch, rows))
            await self.meter.pause()
        return self.list_of(rendered)

    def _slices(self, batch: Batch, count: int) -> Iterator[tuple[int, list[bytes | Exception]]]:
        """Complete a batch; yields the index of the first object of a slice, and the slice."""
        size, work = batch.size, batch.work
        step = max(1, SLICE_VALUES // max(1, work))
        start = 0
        while start < count:
            stop = min(start + step, count)
            self.meter.charge_values((stop - start) * size)
            before = self.meter.values
            rows = batch.complete(start, stop)
            # The values of lists inside objects are known only now.
            completed = max(1, (stop - start) * work + self.meter.values - before)
            step = max(1, SLICE_VALUES * (stop - start) // completed)
            yield start, rows
            start = stop

    async def _complete_one(
        self, selected: FieldDetailsList, path: Path, result: ResourceObject
    ) -> orjson.Fragment:
        (completed,) = await self.complete_objects(selected, [result], [path])
        if isinstance(completed, Exception):
            raise completed
        return self._fragment(completed)

    def _joined(self, batch: Batch, rows: Sequence[bytes | Exception]) -> bytes:
        """Join the JSON of objects, and count it; raises the error of the first that failed."""
        if batch.failed:
            for row in rows:
                if isinstance(row, Exception):
                    raise row
        content = b",".join(cast("Sequence[bytes]", rows))
        self.meter.charge_bytes(len(content))
        return content

    def list_of(self, slices: list[bytes]) -> orjson.Fragment:
        """Join the elements of a list, which are counted already: one text may have several."""
        return self._fragment(b"[%b]" % b",".join(slices))

    def _fragment(self, content: bytes) -> orjson.Fragment:
        fragment = orjson.Fragment(content)
        self._sizes[fragment] = len(content)
        return fragment
