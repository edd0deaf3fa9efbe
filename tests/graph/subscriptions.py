"""Subscriptions to the graph over an upstream, whose time passes only when tests let it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import cache, partial
from typing import Any

import orjson

from gateway.app import make_context
from gateway.auth.authenticator import Identity
from gateway.auth.credentials import Caller
from gateway.graph.context import Watching as ContextWatching
from gateway.graph.execution.engine import Engine, GraphRequest, GraphResult
from gateway.graph.execution.result_stream import ResultStream, subscribe
from gateway.graph.schema import build_schema, executable_schema
from gateway.http.exchange import RequestOptions
from gateway.http.streams import result_content
from gateway.settings import Settings
from tests.upstream.clients import row
from tests.watch.doubles import ADA, MODEL_ARN, Upstream, Watching, arn, job

JOB = """
  subscription Watch($arn: String!) {
    audienceGenerationJob(audienceGenerationJobArn: $arn) { name status }
  }
"""
CHANGES = """
  subscription Changes($filter: AudienceGenerationJobFilter) {
    audienceGenerationJobChanges(filter: $filter) {
      kind audienceGenerationJobArn audienceGenerationJob { name status }
    }
  }
"""
NO_OPTIONS = RequestOptions(fresh=False, show_cost=False, from_router=True)

SPRING = {"arn": arn("spring")}

MODEL = row("model") | {
    "configuredAudienceModelArn": MODEL_ARN,
    "audienceModelArn": MODEL_ARN.replace("configured-", ""),
    "outputConfig": {},
    "sharedAudienceMetrics": ["ALL"],
}
GET_MODEL = "GetConfiguredAudienceModel"


@cache
def executable() -> Any:
    return executable_schema(build_schema())


class Graph:
    """The graph over an upstream, whose time passes only when tests let it."""

    def __init__(self, upstream: Upstream, *, cache_seconds: float = 60, **limits: Any) -> None:
        self.upstream = upstream
        upstream.responses[GET_MODEL] = MODEL
        self._watching = Watching(upstream, cache_seconds=cache_seconds)
        self._settings = Settings(**limits)
        self.engine = Engine(executable(), self._settings)
        self.executed = 0
        self.before_execution: Callable[[Caller], None] = lambda _: None

    async def subscribe(
        self,
        query: str,
        variables: dict[str, Any] | None = None,
        *,
        identity: Identity = ADA,
        operation_name: str | None = None,
        options: RequestOptions = NO_OPTIONS,
    ) -> ResultStream | GraphResult:
        request = GraphRequest(query, operation_name, variables or {})
        operation = self.engine.prepare(request, read_only=True)
        if isinstance(operation, GraphResult):
            return operation
        loop = asyncio.get_running_loop()
        make = partial(make_context, self._settings, self._watching.client, options=options)

        async def identify() -> Caller:
            assert isinstance(identity, Caller)
            return identity

        def make_event_context(caller: Caller) -> Any:
            self.executed += 1
            self.before_execution(caller)
            return make(identity=caller, deadline=loop.time() + 30)

        context = make(identity=identity, deadline=loop.time() + 30)
        context = replace(context, watching=ContextWatching(self._watching.watcher, identify))
        return await subscribe(
            self.engine, request, operation, context, make_event_context, options
        )

    @asynccontextmanager
    async def events(
        self, query: str, variables: dict[str, Any] | None = None, **options: Any
    ) -> AsyncIterator["Events"]:
        stream = await self.subscribe(query, variables, **options)
        assert isinstance(stream, ResultStream), stream
        try:
            yield Events(stream)
        finally:
            stream.close()
            await asyncio.sleep(0)

    async def pass_interval(self) -> None:
        """Let the next reading take place."""
        await self._watching.time.pass_sleep()
        for _ in range(20):
            await asyncio.sleep(0)


class Events:
    """The results of one subscription."""

    def __init__(self, stream: ResultStream) -> None:
        self._stream = stream

    async def next(self) -> Any:
        """Return the content of the next result; None after the last."""
        async with asyncio.timeout(10):
            result = await self._stream.next()
        return None if result is None else result_content(result)

    async def data(self) -> Any:
        """Return the value of the only root field; None after the last event."""
        content = await self.next()
        if content is None:
            return None
        assert "errors" not in content, content
        (value,) = content["data"].values()
        return parsed(value)

    async def code(self) -> str:
        """Return the code of the only error, which has no data."""
        content = await self.next()
        (error,) = content["errors"]
        assert not content.get("data")
        code: str = error["extensions"]["code"]
        return code


def parsed(value: Any) -> Any:
    """Return a value as JSON has it: objects of AWS are rendered already."""
    return orjson.loads(orjson.dumps(value))


def spring(**members: Any) -> Upstream:
    upstream = Upstream()
    upstream.jobs["spring"] = job("spring") | members
    return upstream
