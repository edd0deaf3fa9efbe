"""Traces: a span for each request and each call to AWS, as a collector gets them."""

import json
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway import __version__
from gateway.dev import aws_headers
from gateway.sandbox import CALLERS, ROLE_ARNS, create_sandbox
from gateway.sandbox.faults import FAULTS
from tests.auth.issuers import sandbox_file
from tests.gateways import Gateway, Sandbox
from tests.hostile.listeners import silent
from tests.hostile.process import Program, running
from tests.redis_servers import until
from tests.sandbox.identities import id_token
from tests.serving import serve
from tests.telemetry.collector import CLIENT, SERVER, Collector, Seen

CANARY = "CANARY"
ADA = CALLERS["ada"]
NEWEST = "query Newest { audienceGenerationJobs(first: 2) { nodes { name } } }"
DETAILS = "query Details { audienceGenerationJobs(first: 3) { nodes { tags { key } } } }"
JOBS = """
query Jobs($a: String) {
  audienceGenerationJobs(first: 2, after: $a) { edges { cursor node { id name tags { key } } } }
}
"""
AGAIN = """
query($id: ID!, $arn: String!) {
  node(id: $id) { id } audienceGenerationJob(audienceGenerationJobArn: $arn) { name }
}
"""
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
UNSAMPLED = {"traceparent": f"00-{TRACE}-{PARENT}-00"}

LIBRARY = "opentelemetry"
AT_ONCE, LATER = "50", "600000"
"""Milliseconds between two batches."""

STOP_SECONDS = 25.0
"""Less than the library's own 30, more than our three."""


@contextmanager
def collected() -> Iterator[tuple[Collector, str]]:
    """Serve a collector."""
    collector = Collector()
    with serve(collector) as url:
        yield collector, url


@contextmanager
def process(
    upstream: str, variables: Mapping[str, str], workers: int = 1, **settings: object
) -> Iterator[Program]:
    """Run a gateway; `variables` are those that are not its own settings."""
    given = {"upstream_url": upstream, "drain_seconds": 0, **settings}
    ours = {f"GATEWAY_{name.upper()}": str(value) for name, value in given.items()}
    arguments = ("serve", "--port", "0", "--workers", str(workers))
    with running(*arguments, environment={**ours, **variables}) as program:
        yield program


@contextmanager
def traced(
    upstream: str,
    collector_url: str,
    variables: Mapping[str, str] | None = None,
    workers: int = 1,
    **settings: object,
) -> Iterator[Program]:
    """Run a gateway that traces."""
    given = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector_url,
        "OTEL_BSP_SCHEDULE_DELAY": AT_ONCE,
        **(variables or {}),
    }
    with process(upstream, given, workers, **{"trace_ratio": 1, **settings}) as program:
        yield program


def events(program: Program, kind: str) -> list[dict[str, Any]]:
    """Give the log lines of one kind; the program has ended."""
    return [event for event in map(json.loads, program.said) if event["event"] == kind]


def test_a_request_and_its_calls_are_one_trace(sandbox: Sandbox) -> None:
    """Each with what it was about and how it ended; a failed attempt is one too."""
    with (
        collected() as (collector, url),
        traced(sandbox.url, url) as program,
    ):
        sandbox.fault("unavailable", times=1)
        Gateway(program.url, sandbox).ask(DETAILS, headers={"X-Request-Id": "mine-1"})
        aws_ids = [call["request_id"] for call in sandbox.calls]
        until(lambda: collector.requests)
        program.end()
    (request,) = collector.requests
    calls = collector.calls_of(request)
    (line,) = events(program, "request")

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
    assert len(collector.spans) == 1 + len(calls) == 6
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


def test_log_lines_name_their_trace(sandbox: Sandbox) -> None:
    """So that one leads to the other; where nothing is traced there is none to name."""
    with collected() as (collector, url), traced(sandbox.url, url) as program:
        Gateway(program.url, sandbox).ask(NEWEST)
        Gateway(program.url, sandbox).send("GET", "/livez")
        until(lambda: collector.requests)
        program.end()
    trace_id = collector.requests[0].trace_id
    lines = events(program, "request")

    assert [line.get("trace_id") for line in lines] == [trace_id, None]
    assert [line["trace_id"] for line in events(program, "upstream call")] == [trace_id]
    assert len(collector.requests) == 1


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").is_success
    except httpx.TransportError:
        return False


def test_each_worker_traces(sandbox: Sandbox) -> None:
    """By a library of its own, under the name that the environment gives."""
    variables = {"OTEL_SERVICE_NAME": "ours", "OTEL_RESOURCE_ATTRIBUTES": "deployment=blue"}
    with (
        collected() as (collector, url),
        traced(sandbox.url, url, variables, workers=2) as program,
    ):
        gateway = Gateway(program.url, sandbox)
        until(lambda: _answers(program.url))
        assert gateway.ask(NEWEST).data
        until(lambda: collector.requests)

    assert {span.service["service.name"] for span in collector.spans} == {"ours"}
    assert {span.service["deployment"] for span in collector.spans} == {"blue"}


def test_an_exchange_at_sts_is_part_of_the_trace(sandbox: Sandbox, tmp_path: Path) -> None:
    """Without the token, the role, or the name of the session."""
    settings: dict[str, Any] = {
        "callers": "oidc",
        "oidc_file": sandbox_file(tmp_path, sandbox.url),
        "sts_url": sandbox.url,
    }
    text = id_token(sandbox.url, "ada")
    with collected() as (collector, url), traced(sandbox.url, url, **settings) as program:
        bearer = {"Authorization": f"Bearer {text}"}
        assert Gateway(program.url, sandbox).ask(NEWEST, caller=None, headers=bearer).data
        until(lambda: collector.requests)
        program.end()
    (request,) = collector.requests
    exchange, call = collector.calls_of(request)

    assert exchange.name == "STS.AssumeRoleWithWebIdentity"
    assert call.name == "CleanRoomsML.ListAudienceGenerationJobs"
    assert exchange.attributes.keys() == call.attributes.keys()
    session = events(program, "upstream call")[0]["caller"]
    told = "".join(span.text for span in collector.spans)
    assert not [s for s in (text[-40:], session, "arn:", ROLE_ARNS["ada"][13:25]) if s in told]


def test_what_a_caller_is_refused_is_no_failure(sandbox: Sandbox) -> None:
    """It is an outcome; failures are what an operator must look at."""
    with (
        collected() as (collector, url),
        traced(sandbox.url, url, cache_seconds=0) as program,
    ):
        gateway = Gateway(program.url, sandbox)
        gateway.ask("{ nothing }")
        gateway.ask(NEWEST, caller="denied")
        gateway.send("PUT")
        until(lambda: len(collector.requests) == 3)

    assert [
        (span.name, span.failed, span.attributes["gateway.outcome"]) for span in collector.requests
    ] == [
        ("POST /graphql", False, "GRAPHQL_VALIDATION_FAILED"),
        ("POST /graphql", False, "FORBIDDEN"),
        ("PUT /graphql", False, "BAD_USER_INPUT"),
    ]


def test_a_caller_s_trace_is_continued(sandbox: Sandbox) -> None:
    """Whether they have chosen to sample it has no say: that is ours."""
    with collected() as (collector, url), traced(sandbox.url, url) as program:
        gateway = Gateway(program.url, sandbox)
        gateway.ask(NEWEST, headers={**UNSAMPLED, "tracestate": "rojo=00f067aa0ba902b7,t@v=x"})
        gateway.ask(NEWEST, headers={**UNSAMPLED, "tracestate": "no state"})
        until(lambda: len(collector.requests) == 2)

    assert {span.trace_id for span in collector.spans} == {TRACE}
    assert [span.parent for span in collector.requests] == [PARENT, PARENT]
    assert [span.state for span in collector.requests] == ["rojo=00f067aa0ba902b7,t@v=x", ""]


def test_what_is_sampled_is_chosen_by_the_trace_s_id(sandbox: Sandbox) -> None:
    """The caller's flag chooses nothing, one way or the other."""
    low, high = "1" * 32, "e" * 32
    with (
        collected() as (collector, url),
        traced(sandbox.url, url, trace_ratio=0.5, cache_seconds=0) as program,
    ):
        gateway = Gateway(program.url, sandbox)
        for trace_id in (high, low):
            for flags in ("01", "00"):
                gateway.ask(NEWEST, headers={"traceparent": f"00-{trace_id}-{PARENT}-{flags}"})
        until(lambda: len(collector.requests) == 2)
        program.end()

    assert {span.trace_id for span in collector.spans} == {low}
    assert len(collector.spans) == 4
    lines = events(program, "upstream call")
    assert [line.get("trace_id") for line in lines] == [None, None, low, low]


def test_a_context_that_is_not_as_it_must_be_is_not_there(sandbox: Sandbox) -> None:
    """The request is served, in a trace of its own; baggage is not looked at."""
    good = UNSAMPLED["traceparent"]
    bad: list[list[tuple[str, str]]] = [
        [("traceparent", "x")],
        [("traceparent", good.upper())],
        [("traceparent", good * 1000)],
        [("traceparent", f"00-{'0' * 32}-{PARENT}-01")],
        [("traceparent", f"00-{TRACE}-{'0' * 16}-01")],
        [("traceparent", good), ("traceparent", good)],
        [("tracestate", "a=b")],
        [("baggage", "x" * 60_000)],
    ]
    with collected() as (collector, url), traced(sandbox.url, url) as program:
        gateway = Gateway(program.url, sandbox)
        body = {"query": NEWEST}
        for headers in bad:
            sent = [*aws_headers(ADA).items(), *headers]
            assert gateway.send("POST", json=body, headers=sent).data
        # More than any head may have, whatever it is.
        assert gateway.send("POST", json=body, headers={"baggage": "x" * 1_000_000}).status == 431
        until(lambda: len(collector.requests) == len(bad))
        program.end()

    assert TRACE not in {span.trace_id for span in collector.spans}
    assert {(span.parent, span.state) for span in collector.requests} == {("", "")}
    warnings = [event for event in map(json.loads, program.said) if event["level"] == "warning"]
    assert ["head is too large" in event["event"] for event in warnings] == [True]


class Listening:
    """A sandbox, and what names the headers had that came to it."""

    def __init__(self) -> None:
        self.app: ASGIApp = create_sandbox()
        self.heard: dict[str, set[str]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            names = {name.decode("ascii") for name, _ in scope["headers"]}
            self.heard.setdefault(scope["path"], set()).update(names)
        await self.app(scope, receive, send)


def test_nothing_of_it_is_passed_on(tmp_path: Path) -> None:
    """Not to AWS, not to STS, not to the issuer."""
    upstream = Listening()
    context = {**UNSAMPLED, "tracestate": "rojo=1", "baggage": "user=1"}
    with serve(upstream) as sandbox_url, collected() as (collector, url):
        settings: dict[str, Any] = {
            "callers": "oidc",
            "oidc_file": sandbox_file(tmp_path, sandbox_url),
            "sts_url": sandbox_url,
        }
        bearer = {"Authorization": f"Bearer {id_token(sandbox_url, 'ada')}"}
        with traced(sandbox_url, url, **settings) as program:
            gateway = Gateway(program.url, Sandbox(sandbox_url))
            assert gateway.ask(NEWEST, caller=None, headers={**bearer, **context}).data
            until(lambda: collector.requests)
    ours = {path: names for path, names in upstream.heard.items() if "_sandbox" not in path}

    assert {"/", "/audience-generation-job"} < ours.keys()
    assert any("jwks" in path for path in ours)
    assert collector.requests[0].trace_id == TRACE
    passed = {"traceparent", "tracestate", "baggage", "x-amzn-trace-id", "b3"}
    assert [names & passed for names in ours.values() if names & passed] == []


def test_the_last_spans_are_sent_at_the_end(sandbox: Sandbox) -> None:
    """SIGTERM is no reason to lose them."""
    with (
        collected() as (collector, url),
        traced(sandbox.url, url, {"OTEL_BSP_SCHEDULE_DELAY": LATER}) as program,
    ):
        Gateway(program.url, sandbox).ask(NEWEST)
        before = list(collector.spans)
        program.signal(signal.SIGTERM)
        code = program.wait(STOP_SECONDS)

    assert (before, code) == ([], 0)
    assert len(collector.spans) == 2


@pytest.mark.parametrize("hangs", [True, False])
def test_a_collector_that_does_not_answer_harms_nobody(sandbox: Sandbox, *, hangs: bool) -> None:
    """Requests are served, however many spans wait; the end does not wait for it to take them."""
    variables = {"OTEL_EXPORTER_OTLP_TIMEOUT": "600", "OTEL_BSP_MAX_QUEUE_SIZE": "20"}
    variables["OTEL_BSP_MAX_EXPORT_BATCH_SIZE"] = "5"
    with silent() as port:
        address = f"http://127.0.0.1:{port if hangs else 9}"
        with traced(sandbox.url, address, variables) as program:
            gateway = Gateway(program.url, sandbox)
            answers = [gateway.ask(NEWEST) for _ in range(40)]
            program.signal(signal.SIGTERM)
            code = program.wait(STOP_SECONDS)

    assert code == 0
    assert [answer for answer in answers if answer.errors] == []
    assert len(events(program, "request")) == 40
    assert len(program.said) < 40 * 2 + 50


def _asks(gateway: Gateway, sandbox: Sandbox) -> None:
    """Ask for all kinds of things, and let all kinds of things go wrong."""
    edge = gateway.ask(JOBS).data["audienceGenerationJobs"]["edges"][0]
    detail = "{ audienceGenerationJobs(first: 1) { nodes { audienceGenerationJobArn } } }"
    arn = gateway.ask(detail).data["audienceGenerationJobs"]["nodes"][0]["audienceGenerationJobArn"]
    gateway.ask(JOBS, {"a": edge["cursor"]})
    gateway.ask(AGAIN, {"id": edge["node"]["id"], "arn": arn})
    gateway.ask(JOBS, {"a": CANARY}, headers={"Cookie": CANARY, "X-Router-Secret": CANARY})
    gateway.ask(JOBS, headers={"X-Request-Id": f"{CANARY} x", "User-Agent": CANARY})
    gateway.ask(f'{{ node(id: "{CANARY}") {{ id }} }}')
    gateway.ask(JOBS, headers={"traceparent": CANARY, "tracestate": CANARY, "baggage": CANARY})
    gateway.send("POST", f"/graphql?secret={CANARY}", content=f'{{"query": "{CANARY}'.encode())
    gateway.send("GET", "/graphql", params={"query": "{ __typename }", "variables": CANARY})
    forged = dict.fromkeys(aws_headers(ADA), f"{CANARY}/x")
    gateway.ask(JOBS, caller=None, headers=forged)
    gateway.ask(JOBS, caller=None, headers={"Authorization": f"Bearer {CANARY}"})
    for fault in FAULTS:
        sandbox.reset()
        settings = {"location": f"http://127.0.0.1:9/{CANARY}"} if fault == "redirect" else {}
        if fault == "odd-timestamp":
            settings = {"value": CANARY}
        sandbox.fault(fault, times=1, **settings)
        gateway.ask(JOBS, headers={"Cache-Control": "no-cache"})


def test_no_span_holds_a_secret(sandbox: Sandbox) -> None:
    """Whatever is asked and whatever goes wrong: no header, variable, cursor, ARN or row."""
    with (
        collected() as (collector, url),
        traced(sandbox.url, url, deadline_seconds=0.5) as program,
    ):
        _asks(Gateway(program.url, sandbox), sandbox)
        program.signal(signal.SIGTERM)
        program.wait(STOP_SECONDS)
    requests = events(program, "request")

    assert len(collector.requests) == len(requests) > len(FAULTS)
    assert any(call.failed for call in collector.spans if call.kind == CLIENT)
    keys = (ADA.access_key_id, ADA.secret_access_key, str(ADA.session_token))
    secrets = (CANARY, *keys, "arn:aws", ROLE_ARNS["ada"][13:25], "audienceGenerationJobs(")
    assert [span for span in collector.spans if _tells(span, secrets)] == []
    assert {name for span in collector.spans for name in span.attributes} <= {
        *("http.request.method", "http.response.status_code", "http.route", "url.path"),
        *("url.scheme", "graphql.operation.name", "rpc.system.name", "rpc.method", "cloud.region"),
        *("aws.request_id", "error.type", "gateway.outcome", "gateway.document"),
        "gateway.request_id",
    }
    assert not any("events {" in span.text or "message:" in span.text for span in collector.spans)


def _tells(span: Seen, secrets: tuple[str, ...]) -> bool:
    return any(secret in span.text for secret in secrets)


@pytest.mark.parametrize("ratio", ["0", "1"])
def test_nothing_is_imported_where_nothing_is_traced(sandbox: Sandbox, ratio: str) -> None:
    """The cost of an extra that is not used is none: not at the start, not by a request."""
    variables = {"PYTHONPROFILEIMPORTTIME": "1"}
    with process(sandbox.url, variables, trace_ratio=ratio) as program:
        assert Gateway(program.url, sandbox).ask(NEWEST).data
        program.signal(signal.SIGTERM)
        program.wait(STOP_SECONDS)
    imports = {line.rpartition("|")[2].strip() for line in program.said if "import time:" in line}

    assert "aioboto3" in imports
    # Where it is installed, the Redis client imports its metrics on its own account.
    of_traces = {f"{LIBRARY}.sdk.trace", f"{LIBRARY}.exporter", f"{LIBRARY}.proto", "requests"}
    assert imports & of_traces == (of_traces if ratio == "1" else set())
    assert ("gateway.telemetry.otel" in imports) is (ratio == "1")


@pytest.mark.parametrize("workers", [1, 2])
def test_without_the_extra_the_start_says_what_to_install(tmp_path: Path, workers: int) -> None:
    """Rather than trace nothing, and let somebody look for it."""
    # An empty package of that name stands before the real one.
    (tmp_path / LIBRARY).mkdir()
    (tmp_path / LIBRARY / "__init__.py").touch()
    variables = {"PYTHONPATH": str(tmp_path)}
    with (
        pytest.raises(AssertionError) as caught,
        process("http://127.0.0.1:9", variables, workers, trace_ratio=0.1),
    ):
        pass

    assert "GATEWAY_TRACE_RATIO" in str(caught.value)
    assert "pip install 'audience-gateway[otel]'" in str(caught.value)
