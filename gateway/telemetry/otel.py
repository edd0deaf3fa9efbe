"""OpenTelemetry, an optional extra: imported only if tracing is enabled.

The exporter is configured by OpenTelemetry's own variables OTEL_EXPORTER_OTLP_*, the service name
by OTEL_SERVICE_NAME.
"""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Iterable
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

SERVICE_NAME = "audience-gateway"

SHUTDOWN_SECONDS = 3.0
"""Time to export the last spans before the process ends."""

MAX_HEADER_BYTES = 512
"""Longer trace context is ignored: W3C Trace Context does not require more to be propagated."""

_extract = TraceContextTextMapPropagator().extract


class OtelSpan:
    """Records the given attributes, never the text of an exception."""

    def __init__(self, tracer: trace.Tracer, span: trace.Span) -> None:
        self._tracer = tracer
        self._span = span

    @property
    def trace_id(self) -> str:
        return trace.format_trace_id(self._span.get_span_context().trace_id)

    def start_call(self, name: str, attributes: Attributes) -> "OtelSpan":
        # An explicit context with nothing but the parent, instead of the ambient one.
        context = trace.set_span_in_context(self._span, Context())
        span = self._tracer.start_span(name, context, SpanKind.CLIENT, _without_none(attributes))
        return OtelSpan(self._tracer, span)

    def end(self, attributes: Attributes, *, error: str | None) -> None:
        self._span.set_attributes(_without_none(attributes))
        if error is not None:
            self._span.set_attribute("error.type", error)
            self._span.set_status(StatusCode.ERROR)
        self._span.end()


class OtelTracer:
    """Samples a ratio of requests, 0 to 1, by their trace ids.

    So services with the same ratio sample the same traces. The sampled flag in a caller's
    `traceparent` is ignored.
    """

    def __init__(self, ratio: float) -> None:
        self._sampler = TraceIdRatioBased(ratio)
        self._tracer: trace.Tracer = trace.NoOpTracer()
        # The propagator logs the header values that it rejects.
        for name in ("trace.propagation.tracecontext", "trace.span"):
            logging.getLogger(f"opentelemetry.{name}").setLevel(logging.CRITICAL)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Export spans from a background thread until the block ends."""
        provider = TracerProvider(self._sampler, _resource(), shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = provider.get_tracer(SERVICE_NAME, __version__)
        try:
            yield
        finally:
            # Shutdown takes as long as the collector does, so wait for a limited time only.
            thread = threading.Thread(target=provider.shutdown, name="traces-shutdown", daemon=True)
            thread.start()
            await asyncio.to_thread(thread.join, SHUTDOWN_SECONDS)

    def start_request(
        self, name: str, attributes: Attributes, headers: Iterable[tuple[bytes, bytes]]
    ) -> OtelSpan | None:
        context = _extract(_trace_context(headers), Context())
        span = self._tracer.start_span(name, context, SpanKind.SERVER, _without_none(attributes))
        return OtelSpan(self._tracer, span) if span.is_recording() else None


def _trace_context(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, list[str]]:
    """Return the `traceparent` and `tracestate` headers; none unless there is one `traceparent`.

    `baggage` is never read, and nothing of the trace context is forwarded to AWS.
    """
    found: dict[bytes, list[str]] = {b"traceparent": [], b"tracestate": []}
    for name, value in headers:
        if name in found:
            found[name].append(value.decode("latin-1"))
    if len(found[b"traceparent"]) != 1:
        return {}
    return {
        name.decode(): values
        for name, values in found.items()
        if values and len(",".join(values)) <= MAX_HEADER_BYTES
    }


def _resource() -> Resource:
    configured = OTELResourceDetector().detect().attributes
    defaults = {"service.name": SERVICE_NAME, "service.version": __version__}
    return Resource.create({**defaults, **configured})


def _without_none(attributes: Attributes) -> dict[str, str | int]:
    return cast(
        "dict[str, str | int]",
        {name: value for name, value in attributes.items() if value is not None},
    )
