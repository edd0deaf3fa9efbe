"""Sorting a list of 2,000 jobs: the first time, and again for each page."""

import json
from statistics import median
from typing import Any

import orjson

from benchmarks import load
from benchmarks.client import Connection, post
from benchmarks.processes import Process, gateway, upstream_process
from benchmarks.queries import credential_headers
from benchmarks.table import Row, at_most

PAGES = 20
CALLERS = 9
PAGES_OF_A_CALLER = 10
"""Sorted pages that each caller reads from the start, and as many from the end."""
ROWS = 20

MAX_FIRST_MS = 25.0
MAX_NEXT_MS = 5.0

QUERY = """query Sorted($first: Int, $after: String, $last: Int, $before: String) {
  audienceGenerationJobs(
    first: $first, after: $after, last: $last, before: $before
    orderBy: { field: NAME, direction: ASC }
  ) {
    edges { cursor node { id name status createTime updateTime } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  }
}"""
COUNT = "{ audienceGenerationJobs(first: 0) { totalCount } }"


async def measure() -> list[Row]:
    """Sort the list of one caller after the other. No two requests are the same."""
    firsts: list[float] = []
    fronts: list[float] = []
    backs: list[float] = []
    with upstream_process(pages=PAGES) as upstream, gateway(upstream, cache_seconds=60) as ours:
        for caller in range(CALLERS + 1):
            client = _Client(ours, await Connection.to(ours.port), caller)
            await client.ask(COUNT)
            calls = await load.upstream_calls(upstream)
            first, start = await client.ask(QUERY, first=ROWS)
            _, end = await client.ask(QUERY, last=ROWS)
            front = await client.follow(start, "first", "after", "endCursor")
            back = await client.follow(end, "last", "before", "startCursor")
            assert await load.upstream_calls(upstream) == calls
            client.connection.close()
            if caller:  # the first one warms up
                firsts.append(first)
                fronts += front
                backs += back
    return [
        at_most(
            f"order: {PAGES * 100:,} cached jobs, CPU the first time",
            median(firsts),
            MAX_FIRST_MS,
            "ms",
        ),
        at_most("  CPU of each next page from the start", median(fronts), MAX_NEXT_MS, "ms"),
        at_most("  CPU of each next page from the end", median(backs), MAX_NEXT_MS, "ms"),
    ]


class _Client:
    """A caller on a connection of their own."""

    def __init__(self, ours: Process, connection: Connection, caller: int) -> None:
        self._ours = ours
        self.connection = connection
        self._headers = credential_headers(caller)

    async def ask(self, query: str, **variables: Any) -> tuple[float, Any]:
        """Return the milliseconds of CPU that the gateway took, and the connection."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = post("/graphql", body, self._headers)
        before = self._ours.cpu()
        answer = await self.connection.ask(request)
        spent = 1000 * (self._ours.cpu() - before)
        return spent, orjson.loads(answer)["data"]["audienceGenerationJobs"]

    async def follow(self, page: Any, amount: str, argument: str, cursor: str) -> list[float]:
        """Read pages one after the other; return the milliseconds of each."""
        spent: list[float] = []
        for _ in range(PAGES_OF_A_CALLER):
            variables = {amount: ROWS, argument: page["pageInfo"][cursor]}
            milliseconds, page = await self.ask(QUERY, **variables)
            assert len(page["edges"]) == ROWS
            spent.append(milliseconds)
        return spent
