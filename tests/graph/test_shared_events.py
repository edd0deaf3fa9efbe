"""Alike subscriptions of a caller: an event is executed once for all of them."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import fields, replace
from typing import Any

import pytest

from gateway.auth.credentials import Caller
from gateway.cpu_scheduler import BURST_SECONDS, CpuScheduler, account_for_tasks
from gateway.http.exchange import RequestOptions
from tests.clock import Clock
from tests.graph.subscriptions import CHANGES, JOB, NO_OPTIONS, SPRING, Events, Graph, spring
from tests.upstream.clients import caller
from tests.watch.doubles import ADA, Upstream, job

WITH_MODEL = """
  subscription Watch($arn: String!) {
    audienceGenerationJob(audienceGenerationJobArn: $arn) { configuredAudienceModel { name } }
  }
"""
TWO = """
  subscription One($arn: String!, $all: Boolean! = true) {
    audienceGenerationJob(audienceGenerationJobArn: $arn) { name status @include(if: $all) }
  }
  subscription Two($arn: String!, $all: Boolean! = true) {
    audienceGenerationJob(audienceGenerationJobArn: $arn) { name status @include(if: $all) }
  }
"""
ONE = {"operation_name": "One"}
ALL = SPRING | {"all": True}


async def next_of(streams: Sequence[Events]) -> list[Any]:
    return await asyncio.gather(*(each.next() for each in streams))


async def opened(stack: AsyncExitStack, graph: Graph, *subscriptions: Any) -> list[Events]:
    """Open subscriptions, given as arguments, and take their first events."""
    streams = []
    for query, variables, options in subscriptions:
        stream = await stack.enter_async_context(graph.events(query, variables, **options))
        await stream.next()
        streams.append(stream)
    return streams


async def test_an_event_is_executed_once() -> None:
    graph = Graph(spring())
    async with AsyncExitStack() as stack:
        streams = await opened(stack, graph, *[(WITH_MODEL, SPRING, {})] * 5)
        executed, calls = graph.executed, len(graph.upstream.calls)
        graph.upstream.jobs["spring"]["description"] = "changed"
        await graph.pass_interval()
        results = await next_of(streams)

    assert graph.executed == executed + 1
    assert len(graph.upstream.calls) <= calls + 2
    assert all(each["data"] for each in results)


OTHER_OPTIONS = [
    {"options": replace(NO_OPTIONS, **{each.name: not getattr(NO_OPTIONS, each.name)})}
    for each in fields(RequestOptions)
]


def caller_of(subscription: Any) -> bytes:
    own: Caller = subscription[2].get("identity", ADA)
    return own.fingerprint


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((JOB, SPRING, {}), (JOB, SPRING, {"identity": caller("grace")})),
        ((JOB, SPRING, {}), (JOB.replace("name", "renamed: name"), SPRING, {})),
        ((TWO, ALL, ONE), (TWO, ALL, {"operation_name": "Two"})),
        ((TWO, ALL, ONE), (TWO, ALL | {"all": False}, ONE)),
        ((TWO, ALL, ONE), (TWO, SPRING, ONE)),
        *(((JOB, SPRING, {}), (JOB, SPRING, options)) for options in OTHER_OPTIONS),
    ],
)
async def test_subscriptions_that_differ_share_nothing(one: Any, other: Any) -> None:
    """By caller, text, operation, variables, or any option of the request."""
    graph = Graph(spring())
    async with AsyncExitStack() as stack:
        streams = await opened(stack, graph, one, other, one, other)
        executed = graph.executed
        graph.upstream.jobs["spring"]["status"] = "ACTIVE"
        for _ in {caller_of(one), caller_of(other)}:
            await graph.pass_interval()
        results = await next_of(streams)

    assert graph.executed == executed + 2
    assert results[0] == results[2]
    assert results[1] == results[3]


async def test_the_cost_is_shown_to_who_asks_for_it() -> None:
    graph = Graph(spring())
    with_cost = {"options": replace(NO_OPTIONS, show_cost=True)}
    async with AsyncExitStack() as stack:
        streams = await opened(stack, graph, (JOB, SPRING, {}), (JOB, SPRING, with_cost))
        graph.upstream.jobs["spring"]["status"] = "ACTIVE"
        await graph.pass_interval()
        plain, explained = await next_of(streams)

    assert "extensions" not in plain
    assert "cost" in explained["extensions"]


async def executing(graph: Graph, streams: Sequence[Events]) -> list[asyncio.Task[Any]]:
    """Let the job change, and wait until its event waits for the upstream."""
    graph.upstream.jobs["spring"]["description"] = "changed"
    await graph.pass_interval()
    graph.upstream.open.clear()
    graph.upstream.started.clear()
    tasks = [asyncio.create_task(each.next()) for each in streams]
    async with asyncio.timeout(10):
        await graph.upstream.started.wait()
    return tasks


async def test_one_may_leave_while_the_event_is_executed() -> None:
    graph = Graph(spring(), cache_seconds=0)
    async with AsyncExitStack() as stack:
        streams = await opened(stack, graph, *[(WITH_MODEL, SPRING, {})] * 3)
        tasks = await executing(graph, streams)
        tasks[0].cancel()
        await asyncio.wait([tasks[0]])
        graph.upstream.open.set()
        results = [await each for each in tasks[1:]]

    assert tasks[0].cancelled()
    assert all(each["data"]["audienceGenerationJob"] for each in results)


async def test_nothing_is_left_when_all_leave() -> None:
    graph = Graph(spring(), cache_seconds=0)
    async with AsyncExitStack() as stack:
        streams = await opened(stack, graph, *[(WITH_MODEL, SPRING, {})] * 3)
        tasks = await executing(graph, streams)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    assert graph.upstream.cancelled == 1
    assert graph.engine.event_results._tasks == {}


async def changes_of(*streams: Events) -> list[tuple[str, str]]:
    """Return name and kind of the next change of each."""
    changes = await asyncio.gather(*(each.data() for each in streams))
    names = [each["audienceGenerationJobArn"].rpartition("/")[2] for each in changes]
    return list(zip(names, (each["kind"] for each in changes), strict=True))


async def test_changes_since_different_states_are_different() -> None:
    """A client that is slow gets what has changed since the state that it has seen."""
    graph = Graph(Upstream([job("a")]))
    async with graph.events(CHANGES) as quick, graph.events(CHANGES) as slow:
        graph.upstream.pages = [[job("b")]]
        await graph.pass_interval()
        seen = [*await changes_of(quick), *await changes_of(quick)]
        graph.upstream.pages = [[job("a", "ACTIVE"), job("b")]]
        await graph.pass_interval()
        different = await changes_of(quick, slow)

    assert seen == [("b", "CREATED"), ("a", "DELETED")]
    assert different == [("a", "CREATED"), ("a", "UPDATED")]


async def test_each_change_is_an_event_of_its_own() -> None:
    """Also if one client gets the second while another one gets the first."""
    graph = Graph(Upstream([job("a")]))
    async with graph.events(CHANGES) as quick, graph.events(CHANGES) as slow:
        graph.upstream.pages = [[job("b")]]
        await graph.pass_interval()
        await changes_of(quick)
        different = await changes_of(quick, slow)

    assert different == [("a", "DELETED"), ("b", "CREATED")]


@pytest.mark.parametrize("are_alike", [True, False])
async def test_a_caller_with_many_subscriptions_delays_only_itself(*, are_alike: bool) -> None:
    """All of them get an event at the same moment, and another caller has a turn meanwhile."""
    graph, clock, has_begun = Graph(spring()), Clock(0.0), asyncio.Event()
    scheduler, turns = CpuScheduler(clock=clock), ""

    def compute(_: Caller) -> None:
        nonlocal turns
        turns += "a"
        clock.now += 2 * BURST_SECONDS
        has_begun.set()

    async def follow(stream: Events) -> None:
        await stream.next()
        if are_alike:  # otherwise it is their executions that take long
            compute(ADA)

    async def compute_for_another() -> None:
        nonlocal turns
        await has_begun.wait()
        turns += "b"

    queries = [JOB if are_alike else JOB.replace("name", f"a{each}: name") for each in range(4)]
    async with AsyncExitStack() as stack:
        streams = await opened(stack, graph, *[(query, SPRING, {}) for query in queries])
        with account_for_tasks():
            tasks = [scheduler.run(b"a", follow(stream)) for stream in streams]
            running = asyncio.gather(*tasks, scheduler.run(b"b", compute_for_another()))
            await asyncio.sleep(0)
            if not are_alike:
                graph.before_execution = compute
            graph.upstream.jobs["spring"]["status"] = "ACTIVE"
            await graph.pass_interval()
            await running

    assert turns == "abaaa"
