"""The root fields of subscriptions."""

from collections.abc import Awaitable, Callable, Iterator
from enum import Enum
from typing import Annotated, Any, TypeVar, cast

import strawberry
from strawberry import enum_value

from gateway.graph.context import Context, Info, ResolveInfo
from gateway.graph.events import Event, EventStream
from gateway.graph.pagination.connection import ListQuery
from gateway.graph.types.audience_generation_job import (
    JOB,
    AudienceGenerationJob,
)
from gateway.graph.types.lists import select_jobs
from gateway.graph.types.resource_type import (
    RESOLVE,
    FieldCost,
    ResourceObject,
    costly,
    region_of,
)
from gateway.graph.types.statuses import AudienceGenerationJobStatus
from gateway.upstream.values import Item, ItemRequest, Listing
from gateway.watch.changes import changes_between
from gateway.watch.poll import Reading
from gateway.watch.sources import ListState, ObjectState

Query = TypeVar("Query")

SETTLED = frozenset(
    status.value
    for status in (
        AudienceGenerationJobStatus.ACTIVE,
        AudienceGenerationJobStatus.CREATE_FAILED,
        AudienceGenerationJobStatus.DELETE_FAILED,
    )
)
"""The statuses that a job has until a caller of AWS does something with it."""


@strawberry.enum(description="How an object in a list has changed.")
class ChangeKind(Enum):
    CREATED = enum_value("CREATED", description="It is new in the list, or matches the filter now.")
    UPDATED = enum_value("UPDATED", description="It has changed.")
    DELETED = enum_value(
        "DELETED", description="It is no longer in the list, or no longer matches the filter."
    )


@strawberry.type(description="A change of an audience generation job in a list.")
class AudienceGenerationJobChange:
    kind: ChangeKind = strawberry.field(description="How the job has changed.")
    audience_generation_job_arn: str = strawberry.field(
        description="The job's Amazon Resource Name."
    )
    audience_generation_job: AudienceGenerationJob | None = strawberry.field(
        description="The job as it is now; null if `kind` is `DELETED`."
    )


def _watch_field(
    query: Callable[..., Query],
    watch: Callable[[Context, Query], Awaitable[EventStream[Any]]],
    cost: FieldCost,
    description: str,
) -> Any:
    """Declare a subscription's field with the arguments of `query`, which returns what to watch."""

    async def subscribe(_: None, info: ResolveInfo, **arguments: Any) -> EventStream[Any]:
        return await watch(info.context, query(info, **arguments))

    options = costly(cost, description)
    options["metadata"][RESOLVE] = subscribe
    return strawberry.subscription(resolver=query, **options)


def _job_arn(
    info: Info,
    audience_generation_job_arn: Annotated[
        str, strawberry.argument(description="The job's Amazon Resource Name.")
    ],
) -> str:
    arn = audience_generation_job_arn
    JOB.check_key(arn, argument=JOB.arn_member)
    info.context.check_region(region_of(arn), argument=JOB.arn_member)
    return arn


async def _watch_job(context: Context, arn: str) -> EventStream[ObjectState]:
    request = ItemRequest(JOB.get_operation, region_of(arn), ((JOB.arn_member, arn),))

    def events(reading: Reading[ObjectState]) -> Iterator[Event]:
        state = reading.state
        if state.item is None or state.stored is None:
            yield Event(state.missing, reading)
        else:
            yield Event(ResourceObject(JOB, state.item), reading, {request: state.stored})

    return EventStream(await context.watch_object(request, _is_settled), events)


def _is_settled(item: Item) -> bool:
    return item["status"] in SETTLED


async def _watch_jobs(context: Context, query: ListQuery) -> EventStream[ListState]:
    matches = query.item_filter.accepts if query.item_filter else None
    listing = Listing(JOB.list_operation, query.region, query.filters)
    watch = await context.watch_list(listing, JOB.key_of)
    seen = watch.next_nowait()

    def events(reading: Reading[ListState]) -> Iterator[Event | None]:
        nonlocal seen
        before, seen = seen, reading
        if before is None:
            return  # the list as it is at first
        for change in changes_between(before.state.rows, reading.state.rows, matches):
            if change is None:
                yield None
                continue
            job = change.item and ResourceObject(JOB, change.item)
            value = AudienceGenerationJobChange(
                kind=ChangeKind[change.kind],
                audience_generation_job_arn=change.key,
                audience_generation_job=cast("AudienceGenerationJob | None", job),
            )
            rows = {} if change.item is None else {change.key: change.item}
            yield Event(value, reading, rows=rows, key=(before.version, change.key))

    return EventStream(watch, events)


@strawberry.type(description="Streams of events.")
class Subscription:
    audience_generation_job: AudienceGenerationJob | None = _watch_field(
        _job_arn,
        _watch_job,
        FieldCost.WATCHED_OBJECT,
        "Sends the job with this ARN at once and after each change. Completes when the job is "
        "settled (`ACTIVE`, `CREATE_FAILED` or `DELETE_FAILED`), or after null when it is gone.",
    )
    audience_generation_job_changes: AudienceGenerationJobChange = _watch_field(
        select_jobs,
        _watch_jobs,
        FieldCost.WATCHED_LIST,
        "Sends the jobs that are created, changed or deleted in a list from now on. A slow client "
        "gets the newest state of each.",
    )
