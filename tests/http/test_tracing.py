"""The span of a request: what it has, and what is a failure."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.http.middleware import AccessLogMiddleware
from gateway.http.request_log import request_log_of
from gateway.http.tracing import TracingMiddleware
from gateway.telemetry.tracing import SPAN, Attributes, begun_call


@dataclass
class Remembered:
    """A span, and a tracer, that remembers."""

    trace_id: str = "0" * 32
    told: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    ended: int = 0
    begun: list[str] = field(default_factory=list)

    def request(
        self, name: str, attributes: Attributes, context: Mapping[str, str]
    ) -> "Remembered":
        """Begin it."""
        assert context == {}
        self.begun.append(name)
        self.told |= attributes
        return self

    def call(self, name: str, attributes: Attributes) -> "Remembered":
        """Begin a call."""
        assert attributes
        self.begun.append(name)
        return Remembered()

    def end(self, attributes: Attributes, *, error: str | None) -> None:
        """End it."""
        self.told |= attributes
        self.error = error
        self.ended += 1


def answering(status: int, outcome: str) -> ASGIApp:
    """Give an application that answers so."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        report = request_log_of(scope)
        report.is_graphql, report.outcome = True, outcome
        await Response(status_code=status)(scope, receive, send)

    return app


async def crashing(_: Scope, __: Receive, ___: Send) -> None:
    """Fail, with something to hide."""
    raise RuntimeError("CANARY")


async def leaving(_: Scope, __: Receive, ___: Send) -> None:
    """Be cancelled."""
    raise asyncio.CancelledError


async def asked(app: ASGIApp, path: str = "/graphql", method: str = "POST") -> Remembered:
    """Ask an application once."""
    span = Remembered()
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    scope = {"type": "http", "method": method, "path": path, "headers": [], "query_string": b""}
    await TracingMiddleware(AccessLogMiddleware(app), span)(
        {**scope, "scheme": "http"}, receive, send
    )
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
async def test_a_failure_is_ours(status: int, outcome: str, error: str | None) -> None:
    """By its status or its outcome, and named by its code."""
    span = await asked(answering(status, outcome))

    assert (span.error, span.ended) == (error, 1)
    assert span.told["http.response.status_code"] == status
    assert span.told["gateway.outcome"] == outcome


async def test_a_crash_is_told_by_its_code() -> None:
    """Not by its text, nor by where it happened."""
    span = await asked(crashing)

    assert (span.error, span.told["http.response.status_code"]) == ("INTERNAL", 500)
    assert "CANARY" not in str(span)


async def test_a_span_ends_whatever_happens() -> None:
    """Also where the client has left; and none is there any more afterwards."""
    span = Remembered()
    with pytest.raises(asyncio.CancelledError):
        await TracingMiddleware(AccessLogMiddleware(leaving), span)(
            {
                "type": "http",
                "method": "GET",
                "path": "/graphql",
                "headers": [],
                "query_string": b"",
            }
            | {"scheme": "http"},
            None,  # type: ignore[arg-type]  # nothing is received
            None,  # type: ignore[arg-type]  # nothing is sent
        )

    assert (span.ended, span.error) == (1, None)
    assert SPAN.get() is None


async def test_only_graphql_is_traced() -> None:
    """Health checks and scrapes would bury it."""
    for path in ("/livez", "/metrics", "/graphql/", "/"):
        assert (await asked(answering(200, "OK"), path)).begun == []


async def test_a_method_of_one_s_own_names_no_span() -> None:
    """Names of spans are from a fixed set."""
    span = await asked(answering(405, "BAD_USER_INPUT"), method="CANARY")

    assert span.begun == ["HTTP /graphql"]
    assert span.told["http.request.method"] == "_OTHER"


async def test_calls_are_part_of_the_request_that_is_traced() -> None:
    """Those of tasks that it starts too; outside of one there is no span."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def call() -> None:
            assert begun_call("STS", "Exchange", "eu-west-1") is not None

        await asyncio.create_task(call())
        await Response()(scope, receive, send)

    span = await asked(app)

    assert span.begun == ["POST /graphql", "STS.Exchange"]
    assert begun_call("STS", "Exchange", "eu-west-1") is None
