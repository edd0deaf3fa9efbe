"""Paging through a long list: the last pages cost no more than the first."""

import time
from statistics import median

import orjson

from benchmarks import load
from benchmarks.client import Connection
from benchmarks.processes import Process, gateway, upstream_process
from benchmarks.queries import EVERY_FIELD, WITHOUT_NEXT_PAGE, graphql_request
from benchmarks.table import Row

PAGES = 500
ROWS = 100
WALKS = 5
COMPARED = 20
"""Pages at either end: the first are around the 1,000th job, the last before the 50,000th."""
MAX_RATIO = 1.15
"""The noise of a shared machine."""


async def measure() -> list[Row]:
    """Measure with the cache and hasNextPage, and with neither."""
    return [
        *await _walks("", EVERY_FIELD, cache_seconds=5),
        *await _walks(", cache off", WITHOUT_NEXT_PAGE, cache_seconds=0),
    ]


async def _walks(how: str, query: str, *, cache_seconds: int) -> list[Row]:
    firsts: list[float] = []
    lasts: list[float] = []
    ratios: list[float] = []
    calls: list[int] = []
    with (
        upstream_process(pages=PAGES) as upstream,
        gateway(upstream, cache_seconds=cache_seconds) as ours,
    ):
        for walker in range(WALKS + 1):
            before = await load.upstream_calls(upstream)
            times = await _walk(ours, query, walker)
            calls.append(await load.upstream_calls(upstream) - before)
            if walker == 0:
                continue  # warms up
            firsts.append(1000 * median(times[:COMPARED]))
            lasts.append(1000 * median(times[-COMPARED:]))
            ratios.append(lasts[-1] / firsts[-1])
    walk = f"walk{how}"
    return [
        Row(
            f"{walk}: page at {PAGES * ROWS:,} jobs, to one at 1,000",
            f"{median(lasts):.2f} : {median(firsts):.2f} ms = {median(ratios):.2f}",
            f"<= {MAX_RATIO}",
            median(ratios) <= MAX_RATIO,
        ),
        Row(
            f"{walk}: upstream calls of {PAGES} pages",
            f"{max(calls)}",
            f"{PAGES} to {PAGES + 1}",
            PAGES <= max(calls) <= PAGES + 1,
        ),
    ]


async def _walk(ours: Process, query: str, walker: int) -> list[float]:
    """Follow endCursor to the end; return the seconds of each page."""
    connection = await Connection.to(ours.port)
    times: list[float] = []
    after: str | None = None
    seen = 0
    while True:
        request = graphql_request(query, walker, after=after)
        started = time.perf_counter()
        answer = await connection.ask(request)
        seconds = time.perf_counter() - started
        jobs = orjson.loads(answer)["data"]["audienceGenerationJobs"]
        if jobs["edges"]:
            times.append(seconds)
        seen += len(jobs["edges"])
        after = jobs["pageInfo"]["endCursor"]
        if not jobs["edges"] or jobs["pageInfo"].get("hasNextPage") is False:
            break
    connection.close()
    assert seen == PAGES * ROWS
    return times
