"""Loading objects that are all in the cache lets other work continue on the way."""

import asyncio
from typing import Any

import pytest

from gateway.graph.meter import SLICE_SECONDS
from tests.graph.execution.test_executor import Account, job_detail, job_row, run
from tests.graph.test_meter import compute_for

JOBS = [job_detail(job_row(n, n + 1, full=True, status="ACTIVE"), {"k": "v"}, 2) for n in range(60)]


class CachedAccount(Account):
    """Has everything in the cache. Reading an object takes half a slice."""

    async def cached(self, *arguments: Any, **_: Any) -> Any:
        caller, request = arguments
        if not request.is_list:
            compute_for(SLICE_SECONDS / 2)
        return await self.fetch(caller, request)


@pytest.mark.parametrize("field", ["tags { key }", "configuredAudienceModel { name }"])
async def test_loading_from_the_cache_pauses_after_each_slice(field: str) -> None:
    iterations = 0

    async def other_work() -> None:
        nonlocal iterations
        while True:
            await asyncio.sleep(0)
            iterations += 1

    other = asyncio.create_task(other_work())
    query = f"{{ audienceGenerationJobs(first: 60) {{ nodes {{ {field} }} }} }}"
    result = await run(CachedAccount(JOBS), query)
    other.cancel()

    assert result.errors == []
    assert iterations > len(JOBS) / 4
