"""What an operator sees: a line for each request and each call to AWS, and figures."""

import json
import re
import signal
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from gateway.dev import aws_headers
from gateway.sandbox import CALLERS
from tests.gateways import Gateway, Sandbox
from tests.hostile.process import Program, gateway_process
from tests.redis_servers import until

NEWEST = "query Newest { audienceGenerationJobs(first: 2) { nodes { name } } }"
DETAILS = "query Details { audienceGenerationJobs(first: 3) { nodes { tags { key } } } }"
DIGEST = re.compile(r"[0-9a-f]{16}")
OPERATIONS = {
    *("ListAudienceGenerationJobs", "GetAudienceGenerationJob", "ListAudienceExportJobs"),
    *("ListConfiguredAudienceModels", "GetConfiguredAudienceModel"),
    *("ListAudienceModels", "GetAudienceModel", "ListTrainingDatasets", "GetTrainingDataset"),
    "AssumeRoleWithWebIdentity",
}


def events(program: Program, kind: str) -> list[dict[str, Any]]:
    """Give the lines of one kind; the program has ended, or has written what is asked for."""
    said = [json.loads(line) for line in program.said]
    return [event for event in said if event["event"] == kind]


def samples(url: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Read the metrics."""
    text = httpx.get(f"{url}/metrics").text
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(url: str, name: str, **labels: str) -> float:
    """Read one; 0 if there is none such yet."""
    return samples(url).get((name, frozenset(labels.items())), 0.0)


def test_a_request_leaves_one_line_that_tells_enough(sandbox: Sandbox) -> None:
    """Who by their digest, what by name and digest, how it ended and what it cost."""
    with gateway_process(sandbox.url) as program:
        gateway = Gateway(program.url, sandbox)
        gateway.send("POST", json={"query": NEWEST, "operationName": "Newest"}, headers=ada())
        gateway.ask(NEWEST)
        gateway.ask(DETAILS)
        gateway.ask("{ nothing }")
        gateway.ask(NEWEST, caller="denied")
        gateway.ask("{ __typename }", caller=None)
        program.end()
    told = [event for event in events(program, "request") if event["path"] == "/graphql"]

    assert [event["outcome"] for event in told] == [
        *("OK", "OK", "OK"),
        *("GRAPHQL_VALIDATION_FAILED", "FORBIDDEN", "OK"),
    ]
    assert [event["operation"] for event in told] == [
        "Newest",
        "Newest",
        "Details",
        None,
        "Newest",
        None,
    ]
    assert [event["status"] for event in told] == [200, 200, 200, 400, 200, 200]
    assert [event.get("upstream_calls") for event in told] == [1, 0, 3, 0, 1, None]
    assert [event.get("cache_hits") for event in told] == [0, 1, 1, 0, 0, None]
    documents = [event["document"] for event in told]
    assert all(DIGEST.fullmatch(document) for document in documents)
    assert documents[0] == documents[1] == documents[4] != documents[2]
    callers = [event["caller"] for event in told]
    assert callers[0] == callers[1] == callers[3] != callers[4]
    assert callers[5] is None
    assert all(event["ms"] > 0 and event["request_id"] for event in told)


def ada() -> dict[str, str]:
    """Be ada."""
    return dict(aws_headers(CALLERS["ada"]))


def test_of_an_operation_s_name_no_more_than_its_beginning_is_told(sandbox: Sandbox) -> None:
    """Whoever asks makes it up; one that names no operation is not told at all."""
    with gateway_process(sandbox.url) as program:
        gateway = Gateway(program.url, sandbox)
        gateway.ask(f"query {'x' * 1000} {{ __typename }}")
        body = {"query": NEWEST, "operationName": "Another"}
        gateway.send("POST", json=body, headers=ada())
        program.end()

    assert [event["operation"] for event in events(program, "request")] == ["x" * 64, None]


def test_a_call_to_aws_leaves_one_line_that_joins_all_sides(sandbox: Sandbox) -> None:
    """Our request id, AWS's, the caller's digest and what came of it; also of each retry."""
    with gateway_process(sandbox.url, cache_seconds=0) as program:
        gateway = Gateway(program.url, sandbox)
        sandbox.fault("unavailable", times=1)
        answer = gateway.ask(NEWEST, headers={"X-Request-Id": "mine-1", "X-Gateway-Cost": "1"})
        calls = sandbox.calls
        gateway.ask(NEWEST, caller="denied")
        program.end()
    told = events(program, "upstream call")
    (request, _) = events(program, "request")

    assert [event["outcome"] for event in told] == ["UPSTREAM_UNAVAILABLE", "OK", "FORBIDDEN"]
    assert [event["request_id"] for event in told[:2]] == ["mine-1", "mine-1"]
    assert [event["aws_request_id"] for event in told[:2]] == [c["request_id"] for c in calls]
    assert told[1]["aws_request_id"] in answer.content["extensions"]["cost"]["awsRequestIds"]
    assert told[0]["caller"] == told[1]["caller"] == request["caller"] != told[2]["caller"]
    assert {(event["operation"], event["region"]) for event in told} == {
        ("ListAudienceGenerationJobs", "us-east-1")
    }


def test_figures_add_up(sandbox: Sandbox) -> None:
    """What was asked is what was counted."""
    with gateway_process(sandbox.url, caller_calls_per_second=1) as program:
        gateway, url = Gateway(program.url, sandbox), program.url
        for _ in range(3):
            gateway.ask(NEWEST)
        gateway.ask(NEWEST, caller="denied")
        gateway.ask("{ nothing }")
        sandbox.fault("unavailable", operation="ListAudienceModels")
        gateway.ask("{ audienceModels { nodes { name } } }")
        for _ in range(15):
            gateway.ask(NEWEST, caller="grace", headers={"Cache-Control": "no-cache"})
        lists = "ListAudienceGenerationJobs"
        seen = {
            "ok": value(url, "gateway_requests_total", status="200", outcome="OK"),
            "denied": value(url, "gateway_requests_total", status="200", outcome="FORBIDDEN"),
            "bad": value(
                url, "gateway_requests_total", status="400", outcome="GRAPHQL_VALIDATION_FAILED"
            ),
            "failed calls": value(
                url,
                "gateway_upstream_calls_total",
                operation="ListAudienceModels",
                outcome="UPSTREAM_UNAVAILABLE",
            ),
            "calls": value(url, "gateway_upstream_calls_total", operation=lists, outcome="OK"),
            "cache": value(url, "gateway_cache_lookups_total", result="cache"),
            "refused": value(url, "gateway_rate_limited_calls_total"),
            "timed": value(url, "gateway_request_duration_seconds_count"),
            "in flight": value(url, "gateway_in_flight_requests"),
        }

    assert seen == {
        "ok": 3 + 12,
        "denied": 1,
        "bad": 1,
        "failed calls": 3,
        "calls": 1 + 12,
        "cache": 2,
        "refused": 3,
        "timed": 21,
        "in flight": 0,
    }


def is_open(url: str) -> bool:
    """Say whether the region is left alone."""
    return value(url, "gateway_circuit_breaker_open", target="us-east-1") == 1


def test_an_open_breaker_shows(sandbox: Sandbox) -> None:
    """And that it closed again."""
    with gateway_process(sandbox.url, cache_seconds=0) as program:
        gateway, url = Gateway(program.url, sandbox), program.url
        sandbox.fault("unavailable")
        for caller in ("ada", "grace", "edith", "ada_again"):
            assert gateway.ask(NEWEST, caller=caller).errors
        opened = is_open(url)
        sandbox.reset()
        until(lambda: not gateway.ask(NEWEST).errors)
        still_open = is_open(url)

    assert (opened, still_open) == (True, False)


def test_labels_are_from_fixed_sets(sandbox: Sandbox) -> None:
    """However many names callers make up, there are no more series than before."""
    with gateway_process(sandbox.url) as program:
        gateway = Gateway(program.url, sandbox)

        def ask(number: int) -> None:
            gateway.ask(NEWEST.replace("Newest", f"Name{number}"), headers={"X-Request-Id": "r"})
            gateway.ask(f"{{ field{number} }}")
            gateway.send("GET", f"/path{number}")
            gateway.send("PUT", f"/graphql?{number}")

        for number in range(3):
            ask(number)
        before = samples(program.url).keys()
        for number in range(100):
            ask(number)
        after = samples(program.url).keys()

    grown = {name for name, _ in after - before if not name.endswith("_created")}
    assert grown == set()
    operations = {dict(labels).get("operation") for _, labels in after}
    assert operations <= OPERATIONS | {None}


def test_several_workers_add_their_figures_up(sandbox: Sandbox) -> None:
    """Whichever of them is asked; and the figures of one that died stay counted."""
    with gateway_process(sandbox.url, workers=2, cache_seconds=0) as program:
        gateway = Gateway(program.url, sandbox)
        until(lambda: _answers(program.url))
        for _ in range(20):
            assert gateway.ask(NEWEST).data
        counts = {
            value(program.url, "gateway_requests_total", status="200", outcome="OK")
            for _ in range(10)
        }
        program.signal(signal.SIGTERM)

    assert counts == {20.0}


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").is_success
    except httpx.TransportError:
        return False
