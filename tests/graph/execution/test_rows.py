"""The shortcut for rows of scalar fields returns exactly what field-by-field execution returns."""

import asyncio
from collections.abc import Awaitable
from typing import Any, cast

import pytest
from graphql import (
    ExecutionResult,
    OverlappingFieldsCanBeMergedRule,
    execute,
    parse,
    validate,
)
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.auth.credentials import Caller
from gateway.graph.context import Context
from gateway.graph.execution.rows import RowExecutor
from gateway.graph.schema import build_schema, executable_schema
from gateway.graph.types.audience_generation_job import JOB
from gateway.settings import Settings
from gateway.upstream.cache.cached_client import CachedClient
from gateway.upstream.loader import CallBudget, RequestLoader
from gateway.upstream.values import Page

SCHEMA = executable_schema(build_schema())
SETTINGS = Settings()
ARN = "arn:aws:cleanrooms-ml:us-east-1:123456789012"


class FieldByField(RowExecutor):
    """Completes rows without the shortcut."""

    def row_completer(self, *_: Any) -> None:
        pass


class OnePage:
    """Stands in for CachedClient: returns one page for any request."""

    def __init__(self, page: Page) -> None:
        self._page = page

    async def fetch(self, *_: Any, **__: Any) -> Page:
        return self._page


def row(number: int, *, full: bool, status: str) -> dict[str, Any]:
    required = {
        "audienceGenerationJobArn": f"{ARN}:audience-generation-job/{number}",
        "configuredAudienceModelArn": f"{ARN}:configured-audience-model/{number}",
        "createTime": "2026-01-02T03:04:05.678Z",
        "name": f"job {number} é",
        "status": status,
        "updateTime": "2026-01-02T03:04:05Z",
    }
    optional = {"collaborationId": "c" * 36, "description": "d", "startedBy": "1" * 12}
    return required | optional if full else required


rows = st.lists(
    st.builds(
        row,
        st.integers(0, 999),
        full=st.booleans(),
        status=st.sampled_from(["ACTIVE", "CREATE_FAILED", "PAUSED_TOMORROW"]),
    ),
    max_size=5,
)
names = st.sampled_from([*JOB.scalar_fields, "__typename"])
aliased = st.builds(
    lambda alias, name: f"{alias}{name}", st.sampled_from(["", "a: ", "b: "]), names
)
conditional = st.builds(
    lambda name, switch: f"{name} {switch}",
    names,
    st.sampled_from(["@skip(if: true)", "@include(if: true)", "@skip(if: $no)"]),
)
nested = st.builds(
    lambda kind, inner: f"... {kind} {{ {inner} }}",
    st.sampled_from(["on AudienceGenerationJob", "on Node", ""]),
    st.just("id"),
)
node_fields = st.lists(
    names | aliased | conditional | nested | st.just("...F"), min_size=1, max_size=6
)
edge_fields = st.lists(
    st.sampled_from(["cursor", "c: cursor", "__typename"])
    | st.builds(lambda fields: f"node {{ {' '.join(fields)} }}", node_fields)
    | st.builds(lambda fields: f"n: node {{ {' '.join(fields)} }}", node_fields),
    min_size=1,
    max_size=4,
)
connections = st.builds(
    lambda edges, nodes: f"edges {{ {' '.join(edges)} }} nodes {{ {' '.join(nodes)} }}",
    edge_fields,
    node_fields,
)
FRAGMENT = "fragment F on AudienceGenerationJob { name status f: description }"


def loader_over(page: Page) -> RequestLoader:
    caller = Caller.from_keys("ASIA" + "A" * 16, "secret", "token")
    return RequestLoader(
        cast("CachedClient", OnePage(page)),
        caller,
        fresh=False,
        deadline=asyncio.get_running_loop().time() + 60,
        page_budget=CallBudget(20, "PAGES"),
        item_budget=CallBudget(20, "ITEMS"),
    )


async def run(query: str, page: Page, executor: type[RowExecutor]) -> ExecutionResult:
    result = execute(
        SCHEMA,
        parse(query),
        context_value=Context(settings=SETTINGS, loader_or_error=loader_over(page)),
        variable_values={"no": False},
        executor_class=executor,
    )
    return await result if isinstance(result, Awaitable) else result


@given(rows, connections)
async def test_both_ways_return_the_same(items: list[dict[str, Any]], selection: str) -> None:
    """Rows may be selected with aliases, directives and fragments; the order is the same, too."""
    query = (
        f"query ($no: Boolean!) {{ audienceGenerationJobs(first: 5) {{ {selection} }}"
        f" _: __typename @skip(if: $no) }} {FRAGMENT}"
    )
    # The only rule that a drawn query may break: an alias that stands for two fields.
    assume(not validate(SCHEMA, parse(query), [OverlappingFieldsCanBeMergedRule]))
    page = Page([*items], None)

    shortcut = await run(query, page, RowExecutor)
    plain = await run(query, page, FieldByField)

    assert shortcut.errors is None
    assert plain.errors is None
    assert shortcut.data == plain.data
    assert str(shortcut.data) == str(plain.data)  # the order of the fields is part of it


async def test_the_shortcut_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """No objects are made for rows of scalar fields."""

    def never(item: Any) -> Any:
        raise AssertionError(item)

    monkeypatch.setattr(JOB, "from_item", never)
    page = Page([row(1, full=True, status="ACTIVE")], None)
    query = "{ audienceGenerationJobs { edges { cursor node { ...F } } nodes { id } } }" + FRAGMENT
    result = await run(query, page, RowExecutor)
    assert result.errors is None
