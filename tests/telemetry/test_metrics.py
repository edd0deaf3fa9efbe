"""What a running gateway logs and measures of requests and upstream calls."""

import os
import platform
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from prometheus_client import REGISTRY, CollectorRegistry, Histogram

from gateway import __version__
from gateway.dev import aws_headers
from gateway.http.middleware import MAX_OPERATION_NAME
from gateway.sandbox import CALLERS
from gateway.telemetry.metrics import (
    MAX_OPERATION_NAMES,
    MULTIPROCESS_DIR,
    OK,
    OPERATION_SECONDS_BUCKETS,
    OTHER_NAMES,
    SECONDS,
    SHARED_BYTES_PER_WORKER,
    UNNAMED,
    count_request,
    write_counts,
)
from tests.gateways import Gateway, Sandbox
from tests.processes import Process, ProcessStatistics, clean_environment, gateway_process, until
from tests.programs import needs
from tests.telemetry.programs import events, get, is_ready, metric, samples

NEWEST = "query Newest { audienceGenerationJobs(first: 2) { nodes { name } } }"
DETAILS = "query Details { audienceGenerationJobs(first: 3) { nodes { tags { key } } } }"
DIGEST = re.compile(r"[0-9a-f]{16}")
OPERATIONS = {
    *("ListAudienceGenerationJobs", "GetAudienceGenerationJob", "ListAudienceExportJobs"),
    *("ListConfiguredAudienceModels", "GetConfiguredAudienceModel"),
    *("ListAudienceModels", "GetAudienceModel", "ListTrainingDatasets", "GetTrainingDataset"),
    "AssumeRoleWithWebIdentity",
}
FIRST_CALL = {
    "operation": "ListAudienceGenerationJobs",
    "region": "us-east-1",
    "outcome": OK,
}
ADA = dict(aws_headers(CALLERS["ada"]))
NO_CACHE = {"Cache-Control": "no-cache"}


@pytest.fixture(scope="module")
def single(shared_sandbox: Sandbox) -> Iterator[Process]:
    with gateway_process(shared_sandbox.url) as program:
        yield program


@pytest.fixture(scope="module")
def workers(shared_sandbox: Sandbox) -> Iterator[Process]:
    """Run a gateway of two processes."""
    with gateway_process(shared_sandbox.url, workers=2) as program:
        until(lambda: is_ready(program.url))
        yield program


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
        program.terminate()
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
        program.terminate()
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
        answers = []

        def is_limited() -> bool:
            answers.append(gateway.ask(NEWEST, caller="grace", headers=NO_CACHE))
            return bool(answers[-1].errors)

        until(is_limited)
        lists = {"operation": "ListAudienceGenerationJobs", "region": "us-east-1"}
        models = {"operation": "ListAudienceModels", "region": "us-east-1"}
        requests, calls = "gateway_requests_total", "gateway_upstream_calls_total"
        invalid = "GRAPHQL_VALIDATION_FAILED"
        measured = {
            "ok": metric(url, requests, status="200", outcome="OK"),
            "denied": metric(url, requests, status="200", outcome="FORBIDDEN"),
            "invalid": metric(url, requests, status="400", outcome=invalid),
            "failed calls": metric(url, calls, **models, outcome="UPSTREAM_UNAVAILABLE"),
            "calls": metric(url, calls, **lists, outcome="OK"),
            "cached": metric(url, "gateway_cache_lookups_total", result="cache"),
            "answered": metric(url, "gateway_cache_lookups_total", result="answer"),
            "timed": metric(url, "gateway_request_duration_seconds_count"),
            "timed calls": metric(url, "gateway_upstream_call_duration_seconds_count", **models),
            "named": metric(url, "gateway_operation_duration_seconds_count", operation="Newest"),
            "unnamed": metric(url, "gateway_operation_duration_seconds_count", operation=UNNAMED),
            "in flight": metric(url, "gateway_in_flight_requests"),
        }
        limited = metric(url, "gateway_rejections_total", limit="caller_rate")

    assert answers[-1].code == "THROTTLED"
    assert limited == 1
    assert measured == {
        "ok": 3 + len(answers) - 1,
        "denied": 1,
        "invalid": 1,
        "failed calls": 3,
        "calls": 1 + len(answers) - 1,
        "cached": 1,
        "answered": 1,
        "timed": 6 + len(answers),
        "timed calls": 3,
        "named": 3 + 1 + len(answers),
        "unnamed": 2,
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
    """Callers add no series by what they choose, apart from names of operations that read data."""
    with gateway_process(sandbox.url) as program:
        gateway = Gateway(program.url, sandbox)

        def send(number: int) -> None:
            name = f"Name{number}"
            gateway.ask(f"query {name} {{ __typename }}", headers={"X-Request-Id": "r"})
            gateway.ask(NEWEST.replace("Newest", name), caller=None)
            gateway.ask(NEWEST.replace("Newest", name), caller="expired")
            gateway.ask(f"{{ field{number} }}")
            gateway.send("GET", f"/path{number}")
            gateway.send("PUT", f"/graphql?{number}")

        gateway.ask(NEWEST)
        for number in range(3):
            send(number)
        before = samples(program.url).keys()
        for number in range(3, 30):
            send(number)
        after = samples(program.url).keys()

    assert after - before == set()
    operations = {dict(labels).get("operation") for _, labels in after}
    assert operations <= OPERATIONS | {None, "Newest", OTHER_NAMES, UNNAMED}


def test_names_of_operations_are_limited_in_number(sandbox: Sandbox) -> None:
    """Names beyond the limit share a series; those that have one keep it, also for failures."""
    with gateway_process(sandbox.url) as program:
        gateway = Gateway(program.url, sandbox)
        for number in range(MAX_OPERATION_NAMES + 3):
            assert gateway.ask(NEWEST.replace("Newest", f"Name{number}")).data
        gateway.ask(NEWEST.replace("Newest", "Name0"), caller="denied")
        counts = {
            dict(labels)["operation"]: value
            for (name, labels), value in samples(program.url).items()
            if name == "gateway_operation_duration_seconds_count"
        }

    assert counts == {
        "Name0": 2,
        **{f"Name{number}": 1 for number in range(1, MAX_OPERATION_NAMES)},
        OTHER_NAMES: 3,
    }


def test_workers_sum_their_metrics(workers: Process, sandbox: Sandbox) -> None:
    """Each of them returns the sum, at most half a second later."""
    outcome = {"status": "400", "outcome": "GRAPHQL_VALIDATION_FAILED"}  # of no other test

    def answered() -> float:
        return metric(workers.url, "gateway_requests_total", **outcome)

    gateway = Gateway(workers.url, sandbox)
    for _ in range(20):
        assert gateway.ask("{ nothing }").errors
    until(lambda: answered() == 20)

    assert {answered() for _ in range(10)} == {20}


@pytest.mark.parametrize("processes", ["single", "workers"])
def test_metrics_are_well_formed(
    request: pytest.FixtureRequest, sandbox: Sandbox, processes: str
) -> None:
    """They tell the version, and have no `_created` series."""
    url: str = request.getfixturevalue(processes).url
    assert Gateway(url, sandbox).ask(NEWEST).data
    until(lambda: metric(url, "gateway_upstream_calls_total", **FIRST_CALL))
    version = {"version": __version__, "python": platform.python_version()}
    text = get(f"{url}/metrics").text
    linted = subprocess.run(  # noqa: S603
        [needs("promtool"), "check", "metrics"],
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert metric(url, "gateway_build_info", **version) == 1
    assert "_created" not in text
    assert linted.stdout + linted.stderr == ""
    assert linted.returncode == 0


PROCESS_METRICS = {
    *("process_cpu_seconds_total", "process_start_time_seconds", "process_max_fds"),
    *("process_open_fds", "process_resident_memory_bytes", "process_virtual_memory_bytes"),
}


def process_metrics(url: str) -> dict[str, dict[str | None, float]]:
    """Return metric -> process id, if several are measured -> value."""
    found: dict[str, dict[str | None, float]] = {}
    for (name, labels), value in samples(url).items():
        if name.startswith("process_"):
            found.setdefault(name, {})[dict(labels).get("pid")] = value
    return found


def test_a_process_is_measured(single: Process) -> None:
    measured = process_metrics(single.url)

    assert measured.keys() == PROCESS_METRICS
    assert {process for values in measured.values() for process in values} == {None}


FILL = f"""
from gateway.telemetry.metrics import *
outcomes = [OK, *(f"UPSTREAM_{{number:012}}" for number in range(8))]
for operation in {sorted(OPERATIONS)}:
    for number in range(16):
        region = f"ap-southeast-{{number}}"
        UPSTREAM_SECONDS.labels(operation, region).observe(1)
        for outcome in outcomes:
            UPSTREAM_CALLS.labels(operation, region, outcome).inc()
for number in range(MAX_OPERATION_NAMES):
    OPERATION_SECONDS.labels(f"{{number:0{MAX_OPERATION_NAME}}}").observe(1)
for status in range(400, 408):
    for outcome in outcomes:
        REQUESTS.labels(status, outcome).inc()
"""
"""Make the metrics of a worker that serves many regions."""


def test_the_metrics_of_a_worker_fit_into_their_space(tmp_path: Path) -> None:
    """The kernel kills a worker for whose metrics there is no space."""
    environment = {**clean_environment(), MULTIPROCESS_DIR: str(tmp_path)}
    subprocess.run([sys.executable, "-c", FILL], env=environment, check=True)  # noqa: S603  above
    files = [each.stat() for each in tmp_path.iterdir()]

    assert files
    assert sum(each.st_blocks * 512 for each in files) <= SHARED_BYTES_PER_WORKER


def test_each_worker_is_measured(workers: Process) -> None:
    """Each metric of a process is there, of exactly the workers that are alive."""

    def serving() -> set[str | None]:
        return set(process_metrics(workers.url)["process_cpu_seconds_total"])

    def resident(measured: Mapping[str, Mapping[str | None, float]]) -> dict[str, int]:
        pids = map(str, measured["process_resident_memory_bytes"])
        return {pid: ProcessStatistics(int(pid)).resident_bytes() for pid in pids}

    def is_measured() -> bool:
        """Return whether both exist, and have grown little since they measured themselves."""
        now = process_metrics(workers.url)
        memory = now["process_resident_memory_bytes"]
        return len(memory) == 2 and memory == pytest.approx(resident(now), rel=0.1)

    until(is_measured)
    measured, first = process_metrics(workers.url), serving()
    children = set(map(str, workers.children()))
    ended = min(int(pid) for pid in first if pid)
    os.kill(ended, signal.SIGKILL)
    # On a busy machine the supervisor may replace the other one as well.
    until(lambda: len(after := serving()) == 2 and str(ended) not in after)

    assert first <= children
    assert measured.keys() == PROCESS_METRICS
    assert all(values.keys() == first for values in measured.values())
    assert set(measured["process_max_fds"].values()) == {
        resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    }


@pytest.mark.parametrize(
    ("metric", "labels", "buckets"),
    [
        ("gateway_request_duration_seconds", {}, SECONDS),
        ("gateway_operation_duration_seconds", {"operation": "Any"}, OPERATION_SECONDS_BUCKETS),
    ],
)
def test_requests_are_counted_as_the_library_would(
    metric: str, labels: dict[str, str], buckets: tuple[float, ...]
) -> None:
    registry = CollectorRegistry()
    expected = Histogram("expected", "", buckets=buckets, registry=registry)
    durations = [0, *SECONDS, *(seconds + 0.001 for seconds in SECONDS)]
    count_request(200, OK, "Any", 0)
    write_counts()
    before = request_seconds(REGISTRY, metric, labels)
    for seconds in durations:
        expected.observe(seconds)
        count_request(200, OK, "Any", seconds)
    write_counts()
    after = request_seconds(REGISTRY, metric, labels)

    assert {key: after[key] - before[key] for key in after} == pytest.approx(
        request_seconds(registry, "expected", {})
    )


def request_seconds(
    registry: CollectorRegistry, name: str, labels: dict[str, str]
) -> dict[tuple[str, str], float]:
    """Return (suffix, upper bound) -> value of a histogram."""
    samples = next(each.samples for each in registry.collect() if each.name == name)
    return {
        (sample.name.removeprefix(name), sample.labels.get("le", "")): sample.value
        for sample in samples
        if labels.items() <= sample.labels.items()
    }
