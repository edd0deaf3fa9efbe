"""Work that waits for nothing, since all is in the cache, lets other work continue on the way."""

import asyncio
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from gateway.graph.execution.engine import Engine, GraphRequest
from gateway.graph.meter import SLICE_SECONDS, Meter
from tests.graph.execution.test_executor import (
    SCHEMA,
    SETTINGS,
    Account,
    context_of,
    job_detail,
    job_row,
    run,
)
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


class CountingMeter(Meter):
    """Counts the places at which other work could continue."""

    pauses = 0

    async def pause(self) -> None:
        self.pauses += 1
        await super().pause()


async def pauses_in(query: str) -> int:
    meter = CountingMeter(SETTINGS, deadline=asyncio.get_running_loop().time() + 60)
    context = replace(context_of(CachedAccount(JOBS)), meter=meter)
    await Engine(SCHEMA, SETTINGS).run(GraphRequest(query), context, read_only=False)
    return meter.pauses


@pytest.mark.parametrize(
    "arguments", ['after: "none"', "first: -1", 'filter: {nameContains: "%s"}' % ("x" * 99)]
)
async def test_nested_lists_pause_if_their_arguments_are_invalid(arguments: str) -> None:
    """Each list checks it again, and a cursor may have 64 KB."""
    nested = f"exportJobs({arguments}) {{ nodes {{ name }} }}"
    pauses = await pauses_in(f"{{ audienceGenerationJobs(first: 60) {{ nodes {{ {nested} }} }} }}")

    assert pauses >= len(JOBS)


@pytest.mark.parametrize("field", ["totalCount", "statusCounts { count status }"])
async def test_fields_that_count_pause_if_the_list_was_counted_before(field: str) -> None:
    def query(number: int) -> str:
        fields = " ".join(f"a{each}: {field}" for each in range(number))
        return f"{{ audienceGenerationJobs(first: 1) {{ {fields} }} }}"

    assert await pauses_in(query(20)) == await pauses_in(query(1)) + 19


async def test_entities_that_are_known_by_their_keys_pause() -> None:
    ids = [UUID(int=number) for number in range(60)]
    representations = " ".join(f'{{ __typename: "Collaboration", id: "{each}" }}' for each in ids)
    query = f"{{ _entities(representations: [{representations}]) {{ __typename }} }}"

    assert await pauses_in(query) >= len(ids)
