"""What a running gateway logs and measures of requests and upstream calls."""

import re
import signal

import pytest
from prometheus_client import REGISTRY, CollectorRegistry, Histogram

from gateway.dev import aws_headers
from gateway.sandbox import CALLERS
from gateway.telemetry.metrics import OK, SECONDS, count_request, write_counts
from tests.gateways import Gateway, Sandbox
from tests.processes import gateway_process, until
from tests.telemetry.programs import events, is_ready, metric, samples

NEWEST = "query Newest { audienceGenerationJobs(first: 2) { nodes { name } } }"
DETAILS = "query Details { audienceGenerationJobs(first: 3) { nodes { tags { key } } } }"
DIGEST = re.compile(r"[0-9a-f]{16}")
OPERATIONS = {
    *("ListAudienceGenerationJobs", "GetAudienceGenerationJob", "ListAudienceExportJobs"),
    *("ListConfiguredAudienceModels", "GetConfiguredAudienceModel"),
    *("ListAudienceModels", "GetAudienceModel", "ListTrainingDatasets", "GetTrainingDataset"),
    "AssumeRoleWithWebIdentity",
}
ADA = dict(aws_headers(CALLERS["ada"]))


def test_each_request_is_logged_in_one_line(sandbox: Sandbox) -> None:
    """It has the outcome, digests of caller and document, the operation's name, and the cost.

    Health checks and scrapes have none.
    """
    with gateway_process(sandbox.url) as program:
        gateway = Gateway(program.url, sandbox)
        for path in ("/livez", "/readyz", "/metrics"):
            gateway.send("GET", path)
        gateway.send("POST", json={"query": NEWEST, "operationName": "Newest"}, headers=ADA)
        gateway.ask(NEWEST)
        gateway.ask(DETAILS)
        gateway.ask("{ nothing }")
        gateway.ask(NEWEST, caller="denied")
        gateway.ask(f"query {'x' * 1000} {{ __typename }}", caller=None)
        gateway.send("POST", json={"query": NEWEST, "operationName": "Other"}, headers=ADA)
        program.end()
    lines = events(program, "request")

    assert [
        (line["status"], line["outcome"], line["operation"], line.get("upstream_calls"))
        for line in lines
    ] == [
        (200, "OK", "Newest", 1),
        (200, "OK", "Newest", 0),
        (200, "OK", "Details", 3),
        (400, "GRAPHQL_VALIDATION_FAILED", None, 0),
        (200, "FORBIDDEN", "Newest", 1),
        (200, "OK", "x" * 64, None),
        (200, "BAD_USER_INPUT", None, 0),
    ]
    assert [line.get("cache_hits") for line in lines] == [0, 1, 1, 0, 0, None, 0]
    documents = [line["document"] for line in lines]
    assert all(DIGEST.fullmatch(document) for document in documents)
    assert documents[0] == documents[1] == documents[4] != documents[2]
    callers = [line["caller"] for line in lines]
    assert callers[0] == callers[1] == callers[3] != callers[4]
    assert callers[5] is None
    assert all(line["ms"] > 0 and line["request_id"] for line in lines)


def test_each_attempt_to_call_aws_is_logged_in_one_line(sandbox: Sandbox) -> None:
    """It has both request ids, the caller's digest and the outcome."""
    with gateway_process(sandbox.url, cache_seconds=0) as program:
        gateway = Gateway(program.url, sandbox)
        sandbox.fault("unavailable", times=1)
        answer = gateway.ask(NEWEST, headers={"X-Request-Id": "mine-1", "X-Gateway-Cost": "1"})
        calls = sandbox.calls
        gateway.ask(NEWEST, caller="denied")
        program.end()
    lines = events(program, "upstream call")
    (request, _) = events(program, "request")

    assert [line["outcome"] for line in lines] == ["UPSTREAM_UNAVAILABLE", "OK", "FORBIDDEN"]
    assert [line["request_id"] for line in lines[:2]] == ["mine-1", "mine-1"]
    assert [line["aws_request_id"] for line in lines[:2]] == [call["request_id"] for call in calls]
    assert lines[1]["aws_request_id"] in answer.content["extensions"]["cost"]["awsRequestIds"]
    assert lines[0]["caller"] == lines[1]["caller"] == request["caller"] != lines[2]["caller"]
    assert {(line["operation"], line["region"]) for line in lines} == {
        ("ListAudienceGenerationJobs", "us-east-1")
    }


def test_metrics_count_what_was_requested(sandbox: Sandbox) -> None:
    with gateway_process(sandbox.url, caller_calls_per_second=1) as program:
        gateway, url = Gateway(program.url, sandbox), program.url
        for text in (NEWEST, f"{NEWEST} ", NEWEST):
            gateway.ask(text)
        gateway.ask(NEWEST, caller="denied")
        gateway.ask("{ nothing }")
        sandbox.fault("unavailable", operation="ListAudienceModels")
        gateway.ask("{ audienceModels { nodes { name } } }")
        for _ in range(15):  # one to prove the caller, and more than the rate of 12 seconds
            gateway.ask(NEWEST, caller="grace", headers={"Cache-Control": "no-cache"})
        lists, models = "ListAudienceGenerationJobs", "ListAudienceModels"
        requests, calls = "gateway_requests_total", "gateway_upstream_calls_total"
        invalid = "GRAPHQL_VALIDATION_FAILED"
        measured = {
            "ok": metric(url, requests, status="200", outcome="OK"),
            "denied": metric(url, requests, status="200", outcome="FORBIDDEN"),
            "invalid": metric(url, requests, status="400", outcome=invalid),
            "failed calls": metric(url, calls, operation=models, outcome="UPSTREAM_UNAVAILABLE"),
            "calls": metric(url, calls, operation=lists, outcome="OK"),
            "cached": metric(url, "gateway_cache_lookups_total", result="cache"),
            "answered": metric(url, "gateway_cache_lookups_total", result="answer"),
            "timed": metric(url, "gateway_request_duration_seconds_count"),
            "in flight": metric(url, "gateway_in_flight_requests"),
        }
        limited = metric(url, "gateway_rejections_total", limit="caller_rate")

    assert limited in {1, 2}  # one call more may pass where two windows meet
    assert measured == {
        "ok": 3 + 15 - limited,
        "denied": 1,
        "invalid": 1,
        "failed calls": 3,
        "calls": 1 + 15 - limited,
        "cached": 1,
        "answered": 1,
        "timed": 21,
        "in flight": 0,
    }


def test_an_open_circuit_breaker_is_measured(sandbox: Sandbox) -> None:
    """The gauge is 0 again when it closes."""
    with gateway_process(sandbox.url, cache_seconds=0) as program:
        gateway = Gateway(program.url, sandbox)

        def is_open() -> bool:
            return metric(program.url, "gateway_circuit_breaker_open", target="us-east-1") == 1

        callers = ("ada", "grace", "edith", "ada_again")
        for caller in callers:
            assert gateway.ask(NEWEST, caller=caller).data
        sandbox.fault("unavailable")
        for caller in callers:
            assert gateway.ask(NEWEST, caller=caller).errors
        opened = is_open()
        sandbox.reset()
        until(lambda: not gateway.ask(NEWEST).errors)
        still_open = is_open()

    assert (opened, still_open) == (True, False)


def test_labels_are_from_fixed_sets(sandbox: Sandbox) -> None:
    """Names that callers choose add no series."""
    with gateway_process(sandbox.url) as program:
        gateway = Gateway(program.url, sandbox)

        def send(number: int) -> None:
            gateway.ask(NEWEST.replace("Newest", f"Name{number}"), headers={"X-Request-Id": "r"})
            gateway.ask(f"{{ field{number} }}")
            gateway.send("GET", f"/path{number}")
            gateway.send("PUT", f"/graphql?{number}")

        for number in range(3):
            send(number)
        before = samples(program.url).keys()
        for number in range(3, 30):
            send(number)
        after = samples(program.url).keys()

    assert {name for name, _ in after - before if not name.endswith("_created")} == set()
    assert {dict(labels).get("operation") for _, labels in after} <= OPERATIONS | {None}


def test_workers_sum_their_metrics(sandbox: Sandbox) -> None:
    """Each of them returns the sum, at most half a second later."""
    with gateway_process(sandbox.url, workers=2, cache_seconds=0) as program:
        gateway = Gateway(program.url, sandbox)
        until(lambda: is_ready(program.url))
        for _ in range(20):
            assert gateway.ask(NEWEST).data
        name, labels = "gateway_requests_total", {"status": "200", "outcome": "OK"}
        until(lambda: metric(program.url, name, **labels) == 20)
        counts = {metric(program.url, name, **labels) for _ in range(10)}
        program.send_signal(signal.SIGTERM)

    assert counts == {20.0}


def test_requests_are_counted_as_the_library_would() -> None:
    registry = CollectorRegistry()
    expected = Histogram("expected", "", buckets=SECONDS, registry=registry)
    durations = [0, *SECONDS, *(seconds + 0.001 for seconds in SECONDS)]
    before = request_seconds(REGISTRY, "gateway_request_duration_seconds")
    for seconds in durations:
        expected.observe(seconds)
        count_request(200, OK, seconds)
    write_counts()
    after = request_seconds(REGISTRY, "gateway_request_duration_seconds")

    assert {key: after[key] - before[key] for key in after} == pytest.approx(
        request_seconds(registry, "expected")
    )


def request_seconds(registry: CollectorRegistry, name: str) -> dict[tuple[str, str], float]:
    """Return (suffix, upper bound) -> value of a histogram."""
    samples = next(each.samples for each in registry.collect() if each.name == name)
    return {
        (sample.name.removeprefix(name), sample.labels.get("le", "")): sample.value
        for sample in samples
        if not sample.name.endswith("_created")
    }
