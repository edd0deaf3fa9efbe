"""Paging through a long list: the last pages cost no more than the first."""

import time
from statistics import median

import orjson

from benchmarks import load
from benchmarks.client import Connection
from benchmarks.processes import Process, gateway, upstream_process
from benchmarks.queries import EVERY_FIELD, WITHOUT_NEXT_PAGE, graphql_request
from benchmarks.table import Row

PAGES = 100
ROWS = 100
WALKS = 5
MAX_RATIO = 1.15
"""The noise of a shared machine in the ratio of the quarters."""


async def measure() -> list[Row]:
    """Measure with the cache and hasNextPage, and with neither."""
    return [
        *await _walks("", EVERY_FIELD, cache_seconds=5),
        *await _walks(", no cache", WITHOUT_NEXT_PAGE, cache_seconds=0),
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
            quarter = len(times) // 4
            firsts.append(1000 * median(times[:quarter]))
            lasts.append(1000 * median(times[-quarter:]))
            ratios.append(lasts[-1] / firsts[-1])
    walk = f"Walk of {PAGES * ROWS} jobs{how}"
    return [
        Row(
            f"{walk}: last quarter's page to first's",
            f"{median(lasts):.2f} : {median(firsts):.2f} ms = {median(ratios):.2f}",
            f"<= {MAX_RATIO}",
            median(ratios) <= MAX_RATIO,
        ),
        Row(
            f"{walk}: upstream calls",
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
