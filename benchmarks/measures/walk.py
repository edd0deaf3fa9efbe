"""A walk through a long list: no page is dearer than the one before."""

import time

import orjson

from benchmarks import load
from benchmarks.client import Connection
from benchmarks.processes import Process, canned, gateway
from benchmarks.questions import EVERY_FIELD, ONWARD, question
from benchmarks.table import Row, middle

PAGES = 100
ROWS = 100
WALKS = 5
LOOKING_BACK = 1.15
"""How much dearer the last quarter may look: what the noise of a shared machine makes."""


async def measure() -> list[Row]:
    """Walk with the cache and hasNextPage, and with neither."""
    return [
        *await _walks("", EVERY_FIELD, cache_seconds=5),
        *await _walks(", no cache", ONWARD, cache_seconds=0),
    ]


async def _walks(how: str, query: str, *, cache_seconds: int) -> list[Row]:
    firsts: list[float] = []
    lasts: list[float] = []
    ratios: list[float] = []
    calls: list[int] = []
    with (
        canned(pages=PAGES) as upstream,
        gateway(upstream, cache_seconds=cache_seconds) as ours,
    ):
        for walker in range(WALKS + 1):
            before = await load.calls(upstream)
            times = await _walk(ours, query, walker)
            calls.append(await load.calls(upstream) - before)
            if walker == 0:
                continue  # warms up
            quarter = len(times) // 4
            firsts.append(1000 * middle(times[:quarter]))
            lasts.append(1000 * middle(times[-quarter:]))
            ratios.append(lasts[-1] / firsts[-1])
    walk = f"Walk of {PAGES * ROWS} jobs{how}"
    return [
        Row(
            f"{walk}: last quarter's page to first's",
            f"{middle(lasts):.2f} : {middle(firsts):.2f} ms = {middle(ratios):.2f}",
            f"<= {LOOKING_BACK}",
            middle(ratios) <= LOOKING_BACK,
        ),
        Row(
            f"{walk}: upstream calls",
            f"{max(calls)}",
            f"{PAGES} to {PAGES + 1}",
            PAGES <= max(calls) <= PAGES + 1,
        ),
    ]


async def _walk(ours: Process, query: str, walker: int) -> list[float]:
    """Follow endCursor to the end; returns the seconds that each page took."""
    connection = await Connection.to(ours.port)
    times: list[float] = []
    after: str | None = None
    seen = 0
    while True:
        request = question(query, walker, after=after)
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
