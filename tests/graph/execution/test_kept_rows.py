"""Texts that pages keep change neither what is returned nor what is counted."""

from collections import Counter
from dataclasses import dataclass
from typing import Any, cast

import orjson
import pytest
from graphql import GraphQLObjectType
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import ThrottledError
from gateway.graph.execution.columns import ListedRowColumn
from gateway.graph.execution.engine import Engine, GraphRequest
from gateway.graph.pagination.cursor import PageCursors
from gateway.graph.types import filter as job_filter
from gateway.upstream.values import Page, PageRequest, UpstreamRequest
from tests.graph.execution.test_executor import (
    REFERENCE,
    SCHEMA,
    SETTINGS,
    Account,
    Selections,
    context_of,
    job_detail,
    job_row,
    jobs,
)

ENGINE = Engine(SCHEMA, SETTINGS)
PAGE_ROWS = 4

JOBS = [
    job_detail(job_row(n, n % 3, full=n % 2 == 0, status=status), {"k": "v"}, 2)
    for n, status in enumerate(["ACTIVE", "CREATE_FAILED", "PAUSED_TOMORROW"] * 4)
]

EDGES = """query ($first: Int, $after: String, $filter: AudienceGenerationJobFilter) {
  audienceGenerationJobs(first: $first, after: $after, filter: $filter) {
    edges { at: cursor node { id name status collaborationId __typename } kind: __typename }
    pageInfo { startCursor endCursor hasNextPage }
  }
}"""


class PagedAccount(Account):
    """An account whose lists have short pages. `kept` ones stay for all requests, as in a cache."""

    def __init__(self, rows: list[dict[str, Any]], *, kept: bool) -> None:
        super().__init__(rows)
        self._kept: dict[PageRequest, Page] | None = {} if kept else None

    def read(self, request: UpstreamRequest[Any]) -> Any:
        if not isinstance(request, PageRequest):
            return super().read(request)
        if self._kept is not None and request in self._kept:
            return self._kept[request]
        whole = super().read(request)
        start = int(request.token or 0)
        stop = start + PAGE_ROWS
        token = str(stop) if stop < len(whole.items) else None
        page = Page(whole.items[start:stop], token)
        if self._kept is not None:
            self._kept[request] = page
        return page


@dataclass
class Outcome:
    data: str
    errors: list[bytes]
    counted: tuple[int, int, int]
    """Rows, values and bytes."""


async def outcome(account: Account, query: str, variables: dict[str, Any]) -> Outcome:
    context = context_of(account)
    request = GraphRequest(query, None, variables)
    result = await ENGINE.run(request, context, read_only=False)
    meter = context.meter
    counted = meter.rows, meter.values, meter.bytes
    # Fields that wait for others at the same time list their errors in any order.
    errors = sorted(map(orjson.dumps, result.errors))
    return Outcome(orjson.dumps(result.data).decode(), errors, counted)


class WithCursors(Selections):
    UNKNOWN = frozenset({"audienceGenerationJob", "audienceModel"})


@st.composite
def queries(draw: st.DrawFn) -> str:
    connection = cast("GraphQLObjectType", REFERENCE.type_map["AudienceGenerationJobConnection"])
    selections = WithCursors(draw)
    return (
        "query ($no: Boolean = false, $first: Int) {"
        f" a: audienceGenerationJobs(first: $first) {selections.of(connection)}"
        f" b: audienceGenerationJobs(last: $first) {selections.of(connection)}"
        " _: __typename @skip(if: $no) }"
    )


@settings(max_examples=50)
@given(jobs(), queries(), st.integers(0, 6), st.booleans())
async def test_kept_texts_are_what_would_be_rendered(
    rows: list[dict[str, Any]],
    query: str,
    first: int,
    throttled: bool,  # noqa: FBT001  drawn, not chosen
) -> None:
    """Whatever is selected, and for whatever part of a page."""
    fresh, kept = PagedAccount(rows, kept=False), PagedAccount(rows, kept=True)
    if throttled:
        for account in (fresh, kept):
            account.errors = {
                each["audienceGenerationJobArn"]: ThrottledError("Slow down.") for each in rows[1:2]
            }
    for variables in ({"first": first}, {"first": 5}, {"first": first}):
        expected = await outcome(fresh, query, variables)
        assert await outcome(kept, query, variables) == expected


@settings(max_examples=25)
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "first": st.integers(1, len(JOBS)),
                "filter": st.fixed_dictionaries(
                    {},
                    optional={
                        "status": st.sampled_from([["ACTIVE"], ["UNKNOWN", "CREATE_FAILED"]]),
                        "nameContains": st.sampled_from(["JOB", "1", "É"]),
                        "startedBy": st.just("1" * 12),
                        "createdAfter": st.just("2026-01-02T04:04:05.677+01:00"),
                        "updatedBefore": st.just("2026-01-02T03:04:05Z"),
                    },
                ),
            }
        ),
        min_size=1,
        max_size=6,
    )
)
async def test_requests_that_differ_in_variables_share_what_pages_keep(
    requests: list[dict[str, Any]],
) -> None:
    fresh, kept = PagedAccount(JOBS, kept=False), PagedAccount(JOBS, kept=True)
    for request in requests:
        after = None
        while True:
            variables = {**request, "after": after}
            expected = await outcome(fresh, EDGES, variables)
            assert await outcome(kept, EDGES, variables) == expected
            connection = orjson.loads(expected.data)["audienceGenerationJobs"]
            if not connection["pageInfo"]["hasNextPage"]:
                break
            after = connection["pageInfo"]["endCursor"]


async def test_a_page_that_is_read_again_is_rendered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """So are its cursors, and what a filter compares. The first request renders what it needs."""
    work: Counter[str] = Counter()
    render, tails, read = ListedRowColumn._render, PageCursors.tails, job_filter._name

    def counted_render(self: Any, items: Any) -> Any:
        work["rows"] += len(items)
        return render(self, items)

    def counted_tails(self: Any, offsets: Any, items: Any) -> Any:
        work["cursors"] += len(items)
        return tails(self, offsets, items)

    def counted_read(item: Any) -> str:
        work["names"] += 1
        return read(item)

    monkeypatch.setattr(ListedRowColumn, "_render", counted_render)
    monkeypatch.setattr(PageCursors, "tails", counted_tails)
    monkeypatch.setattr(job_filter, "_name", counted_read)
    account = PagedAccount(JOBS, kept=True)
    query = EDGES.replace("pageInfo { startCursor endCursor hasNextPage }", "")

    counts = []
    for first in (1, 3, 2, 4, 3):
        await outcome(account, query, {"first": first, "filter": {"nameContains": "job"}})
        counts.append(dict(work))
        work.clear()

    names = {"names": PAGE_ROWS}
    first_time = {"rows": 1, "cursors": 1} | names
    assert counts[0] == first_time
    assert counts[1] == {"rows": PAGE_ROWS, "cursors": PAGE_ROWS}
    assert counts[2:] == [{}, {}, {}]


async def test_a_row_that_another_list_shows_in_another_state_is_not_the_kept_one() -> None:
    """One response shows an object in one state, that in which it was seen first."""
    query = """query ($model: String!) {
      a: audienceGenerationJobs(first: 2) { nodes { name } }
      b: audienceGenerationJobs(first: 3, configuredAudienceModelArn: $model) { nodes { name } }
    }"""
    variables = {"model": JOBS[0]["configuredAudienceModelArn"]}

    class Changing(PagedAccount):
        def read(self, request: UpstreamRequest[Any]) -> Any:
            page = super().read(request)
            if (
                dict(request.parameters).keys() & {"configuredAudienceModelArn"}
                and page.items[0]["name"] == JOBS[0]["name"]
            ):
                page.items[0] = {**page.items[0], "name": "renamed"}
            return page

    account = Changing(JOBS, kept=True)
    for _ in range(3):
        shown = orjson.loads((await outcome(account, query, variables)).data)
        assert shown["b"]["nodes"][0]["name"] == JOBS[0]["name"]
        only_b = "query ($model: String!) {" + query.split("\n")[2] + "}"
        alone = orjson.loads((await outcome(account, only_b, variables)).data)
        assert alone["b"]["nodes"][0]["name"] == "renamed"
