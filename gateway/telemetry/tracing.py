"""Spans: one for each GraphQL request, and one below it for each attempt to call AWS.

Source: OpenTelemetry's semantic conventions for HTTP servers, GraphQL and the AWS SDK. Other names
begin with `gateway.`.

OpenTelemetry itself is imported in otel.py only, if tracing is enabled.
"""

from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from typing import Protocol

Attributes = Mapping[str, str | int | None]
"""Attributes that are None are left out."""

OUTCOME = "gateway.outcome"

CLEAN_ROOMS_ML, STS = "CleanRoomsML", "STS"
"""Names of AWS services, as AWS writes them."""

MAX_AWS_REQUEST_ID = 64
"""Characters recorded of a request id that AWS returned."""


class Span(Protocol):
    @property
    def trace_id(self) -> str:
        """The trace id in hexadecimal, as in a `traceparent` header."""

    def start_call(self, name: str, attributes: Attributes) -> "Span":
        """Start a child span for a call to another service."""

    def end(self, attributes: Attributes, *, error: str | None) -> None:
        """End the span; `error` is the error code if the work failed."""


class Tracer(Protocol):
    def start_request(
        self, name: str, attributes: Attributes, headers: Iterable[tuple[bytes, bytes]]
    ) -> Span | None:
        """Start the span of a request, in the trace that its headers name if they name one.

        Returns None if the request is not sampled. `headers` are those of an ASGI scope.
        """


SPAN: ContextVar[Span | None] = ContextVar("span of the current request", default=None)
"""None if the request is not traced."""


def start_call(service: str, operation: str, region: str) -> Span | None:
    """Start the span of an attempt to call AWS; None if the current request is not traced."""
    request = SPAN.get()
    if request is None:
        return None
    return request.start_call(
        f"{service}.{operation}",
        {
            "rpc.system.name": "aws-api",
            "rpc.method": f"{service}/{operation}",
            "cloud.region": region,
        },
    )


def end_call(span: Span, outcome: str, aws_request_id: str | None, *, failed: bool) -> None:
    span.end(
        {
            OUTCOME: outcome,
            "aws.request_id": aws_request_id and aws_request_id[:MAX_AWS_REQUEST_ID],
        },
        error=outcome if failed else None,
    )
