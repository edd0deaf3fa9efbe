"""The memory of what is watched."""

import gc
import tracemalloc
from types import SimpleNamespace
from typing import Any, cast

from gateway.graph.types.audience_generation_job import JOB
from gateway.telemetry.metrics import WATCHED_BYTES
from gateway.upstream.cache.cached_client import CachedClient
from gateway.upstream.values import Item, Page, PageRequest
from gateway.watch.memory import WatchMemory
from gateway.watch.sources import ListSource
from tests.upstream.clients import FIRST_PAGE, caller, row

PAGES = 10
ROWS_PER_PAGE = 100


class Lists:
    """A client whose list has new rows in each response."""

    async def fetch(self, _: object, request: PageRequest, **__: object) -> Any:
        number = int(request.token or 0)
        rows: list[Item] = [row(f"{number}-{each}") for each in range(ROWS_PER_PAGE)]
        token = str(number + 1) if number + 1 < PAGES else None
        return SimpleNamespace(value=Page(rows, token))


async def test_rows_take_no_more_memory_than_is_counted() -> None:
    """So that the limit on their bytes is one on memory."""
    source = ListSource(
        cast("CachedClient", Lists()),
        FIRST_PAGE.listing,
        JOB.key_of,
        max_pages=PAGES,
        memory=WatchMemory(),
    )
    counted_before = WATCHED_BYTES._value.get()
    await source.read(caller("ada"), None)  # what is made once
    source.close()
    tracemalloc.start()
    try:
        state = await source.read(caller("ada"), None)
        gc.collect()
        traced, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    counted = WATCHED_BYTES._value.get() - counted_before
    source.close()

    assert len(state.rows) == PAGES * ROWS_PER_PAGE
    assert traced <= counted
    assert WATCHED_BYTES._value.get() == counted_before
