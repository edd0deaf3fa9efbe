"""What the log, the metrics and the traces say of streams."""

import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.event_streams import (
    CHANGES,
    JOB,
    MULTIPART,
    TRANSPORTS,
    Stream,
    requested,
    subscribed,
    watching,
)
from tests.gateways import Sandbox
from tests.processes import Process, gateway_process, until
from tests.telemetry.collector import Collector, ReceivedSpan
from tests.telemetry.programs import events, metric, samples, traced_gateway

SHARED = ("gateway_subscriptions", "gateway_watches", "gateway_in_flight_requests")
EVENTS = "gateway_subscription_events_total"
LATENCIES = ("gateway_request_duration_seconds", "gateway_operation_duration_seconds")
WITH_EXPORTS = JOB.replace("status }", "status exportJobs { nodes { name } } }")


@dataclass(frozen=True)
class Observed:
    """A traced gateway that polls all the time."""

    program: Process
    collector: Collector
    sandbox: Sandbox

    @property
    def url(self) -> str:
        return self.program.url

    def line(self, request_id: str) -> dict[str, Any]:
        """Wait for the access line of a request."""

        def lines() -> list[dict[str, Any]]:
            return [line for line in events(self.program, "request") if _is(line, request_id)]

        until(lines)
        (line,) = lines()
        return line

    def span(self, request_id: str) -> ReceivedSpan:
        """Wait for the span of a request."""

        def spans() -> list[ReceivedSpan]:
            return [
                span
                for span in self.collector.requests
                if span.attributes["gateway.request_id"] == request_id
            ]

        until(spans)
        (span,) = spans()
        return span

    def calls(self, request_id: str) -> int:
        """Return how many calls to AWS the log has under the id of a request."""
        return sum(_is(line, request_id) for line in events(self.program, "upstream call"))

    def metric(self, name: str, **labels: str) -> float:
        return metric(self.url, name, **labels)

    def latencies(self) -> float:
        """Return how many durations were recorded."""
        names = {f"{name}_count" for name in LATENCIES}
        return sum(value for (name, _), value in samples(self.url).items() if name in names)


def _is(line: dict[str, Any], request_id: str) -> bool:
    found: bool = line.get("request_id") == request_id
    return found


@pytest.fixture(scope="module")
def shared_observed(shared_sandbox: Sandbox) -> Iterator[Observed]:
    with traced_gateway(
        shared_sandbox.url,
        watch_seconds=0.02,
        caller_calls_per_second=0,
        cache_seconds=0,
        log_level="debug",
    ) as (program, collector):
        yield Observed(program, collector, shared_sandbox)


@pytest.fixture
def observed(shared_observed: Observed, sandbox: Sandbox) -> Observed:
    assert shared_observed.sandbox is sandbox
    return shared_observed


@pytest.fixture
def job(sandbox: Sandbox) -> str:
    return sandbox.start_job("edith")


def settle(observed: Observed, job: str, stream: Stream) -> None:
    observed.sandbox.set_job_status(job, "ACTIVE")
    stream.rest()


def leave(*_: object) -> None:
    """Do nothing: the end of the block ends the stream."""


def lose_permission(observed: Observed, _: str, stream: Stream) -> None:
    observed.sandbox.fault("denied")
    stream.rest()


ENDS: dict[str, tuple[Callable[[Observed, str, Stream], None], int]] = {
    "OK": (settle, 2),
    "CLIENT_GONE": (leave, 1),
    "FORBIDDEN": (lose_permission, 2),
}
"""Outcome -> the end of a stream, and the events until then."""


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(("outcome", "end"), ENDS.items(), ids=ENDS)
def test_each_end_of_a_stream_is_reported_once(
    observed: Observed,
    job: str,
    transport: str,
    outcome: str,
    end: tuple[Callable[[Observed, str, Stream], None], int],
) -> None:
    """In the log, the metrics and the trace alike."""
    end_stream, number = end
    request_id = f"{outcome}-{len(transport)}"
    before = {name: observed.metric(name) for name in SHARED}
    events_before, latencies = observed.metric(EVENTS), observed.latencies()
    counted = observed.metric("gateway_requests_total", status="200", outcome=outcome)
    options: Any = {"transport": transport, "caller": "edith", "variables": {"arn": job}}
    headers = {"X-Request-Id": request_id}
    with subscribed(observed.url, WITH_EXPORTS, headers=headers, **options) as stream:
        stream.status()
        during = [observed.metric(name) - before[name] for name in SHARED]
        end_stream(observed, job, stream)
    line, span = observed.line(request_id), observed.span(request_id)

    assert during == [1, 1, 0]
    until(lambda: {name: observed.metric(name) for name in SHARED} == before)
    until(lambda: observed.metric(EVENTS) == events_before + number)
    assert observed.metric("gateway_requests_total", status="200", outcome=outcome) == counted + 1
    assert observed.latencies() == latencies
    assert {name: line[name] for name in ("status", "outcome", "operation", "events")} == {
        "status": 200,
        "outcome": outcome,
        "operation": "Watch",
        "events": number,
    }
    assert line["upstream_calls"] >= 1
    assert line["caller"]
    assert span.attributes["gateway.events"] == number
    assert span.attributes["gateway.outcome"] == outcome
    assert span.attributes["graphql.operation.name"] == "Watch"
    assert not span.failed


def test_a_subscription_is_reported_when_it_starts(observed: Observed, job: str) -> None:
    """It may be open for an hour before its access line is written."""
    headers = {"X-Request-Id": "started", "apollographql-client-name": "console"}

    def lines() -> list[dict[str, Any]]:
        started = events(observed.program, "subscription started")
        return [line for line in started if _is(line, "started")]

    with watching(observed.url, job, caller="edith", headers=headers) as stream:
        assert stream.status()
        until(lines)
    ended = observed.line("started")

    (line,) = lines()
    assert (line["operation"], line["client"]) == ("Watch", "console")
    for name in ("operation", "document", "caller", "client", "client_version"):
        assert line[name] == ended[name]


def test_a_stream_without_an_event_is_reported_as_one(observed: Observed) -> None:
    latencies = observed.latencies()
    headers = {"X-Request-Id": "silent"}
    with subscribed(observed.url, CHANGES, caller="edith", headers=headers) as stream:
        stream.message()
    line = observed.line("silent")

    assert (line["outcome"], line["events"]) == ("CLIENT_GONE", 0)
    assert observed.latencies() == latencies


def test_a_rejected_subscription_is_reported_as_any_request(observed: Observed) -> None:
    latencies = observed.latencies()
    headers = {"X-Request-Id": "rejected", "Accept": "*/*"}
    with requested(observed.url, CHANGES, headers=headers) as response:
        assert response.status_code == 406
    line = observed.line("rejected")

    assert (line["outcome"], line["events"]) == ("BAD_USER_INPUT", None)
    until(lambda: observed.latencies() == latencies + 2)


def test_the_calls_of_a_poll_are_those_of_its_oldest_subscription(
    observed: Observed, job: str
) -> None:
    """In the log and in traces: what is read for others goes on when the first one has left."""

    def watch(request_id: str) -> Any:
        headers = {"X-Request-Id": request_id}
        return watching(observed.url, job, caller="edith", headers=headers)

    with watch("first") as first:
        assert first.status()
        with watch("second") as second:
            assert second.status()
            until(lambda: observed.calls("first") > 3)
            shared = observed.calls("second")
            first.response.close()
            ended = observed.span("first")
            observed.line("first")  # as far as the log is read
            logged = observed.calls("first")
            until(lambda: observed.calls("second") > 3)
            settle(observed, job, second)
    later = observed.span("second")

    assert shared == 0
    # One call may have been in progress.
    assert observed.calls("first") <= logged + 1
    calls = [observed.collector.calls_of(span) for span in (ended, later)]
    assert min(map(len, calls)) > 3
    assert {call.name for call in calls[1]} == {"CleanRoomsML.GetAudienceGenerationJob"}


def test_only_the_calls_of_polls_that_fail_are_logged(sandbox: Sandbox, job: str) -> None:
    """At the usual level. Those that an event makes are logged like a query's."""
    with gateway_process(sandbox.url, watch_seconds=0.02) as program:
        headers = {"X-Request-Id": "calls"}
        options: Any = {"caller": "edith", "variables": {"arn": job}, "headers": headers}
        with subscribed(program.url, WITH_EXPORTS, **options) as stream:
            assert stream.status()
            until(lambda: metric(program.url, "gateway_polls_total", result="unchanged") > 3)
            sandbox.fault("unavailable", times=1)
            until(lambda: any(_failed(line) for line in events(program, "upstream call")))
            sandbox.set_job_status(job, "ACTIVE")
            stream.rest()
        until(lambda: events(program, "request"))
        calls = [line for line in events(program, "upstream call") if _is(line, "calls")]

    assert {line["operation"] for line in calls if not _failed(line)} == {"ListAudienceExportJobs"}
    assert [line["operation"] for line in calls if _failed(line)] == ["GetAudienceGenerationJob"]


def _failed(line: dict[str, Any]) -> bool:
    return bool(line["outcome"] != "OK")


def test_a_drained_stream_is_reported(sandbox: Sandbox, job: str) -> None:
    with traced_gateway(sandbox.url, drain_seconds=1) as (program, collector):
        observed = Observed(program, collector, sandbox)
        headers = {"X-Request-Id": "drained"}
        with watching(
            program.url, job, caller="edith", transport=MULTIPART, headers=headers
        ) as stream:
            assert stream.status()
            program.send_signal(signal.SIGTERM)
            stream.rest()
        line = observed.line("drained")
        code = program.wait()
    (draining,) = events(program, "draining")

    assert code == 0
    assert "request_id" not in draining
    assert (line["outcome"], line["events"]) == ("SUBSCRIPTION_ENDED", 1)
