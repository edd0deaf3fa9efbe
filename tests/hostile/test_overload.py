"""More load than a gateway accepts: some requests are served, the others rejected at once."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from gateway import cpu_scheduler
from gateway.http.requests import MAX_PENDING_BYTES
from gateway.sandbox import CALLERS
from tests.gateways import Gateway, Sandbox, gateway_over
from tests.hostile.target import JOBS
from tests.http.wire import connect
from tests.processes import until

MAX_IN_FLIGHT = 8
MAX_PER_CALLER = MAX_IN_FLIGHT // 4
OTHERS = ("grace", "edith", "ada_again")


def distinct_query(number: int) -> str:
    """Make a query that shares no upstream call with another number's."""
    arguments = f'first: {number + 1}, collaborationId: "{number:08}-0000-4000-8000-000000000000"'
    return JOBS.replace("first: 2", arguments)


def prove(gateway: Gateway, *callers: str) -> None:
    """Let AWS accept a call of each caller, and forget the calls."""
    for caller in callers:
        assert gateway.ask(JOBS, caller=caller).data
    gateway.sandbox.reset()


def test_a_flood_of_one_caller_leaves_capacity_for_others(sandbox: Sandbox) -> None:
    """One caller gets a quarter. The gateway stays ready, or a load balancer would remove it."""
    with (
        gateway_over(sandbox, max_in_flight=MAX_IN_FLIGHT, cache_seconds=0) as gateway,
        ThreadPoolExecutor(MAX_PER_CALLER) as pool,
    ):
        prove(gateway, "ada")
        sandbox.fault("hang", access_key_id=CALLERS["ada"].access_key_id)
        queries = map(distinct_query, range(MAX_PER_CALLER))
        held = [pool.submit(gateway.ask, query) for query in queries]
        until(lambda: sandbox.count() == MAX_PER_CALLER)
        rejected = [gateway.ask(JOBS) for _ in range(150)]
        other = gateway.ask(JOBS, caller="grace")
        ready = gateway.send("GET", "/readyz")
        sandbox.reset()
        statuses = [each.result().status for each in held]

    assert {(answer.status, answer.code, answer.headers["retry-after"]) for answer in rejected} == {
        (503, "OVERLOADED", "2")
    }
    assert len(other.data["audienceGenerationJobs"]["nodes"]) == 2
    assert (ready.status, ready.content) == (200, "ready\n")
    assert statuses == [200] * MAX_PER_CALLER


def test_a_request_that_gets_no_cpu_time_ends_at_its_deadline(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever sends it: neither the caller nor the query has been read by then."""
    with gateway_over(sandbox, deadline_seconds=1) as gateway:
        monkeypatch.setattr(cpu_scheduler, "BURST_SECONDS", 0.0)
        answers = [gateway.ask(JOBS), gateway.send("POST", content=b"{")]
        monkeypatch.undo()

    for answer in answers:
        assert (answer.status, answer.code) == (503, "UPSTREAM_TIMEOUT")
        assert answer.headers["retry-after"] == "2"
    assert sandbox.calls == []


def test_many_rejections_make_a_gateway_not_ready(sandbox: Sandbox) -> None:
    """Its liveness is not affected."""
    with gateway_over(sandbox, max_in_flight=1, cache_seconds=0) as gateway:
        prove(gateway, "ada", *OTHERS)
        sandbox.fault("hang", access_key_id=CALLERS["ada"].access_key_id)
        with ThreadPoolExecutor(1) as pool, ThreadPoolExecutor(20) as others:
            held = pool.submit(gateway.ask, JOBS)
            until(lambda: sandbox.count() == 1)
            statuses: set[int] = set()

            def is_overloaded() -> bool:
                rejected = others.map(lambda name: gateway.ask(JOBS, caller=name), OTHERS * 20)
                statuses.update(answer.status for answer in rejected)
                ready = gateway.send("GET", "/readyz")
                return (ready.status, ready.content) == (503, "overloaded\n")

            until(is_overloaded)
            alive = gateway.send("GET", "/livez")
            sandbox.reset()
            answered = held.result().status

    assert statuses == {503}
    assert alive.status == 200
    assert answered == 200


def test_a_caller_above_the_rate_limit_gets_retry_after(sandbox: Sandbox) -> None:
    """The upstream gets no call above the limit, and another caller is not affected."""
    with gateway_over(sandbox, caller_calls_per_second=1, cache_seconds=0) as gateway:
        answers = [gateway.ask(JOBS) for _ in range(40)]
        other = gateway.ask(JOBS, caller="grace")

    rejected = [answer for answer in answers if answer.errors]
    assert 12 <= sandbox.count() - 1 < 40
    assert len(rejected) + sandbox.count() - 1 == 40
    assert {answer.code for answer in rejected} == {"THROTTLED"}
    assert all(answer.errors[0]["extensions"]["retryAfter"] > 0 for answer in rejected)
    assert other.data


def test_unfinished_bodies_are_not_all_held_in_memory(sandbox: Sandbox) -> None:
    """They need no credentials; requests with small bodies are served meanwhile."""
    body = b"{" + b" " * 250_000
    head = (
        "POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body) + 1}\r\n\r\n"
    )
    with gateway_over(sandbox) as gateway, ExitStack() as stack:
        for _ in range(MAX_PENDING_BYTES // len(body) + 20):
            client = stack.enter_context(connect(gateway.url))
            client.sendall(head.encode() + body)
        rejected = client.recv(1000)
        small = gateway.ask(JOBS)
        large = gateway.ask(JOBS + " " * 100_000)
        stack.close()
        until(lambda: gateway.ask(JOBS + " " * 100_000).status == 200)

    assert rejected.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 2" in rejected
    assert len(small.data["audienceGenerationJobs"]["nodes"]) == 2
    assert (large.status, large.code) == (503, "OVERLOADED")


def test_failures_of_one_caller_leave_the_circuit_closed_for_others(sandbox: Sandbox) -> None:
    with gateway_over(sandbox, cache_seconds=0) as gateway:
        sandbox.fault("unavailable", access_key_id=CALLERS["ada"].access_key_id)
        codes: Counter[str] = Counter()
        for _ in range(20):
            codes.update([gateway.ask(JOBS).code, gateway.ask(JOBS).code])
            assert gateway.ask(JOBS, caller="grace").data

    assert codes == {"UPSTREAM_UNAVAILABLE": 40}


def test_a_stale_answer_replaces_a_failure_and_is_marked(sandbox: Sandbox) -> None:
    """With `no-cache` it does not."""
    with gateway_over(sandbox, cache_seconds=0.001, stale_seconds=600) as gateway:
        fresh = gateway.ask(JOBS)
        sandbox.fault("unavailable")
        stale = gateway.ask(JOBS)
        uncached = gateway.ask(JOBS, headers={"Cache-Control": "no-cache"})

    assert "extensions" not in fresh.content
    assert stale.data == fresh.data
    extension = stale.content["extensions"]["stale"]
    assert extension["answers"] == 1
    assert 0 < extension["oldestSeconds"] < 600
    assert uncached.code == "UPSTREAM_UNAVAILABLE"
