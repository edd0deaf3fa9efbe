import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.http.middleware import AccessLogMiddleware, TracingMiddleware, request_log_of
from gateway.telemetry.tracing import SPAN, Attributes, start_call


@dataclass
class RecordingSpan:
    """A span, and a tracer, that record what they are given."""

    trace_id: str = "0" * 32
    attributes: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    ended: int = 0
    started: list[str] = field(default_factory=list)

    def start_request(
        self, name: str, attributes: Attributes, headers: Iterable[tuple[bytes, bytes]]
    ) -> "RecordingSpan":
        assert headers == []
        self.started.append(name)
        self.attributes |= attributes
        return self

    def start_call(self, name: str, attributes: Attributes) -> "RecordingSpan":
        assert attributes
        self.started.append(name)
        return RecordingSpan()

    def end(self, attributes: Attributes, *, error: str | None) -> None:
        self.attributes |= attributes
        self.error = error
        self.ended += 1


def responding(status: int, outcome: str) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        request_log = request_log_of(scope)
        request_log.is_graphql, request_log.outcome = True, outcome
        await Response(status_code=status)(scope, receive, send)

    return app


async def crashing(_: Scope, __: Receive, ___: Send) -> None:
    raise RuntimeError("CANARY")


async def cancelled(_: Scope, __: Receive, ___: Send) -> None:
    raise asyncio.CancelledError


async def request(
    app: ASGIApp, span: RecordingSpan, path: str = "/graphql", method: str = "POST"
) -> None:
    async def send(_: Message) -> None:
        pass

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "headers": [],
        "query_string": b"",
        "scheme": "http",
    }
    await TracingMiddleware(AccessLogMiddleware(app), span)(scope, receive, send)


async def traced(app: ASGIApp, path: str = "/graphql", method: str = "POST") -> RecordingSpan:
    span = RecordingSpan()
    await request(app, span, path, method)
    return span


@pytest.mark.parametrize(
    ("status", "outcome", "error"),
    [
        (200, "OK", None),
        (200, "UPSTREAM_UNAVAILABLE", None),
        (200, "INTERNAL", "INTERNAL"),
        (400, "BAD_USER_INPUT", None),
        (503, "OVERLOADED", "OVERLOADED"),
    ],
)
async def test_a_span_fails_if_the_gateway_does(
    status: int, outcome: str, error: str | None
) -> None:
    span = await traced(responding(status, outcome))

    assert (span.error, span.ended) == (error, 1)
    assert span.attributes["http.response.status_code"] == status
    assert span.attributes["gateway.outcome"] == outcome


async def test_the_span_of_a_crash_has_its_code_and_not_its_text() -> None:
    span = await traced(crashing)

    assert (span.error, span.attributes["http.response.status_code"]) == ("INTERNAL", 500)
    assert "CANARY" not in str(span)


async def test_a_cancelled_request_ends_its_span() -> None:
    span = RecordingSpan()
    with pytest.raises(asyncio.CancelledError):
        await request(cancelled, span)

    assert (span.ended, span.error) == (1, None)
    assert SPAN.get() is None


@pytest.mark.parametrize("path", ["/livez", "/metrics", "/graphql/", "/"])
async def test_only_the_endpoint_is_traced(path: str) -> None:
    assert (await traced(responding(200, "OK"), path)).started == []


async def test_span_names_are_from_a_fixed_set() -> None:
    span = await traced(responding(405, "BAD_USER_INPUT"), method="CANARY")

    assert span.started == ["HTTP /graphql"]
    assert span.attributes["http.request.method"] == "_OTHER"


async def test_calls_are_children_of_the_request() -> None:
    """So are those of tasks that it starts; outside a request there is no span."""

    async def call() -> None:
        assert start_call("STS", "Exchange", "eu-west-1") is not None

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.create_task(call())
        await Response()(scope, receive, send)

    span = await traced(app)

    assert span.started == ["POST /graphql", "STS.Exchange"]
    assert start_call("STS", "Exchange", "eu-west-1") is None
