"""What is traced: a span for each request, and one below it for each attempt to call AWS.

Source: OpenTelemetry's semantic conventions for HTTP servers, GraphQL and the AWS SDK. What they
have no name for begins with `gateway.`.

Nothing of OpenTelemetry is imported here: otel.py does that, where anything is traced at all.
"""

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Protocol

Attributes = Mapping[str, str | int | None]
"""What is None is left out."""

OUTCOME = "gateway.outcome"

CLEAN_ROOMS_ML, STS = "CleanRoomsML", "STS"
"""AWS's own names of its services."""

MAX_REQUEST_ID = 64
"""Characters that are told of the id that AWS gave."""


class Span(Protocol):
    """A piece of work that is being traced."""

    @property
    def trace_id(self) -> str:
        """The trace that it is part of, as it is written in a `traceparent`."""

    def call(self, name: str, attributes: Attributes) -> "Span":
        """Begin a call to another service, as part of this."""

    def end(self, attributes: Attributes, *, error: str | None) -> None:
        """End it; `error` is the code of what went wrong, if anything did."""


class Tracer(Protocol):
    """Begins spans, and sees to it that they get to where they are looked at."""

    def request(self, name: str, attributes: Attributes, context: Mapping[str, str]) -> Span | None:
        """Begin a request, as part of the trace that `context` names; None if it is not traced.

        `context` has W3C headers, as far as they are believed.
        """


SPAN: ContextVar[Span | None] = ContextVar("span of the request being served", default=None)
"""None where the request is not traced."""


def begun_call(service: str, operation: str, region: str) -> Span | None:
    """Begin an attempt to call AWS; None if the request it is made for is not traced."""
    request = SPAN.get()
    if request is None:
        return None
    return request.call(
        f"{service}.{operation}",
        {
            "rpc.system.name": "aws-api",
            "rpc.method": f"{service}/{operation}",
            "cloud.region": region,
        },
    )


def end_call(span: Span, outcome: str, aws_request_id: str | None, *, failed: bool) -> None:
    """End it."""
    span.end(
        {OUTCOME: outcome, "aws.request_id": aws_request_id and aws_request_id[:MAX_REQUEST_ID]},
        error=outcome if failed else None,
    )
