"""A collector: an ASGI application that takes traces by OTLP over HTTP, and remembers them."""

from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Sent
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

SERVER, CLIENT = Sent.SPAN_KIND_SERVER, Sent.SPAN_KIND_CLIENT


@dataclass(frozen=True)
class Seen:
    """A span as it came."""

    name: str
    kind: int
    trace_id: str
    span_id: str
    parent: str
    """Empty if it has none."""
    state: str
    attributes: dict[str, Any]
    failed: bool
    service: dict[str, Any]
    """What is told of the program that it comes from."""
    text: str
    """All of it."""


@dataclass
class Collector:
    """An ASGI application to be served."""

    spans: list[Seen] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take some spans."""
        assert (scope["type"], scope["path"]) == ("http", "/v1/traces")
        sent = ExportTraceServiceRequest.FromString(await Request(scope, receive).body())
        for resource in sent.resource_spans:
            service = _attributes(resource.resource.attributes)
            for scoped in resource.scope_spans:
                self.spans += [_seen(span, service) for span in scoped.spans]
        await Response(media_type="application/x-protobuf")(scope, receive, send)

    @property
    def requests(self) -> list[Seen]:
        """The requests, in the order in which they ended."""
        return [span for span in self.spans if span.kind == SERVER]

    def calls_of(self, request: Seen) -> list[Seen]:
        """Give the calls to AWS for a request, in the order in which they ended."""
        return [span for span in self.spans if span.parent == request.span_id]


def _seen(span: Sent, service: dict[str, Any]) -> Seen:
    return Seen(
        span.name,
        span.kind,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.trace_state,
        _attributes(span.attributes),
        span.status.code == Status.STATUS_CODE_ERROR,
        service,
        str(span),
    )


def _attributes(listed: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in listed}
