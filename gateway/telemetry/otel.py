"""OpenTelemetry. All of it is in here, and imported only where anything is traced.

It is the extra `otel`. Where spans go is its own affair: the variables OTEL_EXPORTER_OTLP_*, and
OTEL_SERVICE_NAME for what the gateway is called there.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import cast

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from gateway import __version__
from gateway.telemetry.tracing import Attributes

NAME = "audience-gateway"

END_SECONDS = 3.0
"""How long the end of the program waits for the last spans to be taken."""

_context_of = TraceContextTextMapPropagator().extract


class OtelSpan:
    """A span. It holds what it is given, never an exception's text."""

    def __init__(self, tracer: trace.Tracer, span: trace.Span) -> None:
        self._tracer = tracer
        self._span = span

    @property
    def trace_id(self) -> str:
        """The trace that it is part of."""
        return trace.format_trace_id(self._span.get_span_context().trace_id)

    def call(self, name: str, attributes: Attributes) -> "OtelSpan":
        """Begin a call to another service, as part of this."""
        # A context of our own, not the ambient one: there is nothing in it but the parent.
        context = trace.set_span_in_context(self._span, Context())
        span = self._tracer.start_span(name, context, SpanKind.CLIENT, _present(attributes))
        return OtelSpan(self._tracer, span)

    def end(self, attributes: Attributes, *, error: str | None) -> None:
        """End it."""
        self._span.set_attributes(_present(attributes))
        if error is not None:
            self._span.set_attribute("error.type", error)
            self._span.set_status(StatusCode.ERROR)
        self._span.end()


class OtelTracer:
    """Traces a share of the requests, between 0 and 1, by their trace ids.

    So all who sample by the same share choose the same traces; whether a caller has chosen to
    sample one has no say.
    """

    def __init__(self, share: float) -> None:
        self._sampler = TraceIdRatioBased(share)
        self._tracer: trace.Tracer = trace.NoOpTracer()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Send what is traced inside, from a thread of its own; the last of it at the end."""
        provider = TracerProvider(self._sampler, _resource(), shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = provider.get_tracer(NAME, __version__)
        try:
            yield
        finally:
            # It takes as long as the collector likes, so nobody waits for its end but for so long.
            ending = threading.Thread(target=provider.shutdown, name="traces-end", daemon=True)
            ending.start()
            await asyncio.to_thread(ending.join, END_SECONDS)

    def request(
        self, name: str, attributes: Attributes, context: Mapping[str, str]
    ) -> OtelSpan | None:
        """Begin a request; None if it is not traced."""
        span = self._tracer.start_span(
            name, _context_of(context, Context()), SpanKind.SERVER, _present(attributes)
        )
        return OtelSpan(self._tracer, span) if span.is_recording() else None


def _resource() -> Resource:
    given = OTELResourceDetector().detect().attributes
    ours = {"service.name": NAME, "service.version": __version__}
    return Resource.create({**ours, **given})


def _present(attributes: Attributes) -> dict[str, str | int]:
    return cast(
        "dict[str, str | int]",
        {name: value for name, value in attributes.items() if value is not None},
    )
