"""Whatever valid query is executed, its work and its answer stay within the limits."""

import asyncio
from typing import Any

import orjson
from graphql import GraphQLSchema
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.auth.credentials import Caller
from gateway.graph.context import Context
from gateway.graph.execution.engine import Engine, GraphRequest
from gateway.graph.meter import Meter
from gateway.graph.node import RESOURCE_TYPES, to_global_id
from gateway.graph.projections import projections
from gateway.graph.schema import build_schema, executable_schema
from gateway.settings import Settings
from gateway.upstream.cache.cached_client import CachedClient
from gateway.upstream.cache.memory import MemoryCache
from gateway.upstream.loader import (
    DETAIL_CALLS,
    PAGE_CALLS,
    CallBudget,
    RequestLoader,
)
from tests.hostile.documents import Document, valid_documents
from tests.hostile.maximal_upstream import MaximalUpstream, arn_of
from tests.hostile.values import Known

SCHEMA: GraphQLSchema = executable_schema(build_schema())
ARNS = {
    name: arn_of(each.arn_member, 1) for name, each in RESOURCE_TYPES.items() if each.arn_member
}
KNOWN = Known(["AAAA"], [to_global_id(*each) for each in ARNS.items()], [*ARNS.values()])
LIMITS = Settings(limit_rows=150, limit_fields=200, limit_answer_bytes=15_000)
UPSTREAM = MaximalUpstream(pages=3, sizes={"queryString": 10})


class InProcess:
    """An UpstreamClient over the maximal upstream, without HTTP; counts the bytes it returns."""

    def __init__(self) -> None:
        self.calls = 0

    async def call(self, _: Caller, __: str, operation: str, parameters: Any) -> dict[str, Any]:
        self.calls += 1
        response: dict[str, Any] = orjson.loads(UPSTREAM.respond(operation, parameters))
        return response


def count_values(data: Any) -> int:
    """Count fields, and the scalars in lists; what is in several places is completed once."""
    counted: set[bytes] = set()

    def count(value: Any) -> int:
        if isinstance(value, list):
            return sum(count(each) if isinstance(each, dict) else 1 for each in value)
        content = orjson.dumps(value)
        if not isinstance(value, dict) or content in counted:
            return 0
        counted.add(content)
        return len(value) + sum(map(count, value.values()))

    return count(data)


@settings(max_examples=100)
@given(valid_documents(SCHEMA, KNOWN), st.sampled_from([0, 60]))
async def test_every_valid_query_stays_under_the_meter(
    document: Document, cache_seconds: int
) -> None:
    client = InProcess()
    deadline = asyncio.get_running_loop().time() + 60
    loader = RequestLoader(
        CachedClient(client, MemoryCache(2**26), cache_seconds, projections()),
        Caller.from_keys("ASIA" + "A" * 16, "secret", "token"),
        fresh=False,
        deadline=deadline,
        page_budget=CallBudget(LIMITS.max_upstream_calls, PAGE_CALLS),
        item_budget=CallBudget(LIMITS.max_detail_calls, DETAIL_CALLS),
    )
    meter = Meter(LIMITS, deadline=deadline)
    context = Context(settings=LIMITS, loader_or_error=loader, meter=meter)
    request = GraphRequest(document.query, None, document.variables)
    result = await Engine(SCHEMA, LIMITS).run(request, context, read_only=False)

    content = orjson.dumps(result.data)
    assert client.calls <= LIMITS.max_upstream_calls + LIMITS.max_detail_calls
    assert len(content) <= LIMITS.limit_answer_bytes
    assert count_values(orjson.loads(content)) <= LIMITS.limit_fields
    assert len(result.errors) <= 50
    if result.executed:
        assert meter.rows <= LIMITS.limit_rows
        assert count_values(orjson.loads(content)) <= meter.values
    codes = {error["extensions"]["code"] for error in result.errors}
    assert "INTERNAL" not in codes
