"""Spans as a collector receives them from a running gateway."""

import logging
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway import __version__
from gateway.app import create_app
from gateway.http.middleware import TracingMiddleware
from gateway.sandbox import ROLE_ARNS
from gateway.settings import Settings, SettingsError
from gateway.telemetry.otel import OtelTracer
from tests.auth.issuers import sandbox_file
from tests.gateways import Gateway, Sandbox, still_sandbox
from tests.listeners import silent
from tests.processes import Process, gateway_process, until
from tests.sandbox.identities import id_token
from tests.serving import serve
from tests.telemetry.collector import CLIENT, SERVER, Collector, serve_grpc
from tests.telemetry.programs import events, is_ready, traced_gateway

NEWEST = "query Newest { audienceGenerationJobs(first: 2) { nodes { name } } }"
DETAILS = "query Details { audienceGenerationJobs(first: 3) { nodes { tags { key } } } }"
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
UNSAMPLED = f"00-{TRACE}-{PARENT}-00"

LIBRARY = "opentelemetry"

STOP_SECONDS = 25.0
"""Less than the exporter's own 30 seconds, more than the gateway's 3."""


class RecordingSandbox:
    """A sandbox that records the names of the headers that it receives."""

    def __init__(self) -> None:
        self.app: ASGIApp = still_sandbox()
        self.header_names: dict[str, set[str]] = {}  # by path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            names = {name.decode("ascii") for name, _ in scope["headers"]}
            self.header_names.setdefault(scope["path"], set()).update(names)
        await self.app(scope, receive, send)


class Traced:
    """A traced gateway, its sandbox and its collector."""

    def __init__(
        self, program: Process, collector: Collector, sandbox: Sandbox, upstream: RecordingSandbox
    ) -> None:
        self.gateway = Gateway(program.url, sandbox)
        self.program, self.collector = program, collector
        self.sandbox, self.upstream = sandbox, upstream

    def wait_for_requests(self, number: int = 1) -> None:
        until(lambda: len(self.collector.requests) >= number)
        assert len(self.collector.requests) == number

    def request_line(self, request_id: str) -> dict[str, Any]:
        """Wait for the log line of a request."""

        def found() -> list[dict[str, Any]]:
            lines = events(self.program, "request")
            return [line for line in lines if line["request_id"] == request_id]

        until(found)
        return found()[0]


@pytest.fixture(scope="module")
def shared_traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    upstream = RecordingSandbox()
    with serve(upstream) as url:
        settings: dict[str, Any] = {
            "cache_seconds": 0,
            "callers": "aws-headers,oidc",
            "oidc_file": sandbox_file(tmp_path_factory.mktemp("oidc"), url),
            "sts_url": url,
        }
        with traced_gateway(url, **settings) as (program, collector):
            yield Traced(program, collector, Sandbox(url), upstream)


@pytest.fixture
def traced(shared_traced: Traced) -> Traced:
    shared_traced.sandbox.reset()
    shared_traced.collector.spans.clear()
    shared_traced.upstream.header_names.clear()
    return shared_traced


def test_a_request_and_its_calls_are_one_trace(traced: Traced) -> None:
    """So is the attempt that failed, and the log lines have the id of the trace."""
    traced.sandbox.fault("unavailable", times=1)
    traced.gateway.ask(DETAILS, headers={"X-Request-Id": "mine-1"})
    aws_ids = [call["request_id"] for call in traced.sandbox.calls]
    traced.wait_for_requests()
    (request,) = traced.collector.requests
    calls = traced.collector.calls_of(request)
    line = traced.request_line("mine-1")

    assert (request.name, request.kind, request.parent) == ("POST /graphql", SERVER, "")
    assert request.attributes == {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "http.route": "/graphql",
        "url.path": "/graphql",
        "url.scheme": "http",
        "graphql.operation.name": "Details",
        "gateway.document": line["document"],
        "gateway.outcome": "OK",
        "gateway.request_id": "mine-1",
    }
    assert request.service["service.name"] == "audience-gateway"
    assert request.service["service.version"] == __version__
    assert not request.failed
    assert len(traced.collector.spans) == 1 + len(calls) == 6
    assert {(call.kind, call.trace_id) for call in calls} == {(CLIENT, request.trace_id)}
    assert sorted(call.attributes["aws.request_id"] for call in calls) == sorted(aws_ids)
    lists = {
        "rpc.system.name": "aws-api",
        "rpc.method": "CleanRoomsML/ListAudienceGenerationJobs",
        "cloud.region": "us-east-1",
    }
    assert [call.name for call in calls[:2]] == ["CleanRoomsML.ListAudienceGenerationJobs"] * 2
    assert [(call.failed, call.attributes) for call in calls[:2]] == [
        (
            True,
            {
                **lists,
                "gateway.outcome": "UPSTREAM_UNAVAILABLE",
                "error.type": "UPSTREAM_UNAVAILABLE",
                "aws.request_id": aws_ids[0],
            },
        ),
        (False, {**lists, "gateway.outcome": "OK", "aws.request_id": aws_ids[1]}),
    ]
    assert {call.name for call in calls[2:]} == {"CleanRoomsML.GetAudienceGenerationJob"}
    calls_logged = [
        event
        for event in events(traced.program, "upstream call")
        if event["request_id"] == "mine-1"
    ]
    assert {event["trace_id"] for event in [line, *calls_logged]} == {request.trace_id}


def test_other_paths_are_not_traced(traced: Traced) -> None:
    traced.gateway.send("GET", "/nowhere", headers={"X-Request-Id": "other-1"})

    assert "trace_id" not in traced.request_line("other-1")


def test_an_exchange_at_sts_is_part_of_the_trace(traced: Traced) -> None:
    """Spans hide token, role and session name, and no trace header is sent to anybody."""
    token = id_token(traced.sandbox.url, "ada")
    headers = {
        "Authorization": f"Bearer {token}",
        "X-Request-Id": "oidc-1",
        "traceparent": UNSAMPLED,
        "tracestate": "rojo=1",
        "baggage": "user=1",
    }
    assert traced.gateway.ask(NEWEST, caller=None, headers=headers).data
    traced.wait_for_requests()
    (request,) = traced.collector.requests
    exchange, call = traced.collector.calls_of(request)

    assert request.trace_id == TRACE
    assert exchange.name == "STS.AssumeRoleWithWebIdentity"
    assert call.name == "CleanRoomsML.ListAudienceGenerationJobs"
    assert exchange.attributes.keys() == call.attributes.keys()
    session = traced.request_line("oidc-1")["caller"]
    text = "".join(span.text for span in traced.collector.spans)
    secrets = (token[-40:], session, "arn:", ROLE_ARNS["ada"][13:25])
    assert [secret for secret in secrets if secret in text] == []

    received = traced.upstream.header_names
    assert {"/", "/audience-generation-job"} < received.keys()
    assert any("jwks" in path for path in received)
    trace_headers = {"traceparent", "tracestate", "baggage", "x-amzn-trace-id", "b3"}
    assert [path for path, names in received.items() if names & trace_headers] == []


def test_errors_of_the_caller_are_not_failed_spans(traced: Traced) -> None:
    traced.gateway.ask("{ nothing }")
    traced.gateway.ask(NEWEST, caller="denied")
    traced.gateway.send("PUT")
    traced.wait_for_requests(3)

    assert [
        (span.name, span.failed, span.attributes["gateway.outcome"])
        for span in traced.collector.requests
    ] == [
        ("POST /graphql", False, "GRAPHQL_VALIDATION_FAILED"),
        ("POST /graphql", False, "FORBIDDEN"),
        ("PUT /graphql", False, "BAD_USER_INPUT"),
    ]


def test_the_trace_of_a_caller_is_continued(traced: Traced) -> None:
    """The caller may have sampled it or not: the server decides on sampling."""
    headers = {"traceparent": UNSAMPLED, "tracestate": "rojo=00f067aa0ba902b7,t@v=x"}
    traced.gateway.ask(NEWEST, headers=headers)
    traced.wait_for_requests()
    (request,) = traced.collector.requests

    assert {span.trace_id for span in traced.collector.spans} == {TRACE}
    assert (request.parent, request.state) == (PARENT, headers["tracestate"])


def test_an_invalid_context_does_not_fail_the_request(traced: Traced) -> None:
    assert traced.gateway.ask(NEWEST, headers={"traceparent": UNSAMPLED * 1000}).data
    # Over the limit of the whole head.
    assert traced.gateway.ask(NEWEST, headers={"baggage": "x" * 1_000_000}).status == 431
    traced.wait_for_requests()

    assert TRACE not in {span.trace_id for span in traced.collector.spans}


def start(ratio: float, *headers: tuple[bytes, bytes]) -> tuple[str, str, str] | None:
    """Return trace id, parent and state of a request's span; None if it is not sampled."""
    exporter = InMemorySpanExporter()
    tracer = OtelTracer(ratio)
    provider = TracerProvider(tracer._sampler, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer._tracer = provider.get_tracer("test")
    span = tracer.start_request("POST /graphql", {}, [(b"host", b"x"), *headers])
    if span is None:
        return None
    span.end({}, error=None)
    (finished,) = exporter.get_finished_spans()
    parent = f"{finished.parent.span_id:016x}" if finished.parent else ""
    return span.trace_id, parent, finished.context.trace_state.to_header()


GOOD = (b"traceparent", UNSAMPLED.encode())


@pytest.mark.parametrize(
    "headers",
    [
        [(b"traceparent", b"x")],
        [(b"traceparent", GOOD[1].upper())],
        [(b"traceparent", b"ff" + GOOD[1][2:])],
        [(b"traceparent", GOOD[1] + b"-x")],
        [(b"traceparent", GOOD[1].replace(b"b7ad", "\u0967ad".encode()))],
        [(b"traceparent", GOOD[1] + b" " * 60_000)],
        [(b"traceparent", f"00-{'0' * 32}-{PARENT}-01".encode())],
        [(b"traceparent", f"00-{TRACE}-{'0' * 16}-01".encode())],
        [GOOD, GOOD],
        [(b"tracestate", b"a=b")],
        [(b"baggage", b"x" * 60_000)],
    ],
)
def test_an_invalid_context_starts_a_new_trace(
    caplog: pytest.LogCaptureFixture, headers: list[tuple[bytes, bytes]]
) -> None:
    """No header value is logged."""
    with caplog.at_level(logging.WARNING):
        started = start(1, *headers, (b"tracestate", b"a=b"))
    assert started is not None
    assert started[0] != TRACE
    assert started[1:] == ("", "")
    assert caplog.records == []


@pytest.mark.parametrize(
    ("states", "kept"),
    [
        ([b"a=b"], "a=b"),
        ([b"a=b", b"c@d=e f"], "a=b,c@d=e f"),
        ([b"a=" + b"b" * 256, b"c=" + b"d" * 256], ""),
        ([b"a%d=b" % number for number in range(33)], ""),
        ([b"no state"], ""),
        ([b"a=\xff"], ""),
        ([b"a=b," + b"x" * 60_000], ""),
    ],
)
def test_an_invalid_state_is_dropped(
    caplog: pytest.LogCaptureFixture, states: list[bytes], kept: str
) -> None:
    """The parent is kept, and no header value is logged."""
    with caplog.at_level(logging.WARNING):
        started = start(1, GOOD, *((b"tracestate", state) for state in states))
    assert started == (TRACE, PARENT, kept)
    assert caplog.records == []


@pytest.mark.parametrize("flags", ["00", "01"])
def test_sampling_is_by_the_trace_id(flags: str) -> None:
    """The caller's flag has no effect, one way or the other."""
    low, high = (
        start(0.5, (b"traceparent", f"00-{digit * 32}-{PARENT}-{flags}".encode()))
        for digit in ("1", "e")
    )
    assert low == ("1" * 32, PARENT, "")
    assert high is None


def test_each_worker_exports_spans(sandbox: Sandbox) -> None:
    """They have the service name that the environment sets."""
    variables = {"OTEL_SERVICE_NAME": "ours", "OTEL_RESOURCE_ATTRIBUTES": "deployment=blue"}
    with traced_gateway(sandbox.url, variables=variables, workers=2) as (program, collector):
        until(lambda: is_ready(program.url))
        assert Gateway(program.url, sandbox).ask(NEWEST).data
        until(lambda: collector.requests)

    assert {span.service["service.name"] for span in collector.spans} == {"ours"}
    assert {span.service["deployment"] for span in collector.spans} == {"blue"}


def test_the_last_spans_are_exported_on_sigterm(sandbox: Sandbox) -> None:
    variables = {"OTEL_BSP_SCHEDULE_DELAY": "600000"}
    with traced_gateway(sandbox.url, variables=variables) as (program, collector):
        Gateway(program.url, sandbox).ask(NEWEST)
        before = list(collector.spans)
        code = program.terminate()

    assert (before, code) == ([], 0)
    assert len(collector.spans) == 2


@pytest.mark.parametrize("hangs", [True, False])
def test_an_unavailable_collector_does_not_affect_requests(
    sandbox: Sandbox, *, hangs: bool
) -> None:
    """Neither a full queue of spans nor the shutdown waits for it."""
    with silent() as port:
        variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port if hangs else 9}",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "600",
            "OTEL_BSP_MAX_QUEUE_SIZE": "20",
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "5",
        }
        with traced_gateway(sandbox.url, variables=variables) as (program, _):
            gateway = Gateway(program.url, sandbox)
            answers = [gateway.ask(NEWEST) for _ in range(40)]
            program.send_signal(signal.SIGTERM)
            code = program.wait(STOP_SECONDS)

    assert code == 0
    assert [answer for answer in answers if answer.errors] == []
    assert len(events(program, "request")) == 40
    assert len(program.output) < 40 * 2 + 50


@pytest.mark.parametrize("ratio", ["0", "1"])
def test_opentelemetry_is_imported_only_if_used(sandbox: Sandbox, ratio: str) -> None:
    """Neither the start nor a request imports it."""
    variables = {"PYTHONPROFILEIMPORTTIME": "1"}
    with gateway_process(sandbox.url, variables=variables, trace_ratio=ratio) as program:
        assert Gateway(program.url, sandbox).ask(NEWEST).data
        program.terminate()
    imports = {line.rpartition("|")[2].strip() for line in program.output if "import time:" in line}

    assert "aioboto3" in imports
    # The Redis client imports OpenTelemetry's metrics, if they are installed.
    tracing = {f"{LIBRARY}.sdk.trace", f"{LIBRARY}.exporter", f"{LIBRARY}.proto", "requests"}
    assert imports & tracing == (tracing if ratio == "1" else set())
    assert ("gateway.telemetry.otel" in imports) is (ratio == "1")


PROTOCOLS = ("OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")


def test_spans_are_exported_by_grpc(sandbox: Sandbox) -> None:
    """The variable for traces alone goes before the one for all signals."""
    collector = Collector()
    with serve_grpc(collector) as port:
        variables = {
            **dict(zip(PROTOCOLS, ("http/protobuf", "grpc"), strict=True)),
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        }
        with traced_gateway(sandbox.url, variables=variables) as (program, other):
            assert Gateway(program.url, sandbox).ask(NEWEST).data
            until(lambda: collector.requests)

    assert len(collector.spans) == 2
    assert other.spans == []


@pytest.mark.parametrize(
    ("name", "value", "accepted"),
    [
        *((name, "http/json", "http/protobuf or grpc") for name in PROTOCOLS),
        (PROTOCOLS[0], "thrift", "http/protobuf or grpc"),
        ("OTEL_TRACES_EXPORTER", "zipkin", "otlp or none"),
        ("OTEL_TRACES_EXPORTER", "otlp,console", "otlp or none"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/missing", "a file of certificates in PEM form"),
        ("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "/missing", "a file of certificates"),
    ],
)
def test_an_unsupported_value_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, accepted: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"^{name}: .*{value}.* Accepted: {accepted}"):
        create_app(Settings(trace_ratio=1))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "x"),
        ("OTEL_ATTRIBUTE_COUNT_LIMIT", "-1"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
        ("OTEL_BSP_SCHEDULE_DELAY", "-1"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "9999"),
    ],
)
def test_a_number_that_opentelemetry_refuses_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=rf"^{name}: must be .* Accepted: integers"):
        create_app(Settings(trace_ratio=1))


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HEADERS", "api-key canary"),
        ("HEADERS", "a=b,api-key canary,c=d"),
        ("TRACES_HEADERS", "api key=canary"),
        ("HEADERS", "=canary"),
        ("ENDPOINT", "http://user:canary@127.0.0.1:4317"),
        ("ENDPOINT", "canary@127.0.0.1:4317"),
        ("TRACES_ENDPOINT", "https://canary@127.0.0.1:4317/v1/traces"),
        ("TRACES_ENDPOINT", "https://127.0.0.1:4317/v1/traces?key=canary"),
        ("ENDPOINT", "http://[canary"),
        ("ENDPOINT", "http://canary:port"),
        ("ENDPOINT", "grpc://canary:4317"),
    ],
)
def test_an_invalid_destination_is_named_without_its_content(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    *,
    protocol: str,
    name: str,
    value: str,
) -> None:
    """It may contain a secret, and is not logged either."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:3128")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
    monkeypatch.setenv(f"OTEL_EXPORTER_OTLP_{name}", value)
    with pytest.raises(SettingsError, match=f"^OTEL_EXPORTER_OTLP_{name}: .*Accepted: ") as error:
        create_app(Settings(trace_ratio=1))

    assert "canary" not in str(error.value)
    assert "canary" not in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("protocol", "endpoint"),
    [
        ("http/protobuf", "http://collector:4318"),
        ("http/protobuf", "https://collector.example.com/otlp/"),
        ("http/protobuf", "http://[::1]:4318"),
        ("grpc", "collector:4317"),
        ("grpc", "https://collector.example.com:4317"),
        ("grpc", "collector.example.com"),
    ],
)
def test_destinations_of_traces(
    monkeypatch: pytest.MonkeyPatch, protocol: str, endpoint: str
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20b, authorization=Bearer c,")
    middleware: list[Any] = create_app(Settings(trace_ratio=1)).user_middleware
    assert any(each.cls is TracingMiddleware for each in middleware)


@pytest.mark.parametrize("path", ["/missing", "/dev/null"])
@pytest.mark.parametrize("name", ["CLIENT_KEY", "TRACES_CLIENT_CERTIFICATE"])
def test_a_missing_file_of_the_client_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, path: str
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    monkeypatch.setenv(f"OTEL_EXPORTER_OTLP_{name}", path)
    with pytest.raises(SettingsError, match=f"^OTEL_EXPORTER_OTLP_{name}: {path} cannot be read"):
        create_app(Settings(trace_ratio=1))


@pytest.mark.parametrize(
    ("name", "value", "traces"),
    [
        ("OTEL_TRACES_EXPORTER", "none", False),
        ("OTEL_TRACES_EXPORTER", "otlp", True),
        ("OTEL_TRACES_EXPORTER", "", True),
        ("OTEL_SDK_DISABLED", "true", False),
        ("OTEL_SDK_DISABLED", "false", True),
        ("OTEL_SDK_DISABLED", "", True),
    ],
)
def test_variables_disable_tracing(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, *, traces: bool
) -> None:
    monkeypatch.setenv(name, value)
    middleware: list[Any] = create_app(Settings(trace_ratio=1)).user_middleware

    assert any(each.cls is TracingMiddleware for each in middleware) is traces


@pytest.mark.parametrize("workers", [1, 2])
def test_without_the_extra_the_start_fails(tmp_path: Path, workers: int) -> None:
    """The message says what to install."""
    # An empty package of that name shadows the real one.
    (tmp_path / LIBRARY).mkdir()
    (tmp_path / LIBRARY / "__init__.py").touch()
    variables = {"PYTHONPATH": str(tmp_path)}
    with (
        pytest.raises(AssertionError) as raised,
        gateway_process(
            "http://127.0.0.1:9", variables=variables, workers=workers, trace_ratio=0.1
        ),
    ):
        pass

    assert "GATEWAY_TRACE_RATIO" in str(raised.value)
    assert "pip install '.[otel]' in a clone" in raised.value.args[0][0]
