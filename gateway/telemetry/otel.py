"""OpenTelemetry, an optional extra: imported only if tracing is enabled.

The exporter is configured by OpenTelemetry's own variables OTEL_EXPORTER_OTLP_*, the service name
by OTEL_SERVICE_NAME. It connects by the rule of all connections.
"""

import asyncio
import logging
import os
import re
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import requests
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.re import parse_env_headers

from gateway import __version__
from gateway.outgoing import invalid_variable, new_tls_context, proxy_for, trusted_certificates
from gateway.setting_files import read_setting_file
from gateway.telemetry.tracing import Attributes

SERVICE_NAME = "audience-gateway"

DEFAULT_ENDPOINT = "http://localhost:4317"
"""By gRPC."""

SHUTDOWN_SECONDS = 3.0
"""Time to export the last spans before the process ends."""

MAX_HEADER_BYTES = 512
"""Longer trace context is ignored: W3C Trace Context does not require more to be propagated."""

_extract = TraceContextTextMapPropagator().extract


def tracing_is_disabled() -> bool:
    """Return whether OpenTelemetry's variables disable tracing.

    Raises SettingsError if they ask for an exporter that is not supported.
    """
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return True
    return _choice(("OTEL_TRACES_EXPORTER",), ("otlp", "none")) == "none"


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
        """Raise SettingsError if a variable of OpenTelemetry has a value that is not supported."""
        # They log the header values that they reject.
        for name in ("trace.propagation.tracecontext", "trace.span", "util.re"):
            logging.getLogger(f"opentelemetry.{name}").setLevel(logging.CRITICAL)
        _check_processing()
        self._make_exporter = _exporter()
        self._sampler = TraceIdRatioBased(ratio)
        self._tracer: trace.Tracer = trace.NoOpTracer()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Export spans from a background thread until the block ends."""
        provider = TracerProvider(self._sampler, _resource(), shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(self._make_exporter()))
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


PROTOCOL = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
ENDPOINT = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
HEADERS = ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")
CERTIFICATE = ("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE")
CLIENT_KEY = ("OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", "OTEL_EXPORTER_OTLP_CLIENT_KEY")
CLIENT_CERTIFICATE = (
    "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
)
"""Of each pair, the variable for traces alone comes first."""

_ENDPOINT = re.compile(
    r"https?://(\[[0-9a-f:.]+\]|[^\s/?#@:\[\]]+)(:\d{1,5})?(/[^\s?#]*)?", re.IGNORECASE
)


def _check_processing() -> None:
    """Raise SettingsError for a number that OpenTelemetry refuses only when it is used."""
    try:
        SpanLimits()
    except ValueError as error:
        name, _, problem = str(error).partition(" ")
        raise invalid_variable(name, problem, "integers of at least 0") from None
    try:
        processor: Any = BatchSpanProcessor(InMemorySpanExporter())
    except ValueError as error:
        argument, _, problem = str(error).partition(" ")
        name = f"OTEL_BSP_{argument.removesuffix('_millis').upper()}"
        raise invalid_variable(name, problem.rstrip("."), "integers above 0") from None
    processor.shutdown()


def _exporter() -> Callable[[], SpanExporter]:
    """Return what opens the exporter; raises SettingsError."""
    protocol = _choice(PROTOCOL, ("http/protobuf", "grpc"))
    _check_destination(protocol)
    return _grpc_exporter() if protocol == "grpc" else _http_exporter()


def _check_destination(protocol: str) -> None:
    """Raise SettingsError for an endpoint or a header that the exporters would log as invalid.

    Both may contain secrets, which its text does not.
    """
    for name in ENDPOINT:
        endpoint = os.environ.get(name) or DEFAULT_ENDPOINT
        # gRPC's may be a host and a port.
        if not _ENDPOINT.fullmatch(_with_scheme(endpoint) if protocol == "grpc" else endpoint):
            accepted = "`http://host:port` or `https://host:port`, without user and password"
            raise invalid_variable(name, "the value is invalid", accepted)
    for name in HEADERS:
        headers = os.environ.get(name, "").split(",")
        if not all(parse_env_headers(each, liberal=True) for each in headers if each.strip()):
            accepted = "`name=value`, separated by commas, with percent-encoded values"
            raise invalid_variable(name, "a header is invalid", accepted)


def _with_scheme(endpoint: str) -> str:
    return endpoint if "://" in endpoint else f"https://{endpoint}"


def _http_exporter() -> Callable[[], SpanExporter]:
    session = requests.Session()
    session.trust_env = False
    adapter = _Adapter(trusted_certificates(*CERTIFICATE))
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return lambda: OTLPSpanExporter(session=session)


class _Adapter(requests.adapters.HTTPAdapter):
    """Connects to a collector with the proxies and authorities of all connections."""

    def __init__(self, certificates: str) -> None:
        self._context = new_tls_context(certificates)
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._context, **options)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        context = self._context
        return super().proxy_manager_for(
            proxy, ssl_context=context, proxy_ssl_context=context, **options
        )

    def cert_verify(self, conn: Any, *args: Any) -> None:
        super().cert_verify(conn, *args)
        # requests would add its own authorities to those of the context.
        conn.ca_certs = conn.ca_cert_dir = None

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> Any:
        proxy = proxy_for(str(request.url))
        options["proxies"] = {"all": str(proxy)} if proxy else {}
        return super().send(request, *args, **options)


def _grpc_exporter() -> Callable[[], SpanExporter]:
    # Imported here, because it takes 16 MB, which the other protocol need not have.
    import grpc  # noqa: PLC0415
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (  # noqa: PLC0415
        OTLPSpanExporter as GrpcSpanExporter,
    )

    named = (os.environ.get(name) for name in ENDPOINT)
    proxy = proxy_for(_with_scheme(next(filter(None, named), DEFAULT_ENDPOINT)))
    if proxy is not None and proxy.scheme != "http":
        problem = "`grpc` cannot use a proxy with an https:// URL"
        raise invalid_variable(PROTOCOL[-1], problem, "`http/protobuf`, or a proxy with http://")
    # Otherwise gRPC would read variables of its own, and those in lower case only.
    option = ("grpc.http_proxy", str(proxy)) if proxy else ("grpc.enable_http_proxy", 0)
    key, certificate = (_read(names) for names in (CLIENT_KEY, CLIENT_CERTIFICATE))
    roots = trusted_certificates(*CERTIFICATE).encode()
    credentials = grpc.ssl_channel_credentials(roots, key, certificate)
    options: Any = (option,)
    return lambda: GrpcSpanExporter(credentials=credentials, channel_options=options)


def _choice(names: Iterable[str], choices: tuple[str, ...]) -> str:
    """Return the value of the first variable that is set, or the first choice.

    Raises SettingsError if it is none of the choices.
    """
    for name in names:
        value = os.environ.get(name, "").strip().lower()
        if value in choices:
            return value
        if value:
            raise invalid_variable(name, f"`{value}` is not supported", " or ".join(choices))
    return choices[0]


def _read(names: Iterable[str]) -> bytes | None:
    """Return the content of the file that the first of the variables that is set names."""
    for name in names:
        if path := os.environ.get(name):
            try:
                return read_setting_file(Path(path))
            except OSError as error:
                problem = f"{path} cannot be read: {error.strerror}"
                raise invalid_variable(name, problem, "a file in PEM form") from None
    return None
