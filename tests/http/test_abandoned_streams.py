"""A client that leaves, at any moment, leaves nothing behind."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from prometheus_client import REGISTRY
from starlette.types import Message, Scope

from gateway.app import create_app
from gateway.http import streams
from gateway.settings import Settings
from gateway.upstream.resilience.callers import UNPROVED
from tests.event_streams import CHANGES, JOB, TRANSPORTS
from tests.gateways import Sandbox
from tests.http.asgi import Client, caller_headers, started

PATIENCE_SECONDS = 60
FAST = 0.01
"""Seconds between polls, and between signs of life."""

ITERATIONS = 100_000
"""Of the event loop, in which all that was cancelled ends."""

QUERY = "{ audienceModels(first: 1) { nodes { name } } }"
WITH_EXPORTS = JOB.replace("status }", "status exportJobs { nodes { name } } }")
SUBSCRIPTIONS = {"job": JOB, "job and its exports": WITH_EXPORTS, "list": CHANGES}

MESSAGES = 5
"""Head, opening, and three events or signs of life."""


@dataclass
class Visitor:
    """A client that receives some messages of a response, and then leaves."""

    leave_at: int
    """The message that it leaves at; 0: before the head."""
    takes_it: bool
    """Whether it still takes that one. Otherwise it is being sent for ever."""
    body: bytes = b""
    received: list[Message] = field(default_factory=list)
    waiting: asyncio.Event = field(default_factory=asyncio.Event)
    """Set at the moment at which it leaves."""
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    async def receive(self) -> Message:
        if self.body:
            body, self.body = self.body, b""
            return {"type": "http.request", "body": body, "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.received.append(message)
        if len(self.received) == self.leave_at:
            self.waiting.set()
            if self.takes_it:
                self.gone.set()
            else:
                await asyncio.Event().wait()


Leave = Callable[["asyncio.Task[None]", Visitor], None]


def disconnect(_: "asyncio.Task[None]", visitor: Visitor) -> None:
    visitor.gone.set()


def cancel(task: "asyncio.Task[None]", _: Visitor) -> None:
    """As the server does at the end of the time for its shutdown."""
    task.cancel()


@dataclass(frozen=True)
class Gateway:
    """A gateway in this event loop."""

    client: Client
    sandbox: Sandbox

    async def visit(self, query: str, transport: str, visitor: Visitor, leave: Leave) -> None:
        """Subscribe until the client has left, and nothing is in progress for it any more."""
        arn = self.sandbox.start_job()
        variables = {"arn": arn} if "$arn" in query else {}
        visitor.body = orjson.dumps({"query": query, "variables": variables})
        async with asyncio.timeout(PATIENCE_SECONDS):
            task = asyncio.create_task(self.serve(transport, visitor))
            await visitor.waiting.wait()
            leave(task, visitor)
            await asyncio.wait([task])

    async def serve(self, transport: str, visitor: Visitor) -> None:
        await self.serve_scope(self.client.scope(caller_headers(Accept=transport)), visitor)

    async def serve_scope(self, scope: Scope, visitor: Visitor) -> None:
        await self.client.app(scope, visitor.receive, visitor.send)

    async def until_only(self, expected: "InProgress") -> None:
        """Wait until nothing else is in progress."""
        for _ in range(ITERATIONS):
            now = self.in_progress()
            if now.tasks <= expected.tasks and now.held == expected.held:
                return
            await asyncio.sleep(0)
        raise AssertionError(now.tasks - expected.tasks, now.held)

    def in_progress(self) -> "InProgress":
        state: Any = self.client.app.state  # type: ignore[attr-defined]
        watcher = self.client.state["watcher"]
        held = {
            "places": state.health.limiter.in_flight,
            "part": state.health.limiter._shared_slots[UNPROVED]._free,
            "subscriptions": len(state.subscriptions._open),
            "by caller": dict(state.subscriptions._by_caller),
            "watched": len(watcher._watched),
            "calls": len(watcher._client._flights._tasks),
            "gauges": [
                REGISTRY.get_sample_value(f"gateway_{name}")
                for name in ("subscriptions", "watches", "watched_bytes")
            ],
        }
        return InProgress(asyncio.all_tasks(), held)


@dataclass(frozen=True)
class InProgress:
    """What clients make a gateway do and hold."""

    tasks: set["asyncio.Task[Any]"]
    held: dict[str, Any]


@asynccontextmanager
async def gateway_over(sandbox: Sandbox) -> AsyncIterator[Gateway]:
    settings = Settings(
        upstream_url=sandbox.url, watch_seconds=FAST, cache_seconds=0, caller_calls_per_second=0
    )
    async with started(create_app(settings)) as client:
        yield Gateway(client, sandbox)


@pytest.fixture(autouse=True)
def fast_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "HEARTBEAT_SECONDS", FAST)


@pytest.mark.parametrize("leave", [disconnect, cancel])
@pytest.mark.parametrize("takes_it", [True, False])
@pytest.mark.parametrize("leave_at", range(1, MESSAGES + 1))
@pytest.mark.parametrize("query", SUBSCRIPTIONS.values(), ids=SUBSCRIPTIONS)
async def test_a_client_may_leave_at_any_message(
    sandbox: Sandbox, query: str, leave_at: int, *, takes_it: bool, leave: Leave
) -> None:
    transport = TRANSPORTS[leave_at % 2]
    visitor = Visitor(leave_at, takes_it)
    async with gateway_over(sandbox) as gateway:
        await gateway.client.ask(QUERY)
        before = gateway.in_progress()
        await gateway.visit(query, transport, visitor, leave)
        await gateway.until_only(before)


@pytest.mark.parametrize("leave", [disconnect, cancel])
@pytest.mark.parametrize(
    ("query", "operation"),
    [
        (JOB, "GetAudienceGenerationJob"),
        (CHANGES, "ListAudienceGenerationJobs"),
        (WITH_EXPORTS, "ListAudienceExportJobs"),
    ],
    ids=["first reading of a job", "first reading of a list", "an event"],
)
async def test_a_client_may_leave_during_a_call(
    sandbox: Sandbox, query: str, operation: str, leave: Leave
) -> None:
    """Before the first reading has ended, and while an event is being made."""
    async with gateway_over(sandbox) as gateway:
        await gateway.client.ask(QUERY)
        before = gateway.in_progress()
        sandbox.reset()
        sandbox.fault("hang", operation=operation)
        visitor = Visitor(0, takes_it=False)
        visiting = asyncio.create_task(gateway.visit(query, TRANSPORTS[0], visitor, leave))
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await asyncio.to_thread(sandbox.count, operation):
                pass
        visitor.waiting.set()
        await visiting
        await gateway.until_only(before)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_client_may_have_left_before_its_stream_begins(
    sandbox: Sandbox, transport: str
) -> None:
    """The poll of another one has the state already, so that nothing is waited for."""
    async with gateway_over(sandbox) as gateway:
        arn = sandbox.start_job()
        body = orjson.dumps({"query": JOB, "variables": {"arn": arn}})
        stays = Visitor(3, takes_it=False, body=body)
        staying = asyncio.create_task(gateway.serve(transport, stays))
        await stays.waiting.wait()
        before = gateway.in_progress()
        leaves = Visitor(0, takes_it=False, body=body)
        leaves.gone.set()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await gateway.serve(transport, leaves)
            await gateway.until_only(before)
            stays.gone.set()
            await staying


async def test_an_idle_stream_keeps_no_credentials(sandbox: Sandbox) -> None:
    """It lasts for an hour, and the poll has those that it needs."""
    async with gateway_over(sandbox) as gateway:
        arn = sandbox.start_job()
        body = orjson.dumps({"query": JOB, "variables": {"arn": arn}})
        visitor = Visitor(3, takes_it=False, body=body)
        scope = gateway.client.scope(caller_headers(Accept=TRANSPORTS[0]))
        async with asyncio.timeout(PATIENCE_SECONDS), asyncio.TaskGroup() as group:
            group.create_task(gateway.serve_scope(scope, visitor))
            await visitor.waiting.wait()
            kept = scope["headers"], scope["query_string"]
            visitor.gone.set()

    assert kept == ([], b"")
