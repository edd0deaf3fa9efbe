"""What a request has read and rendered is freed when it ends, not by a garbage collection."""

import asyncio
import gc
import warnings
from collections.abc import Iterator

import pytest

from gateway.graph.execution.executor import ObjectExecutor
from gateway.graph.pagination.result import PageRows
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
