"""No credential, cursor, variable, ARN or row in any log line, span or metric."""

import contextlib
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from gateway.dev import aws_headers
from gateway.sandbox import CALLERS, ROLE_ARNS
from gateway.sandbox.faults.registry import FAULTS
from tests.event_streams import TRANSPORTS, watching
from tests.gateways import TLS, Gateway, Sandbox
from tests.http.wire import connect
from tests.processes import Process, until
from tests.telemetry.collector import CLIENT, Collector
from tests.telemetry.programs import events, get, traced_gateway

CANARY = "CANARY"
ROUTER_SECRET = "CANARY-0123456789"
ADA = CALLERS["ada"]
ACCOUNT = ROLE_ARNS["ada"][13:25]
SECRETS = (CANARY, ADA.access_key_id, ADA.secret_access_key, str(ADA.session_token), ACCOUNT)
JOBS = """
query Jobs($a: String) {
  audienceGenerationJobs(first: 2, after: $a) { edges { cursor node { id tags { key } } } }
}
"""
BY_ID = "query($id: ID!) { node(id: $id) { id ... on AudienceGenerationJob { name } } }"
FORGED = {
    "X-Aws-Access-Key-Id": "ASIACANARY0123456789",
    "X-Aws-Secret-Access-Key": "CANARY/secret",
    "X-Aws-Session-Token": "CANARY//token==",
}
TRACE = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01", "tracestate": f"{CANARY}=="}
PARAMETERS = {
    "redirect": {"location": f"http://127.0.0.1:9/{CANARY}"},
    "odd-timestamp": {"value": CANARY},
}
"""Of faults."""

NOT_HTTP = (
    b"CANARY / HTTP/9.9\r\nX: CANARY\r\n\r\n",
    b"GET /graphql?query=CANARY HTTP/1.1\r\nHost: x\r\nX-Aws-Secret-Access-Key CANARY\r\n\r\n",
    b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\nCANARY",
    b"GET /" + b"%00%0a%ff" * 9 + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
)


@dataclass(frozen=True)
class Records:
    program: Process
    collector: Collector
    metrics: str


@pytest.fixture(scope="module")
def records(shared_sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Records]:
    """Send all kinds of requests, let all kinds of things fail, and return what was recorded."""
    router_secrets = tmp_path_factory.mktemp("router") / "secrets"
    router_secrets.write_text(ROUTER_SECRET)
    with traced_gateway(
        shared_sandbox.url,
        router_secret_file=router_secrets,
        log_level="debug",
        deadline_seconds=0.5,
        watch_seconds=0.02,
        caller_calls_per_second=0,
    ) as (program, collector):
        gateway = Gateway(program.url, shared_sandbox)
        _send_good_and_bad_requests(gateway)
        for data in NOT_HTTP:
            with connect(gateway.url) as connection, contextlib.suppress(ConnectionError):
                connection.sendall(data)
                connection.recv(100_000)
        _send_a_request_with_every_fault(gateway)
        _subscribe_with_every_fault(gateway)
        metrics = get(f"{program.url}/metrics").text
        program.terminate()
    yield Records(program, collector, metrics)
    shared_sandbox.reset()


def _send_good_and_bad_requests(gateway: Gateway) -> None:
    def send(headers: Mapping[str, str] | None = None, **options: Any) -> Any:
        method, path = options.pop("method", "POST"), options.pop("path", "/graphql")
        sent = {**aws_headers(ADA), "Accept": "application/json", **(headers or {})}
        with contextlib.suppress(httpx.TransportError):
            url = gateway.url + path
            return httpx.request(method, url, headers=sent, timeout=20, verify=TLS, **options)
        return None

    # The first request may take longer than the deadline.
    until(lambda: gateway.ask(JOBS).errors == [])
    edge = gateway.ask(JOBS).data["audienceGenerationJobs"]["edges"][0]
    send(json={"query": JOBS, "variables": {"a": edge["cursor"]}})
    send(json={"query": BY_ID, "variables": {"id": edge["node"]["id"]}})
    send(json={"query": JOBS, "variables": {"a": CANARY}})
    send(json={"query": JOBS, "variables": {"a": {CANARY: CANARY}}})
    send(json={"query": JOBS, "operationName": CANARY})
    send(json={"query": f'{{ node(id: "{CANARY}") {{ id }} }}'})
    send(json={"query": f"{{ {CANARY} }}"})
    send(json={"query": f'{{ x(a: "{CANARY}'})
    send(json={"query": 5, "variables": CANARY})
    send(content=b'{"query": "CANARY\xff')
    send(content=b"CANARY" * 100_000)
    send(method="GET", params={"query": "{ __typename }", "variables": CANARY})
    send(method="PUT", json={"query": CANARY})
    send({"Content-Type": CANARY}, content=CANARY)
    send({"Accept": CANARY, "Cookie": CANARY, "X-Request-Id": f"{CANARY} \t"}, json={})
    send({"User-Agent": CANARY, "baggage": CANARY, **TRACE}, json={"query": JOBS})
    send({"traceparent": CANARY, "tracestate": CANARY}, json={"query": JOBS})
    send(FORGED, json={"query": JOBS})
    send({**FORGED, "X-Aws-Session-Token": "CANARY token"}, json={"query": JOBS})
    send({"Authorization": f"Bearer {CANARY}"}, json={"query": JOBS})
    send({"X-Router-Secret": CANARY}, json={"query": "{ _service { sdl } }"})
    send({"X-Router-Secret": ROUTER_SECRET}, json={"query": "{ _service { sdl } }"})
    send({"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Key": CANARY})
    send(path=f"/graphql?secret={CANARY}", content=f'{{"query": "{CANARY}'.encode())
    send(path=f"/nothing?secret={CANARY}", method="GET")


def _send_a_request_with_every_fault(gateway: Gateway) -> None:
    for fault in FAULTS:
        gateway.sandbox.reset()
        gateway.sandbox.fault(fault, times=1, **PARAMETERS.get(fault, {}))
        gateway.ask(JOBS, headers={"Cache-Control": "no-cache"})


def _subscribe_with_every_fault(gateway: Gateway) -> None:
    """Let the poll of an open stream fail in every way."""
    sandbox = gateway.sandbox
    for fault, transport in zip(FAULTS, itertools.cycle(TRANSPORTS), strict=False):
        # AWS's refusals of a caller are remembered.
        caller = "edith" if "credentials" in fault else "grace"
        sandbox.reset()
        arn = sandbox.start_job(caller)
        with (
            contextlib.suppress(httpx.HTTPError),
            watching(gateway.url, arn, transport=transport, caller=caller) as stream,
        ):
            stream.status()
            sandbox.reset()
            sandbox.fault(fault, **PARAMETERS.get(fault, {}))
            until(lambda: sandbox.calls)
    sandbox.reset()
    for arn in (CANARY, f"arn:aws:cleanrooms-ml:us-east-1:{ACCOUNT}:{CANARY}"):
        with watching(gateway.url, arn) as stream:
            stream.rest()


ID = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""A random id of a request or a trace, which may contain as many digits as an account id has."""


def test_no_log_line_or_metric_holds_a_secret(records: Records) -> None:
    """The log level is `debug`."""
    values = re.compile(r"[\d.]+(e[+-]\d+)?$", re.MULTILINE)
    text = "".join(records.program.output) + values.sub("", records.metrics)
    lines = [json.loads(line) for line in records.program.output]
    requests = events(records.program, "request")

    assert all({"event", "level", "timestamp"} <= line.keys() for line in lines)
    assert len(requests) > len(FAULTS)
    assert all(request["request_id"] for request in requests)
    assert [line for line in text.splitlines() if any(secret in line for secret in SECRETS)] == []
    assert not re.search(r"Signature=|arn:aws|\d{12}(?!\d)", re.sub(ID, "", text))


def test_no_span_holds_a_secret(records: Records) -> None:
    spans = records.collector.spans
    graphql = [line for line in events(records.program, "request") if line["path"] == "/graphql"]
    secrets = (*SECRETS, "arn:aws", "audienceGenerationJobs(")

    assert len(records.collector.requests) == len(graphql)
    assert any(span.failed for span in spans if span.kind == CLIENT)
    assert [span for span in spans if any(secret in span.text for secret in secrets)] == []
    assert {name for span in spans for name in span.attributes} <= {
        *("http.request.method", "http.response.status_code", "http.route", "url.path"),
        *("url.scheme", "graphql.operation.name", "rpc.system.name", "rpc.method", "cloud.region"),
        *("aws.request_id", "error.type", "gateway.outcome", "gateway.document"),
        *("gateway.request_id", "gateway.answer", "gateway.events"),
    }
    assert not any("events {" in span.text or "message:" in span.text for span in spans)
