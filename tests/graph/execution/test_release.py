"""What a request has read and rendered is freed when it ends, not by a garbage collection."""

import asyncio
import gc
import warnings
from collections.abc import Awaitable, Callable, Iterator
from itertools import count
from typing import Any
from uuid import UUID

import pytest

from gateway.auth.credentials import Caller
from gateway.cpu_scheduler import CpuScheduler, account_for_tasks
from gateway.errors import UpstreamTimeoutError
from gateway.graph.execution.engine import GraphResult
from gateway.graph.execution.executor import ObjectExecutor
from gateway.graph.meter import OperationEndedError
from gateway.graph.pagination.result import PageRows
from gateway.upstream.values import UpstreamRequest
from tests.graph.execution.test_executor import JOBS, Account, run

CURSORS = " ".join(f"c{number}: cursor" for number in range(30))


@pytest.fixture
def no_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize(
    "query",
    [
        "{ audienceGenerationJobs { nodes { tags { key } } } }",
        "{ audienceGenerationJobs { nodes { configuredAudienceModel { name } } } }",
        "{ audienceGenerationJobs { edges { node { exportJobs { nodes { name } } } } } }",
        '{ audienceGenerationJobs { nodes { name } } node(id: "bad") { id } }',
        '{ audienceGenerationJobs { nodes { exportJobs(after: "bad") { totalCount } } } }',
        "{ audienceGenerationJobs { edges { cursor node { name } } pageInfo { endCursor } } }",
        "{ _entities(representations: [{}]) { __typename } }",
        "{ audienceGenerationJobs(first: 60) { edges { " + CURSORS + " } } }",
    ],
    ids=[
        "details",
        "links",
        "lists",
        "error",
        "nested errors",
        "rows and cursors",
        "error of an entity",
        "limit",
    ],
)
@pytest.mark.usefixtures("no_collection")
async def test_no_cycle_keeps_an_executor_or_rows(query: str) -> None:
    await run(Account(JOBS), query, limit_answer_bytes=50_000)
    await asyncio.sleep(0)  # the tasks of the operation end

    assert not [each for each in gc.get_objects() if type(each) in {ObjectExecutor, PageRows}]


async def test_fields_beside_one_that_ends_the_operation_are_closed() -> None:
    query = "{ audienceGenerationJobs(first: 60) { totalCount edges { " + CURSORS + " } } }"
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        result = await run(Account(JOBS), query, limit_answer_bytes=50_000)
        gc.collect()

    assert result.outcome == "LIMIT_EXCEEDED"
    assert [str(each.message) for each in warned] == []


MANY_FIELDS = """query($collaboration: ID) {
  first: audienceGenerationJobs(first: 5) {
    totalCount
    statusCounts { count }
    nodes { tags { key } exportJobs { totalCount nodes { name } } }
    edges { node { configuredAudienceModel { name sharedAudienceMetrics } } }
  }
  last: audienceGenerationJobs(first: 5, collaborationId: $collaboration) { nodes { name } }
}"""
LAST = {"collaboration": str(UUID(int=1))}

LAST_MOMENT = 30
"""By then, all fields but the last list are complete."""


class EndingAccount(Account):
    """Ends the operation some iterations of the event loop after the last list was requested."""

    def __init__(self, iterations: int) -> None:
        super().__init__(JOBS)
        self._iterations = iterations

    async def fetch(self, _: Caller, request: UpstreamRequest[Any], **options: Any) -> Any:
        if "collaborationId" in dict(request.parameters):
            for _iteration in range(self._iterations):
                await asyncio.sleep(0)
            raise OperationEndedError(UpstreamTimeoutError("as after the deadline"))
        return await super().fetch(_, request, **options)


async def run_as_task(account: Account) -> GraphResult:
    with account_for_tasks():
        return await CpuScheduler().run(b"caller", run(account, MANY_FIELDS, LAST))


async def warnings_of(start: Callable[[int], Awaitable[bool]]) -> list[str]:
    """Return the warnings at each moment, of which `start` returns whether it is the last."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for moment in count():
            is_last = await start(moment)
            await asyncio.sleep(0)  # the tasks of the operation end
            if is_last:
                break
        gc.collect()
    return [str(each.message) for each in warned]


async def test_fields_are_closed_at_whatever_moment_the_operation_is_cancelled() -> None:
    """Those that have not started have coroutines that nothing awaits."""

    async def cancel_at(moment: int) -> bool:
        task = asyncio.create_task(run_as_task(Account(JOBS)))
        for _ in range(moment + 1):
            await asyncio.sleep(0)
        done = task.done()
        task.cancel()
        await asyncio.wait([task])
        return done

    assert await warnings_of(cancel_at) == []


async def test_fields_are_closed_at_whatever_moment_another_one_ends_the_operation() -> None:
    async def end_at(moment: int) -> bool:
        result = await run_as_task(EndingAccount(moment))
        assert result.outcome == "UPSTREAM_TIMEOUT"
        return moment == LAST_MOMENT

    assert await warnings_of(end_at) == []
