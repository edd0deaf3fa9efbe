"""An OTLP collector that records spans: an ASGI application, and the same over gRPC."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Sent
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

SERVER, CLIENT = Sent.SPAN_KIND_SERVER, Sent.SPAN_KIND_CLIENT


@dataclass(frozen=True)
class ReceivedSpan:
    """A span as it was received."""

    name: str
    kind: int
    trace_id: str
    span_id: str
    parent: str
    """Empty for a root span."""
    state: str
    attributes: dict[str, Any]
    failed: bool
    service: dict[str, Any]
    """Attributes of its resource, the program."""
    text: str
    """The whole span as text."""


@dataclass
class Collector:
    spans: list[ReceivedSpan] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert (scope["type"], scope["path"]) == ("http", "/v1/traces")
        self.record(ExportTraceServiceRequest.FromString(await Request(scope, receive).body()))
        await Response(media_type="application/x-protobuf")(scope, receive, send)

    def record(self, sent: ExportTraceServiceRequest) -> None:
        for resource in sent.resource_spans:
            service = _attributes(resource.resource.attributes)
            for scoped in resource.scope_spans:
                self.spans += [_received(span, service) for span in scoped.spans]

    @property
    def requests(self) -> list[ReceivedSpan]:
        """Spans of requests, in the order in which they ended."""
        return [span for span in self.spans if span.kind == SERVER]

    def calls_of(self, request: ReceivedSpan) -> list[ReceivedSpan]:
        """Return the spans of the calls to AWS for a request, in the order in which they ended."""
        return [span for span in self.spans if span.parent == request.span_id]


class _Servicer(TraceServiceServicer):
    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def Export(  # noqa: N802  the name in the protocol
        self,
        request: ExportTraceServiceRequest,
        context: Any,  # noqa: ARG002
    ) -> ExportTraceServiceResponse:
        self._collector.record(request)
        return ExportTraceServiceResponse()


@contextmanager
def serve_grpc(collector: Collector, certificate: Path | None = None) -> Iterator[int]:
    """Yield the port of the collector over gRPC, with TLS if there is a certificate and key."""
    server = grpc.server(ThreadPoolExecutor(max_workers=2))
    add_TraceServiceServicer_to_server(_Servicer(collector), server)  # type: ignore[no-untyped-call]
    if certificate is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        pem = certificate.read_bytes()
        credentials = grpc.ssl_server_credentials([(pem, pem)])
        port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    try:
        yield port
    finally:
        server.stop(0).wait()


def _received(span: Sent, service: dict[str, Any]) -> ReceivedSpan:
    return ReceivedSpan(
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
