"""More than there is room for: some are served, the others know at once, nobody is forgotten."""

import socket
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from gateway.http.requests import MAX_PENDING_BYTES
from gateway.sandbox import CALLERS
from tests.gateways import Answer, Gateway, Sandbox
from tests.hostile.process import Program, gateway_process
from tests.hostile.target import JOBS
from tests.redis_servers import until

ROOM = 8
ONE_CALLER_S = ROOM // 4


@pytest.fixture(scope="module")
def small(shared_sandbox: Sandbox) -> Iterator[Program]:
    """Run a gateway with little room."""
    settings = {"max_in_flight": ROOM, "cache_seconds": 0}
    with gateway_process(shared_sandbox.url, **settings) as program:
        yield program


def distinct(number: int) -> str:
    """Ask what nobody else asks, so that no flight is shared."""
    region = f'first: {number + 1}, collaborationId: "{number:08}-0000-4000-8000-000000000000"'
    return JOBS.replace("first: 2", region)


def test_one_caller_s_flood_leaves_room_for_others(small: Program, sandbox: Sandbox) -> None:
    """They get a quarter; the rest of it is told so at once, and when to come back."""
    gateway = Gateway(small.url, sandbox)
    sandbox.fault("hang", access_key_id=CALLERS["ada"].access_key_id)
    refused = threading.Semaphore(0)

    def flood(number: int) -> Answer:
        answer = gateway.ask(distinct(number))
        if answer.status == 503:
            refused.release()
        return answer

    with ThreadPoolExecutor(20) as pool:
        asked = [pool.submit(flood, number) for number in range(20)]
        for _ in range(20 - ONE_CALLER_S):
            assert refused.acquire(timeout=30)
        other = gateway.ask(JOBS, caller="grace")
        sandbox.reset()
        answers = [each.result() for each in asked]

    assert len(other.data["audienceGenerationJobs"]["nodes"]) == 2
    assert Counter(answer.status for answer in answers) == {200: ONE_CALLER_S, 503: 18}
    for answer in answers:
        if answer.status == 503:
            assert (answer.code, answer.headers["retry-after"]) == ("OVERLOADED", "2")


def test_a_gateway_that_has_no_room_for_many_asks_for_none(sandbox: Sandbox) -> None:
    """Not ready, yet alive; and ready again after a while."""
    with gateway_process(sandbox.url, max_in_flight=1, cache_seconds=0) as program:
        gateway = Gateway(program.url, sandbox)
        sandbox.fault("hang", access_key_id=CALLERS["ada"].access_key_id)
        with ThreadPoolExecutor(1) as pool, ThreadPoolExecutor(20) as others:
            held = pool.submit(gateway.ask, JOBS)
            until(lambda: sandbox.count() == 1)
            # More than it takes: a few of them are refused as grace's own, which do not count.
            refused = others.map(lambda _: gateway.ask(JOBS, caller="grace").status, range(300))
            statuses = Counter(refused)
            with httpx.Client(base_url=program.url) as client:
                ready, alive = client.get("/readyz"), client.get("/livez")
            sandbox.reset()
            answered = held.result().status
        until(lambda: httpx.get(f"{program.url}/readyz").status_code == 200)

    assert statuses == {503: 300}
    assert (ready.status_code, ready.text) == (503, "overloaded\n")
    assert alive.status_code == 200
    assert answered == 200


def test_one_caller_s_flood_sends_nobody_elsewhere(small: Program, sandbox: Sandbox) -> None:
    """However much of it is refused: a balancer would take one replica after the other out."""
    gateway = Gateway(small.url, sandbox)
    sandbox.fault("hang", access_key_id=CALLERS["ada"].access_key_id)
    with ThreadPoolExecutor(ONE_CALLER_S) as pool:
        held = [pool.submit(gateway.ask, distinct(number)) for number in range(ONE_CALLER_S)]
        until(lambda: sandbox.count() == ONE_CALLER_S)
        statuses = Counter(gateway.ask(JOBS).status for _ in range(150))
        ready = httpx.get(f"{small.url}/readyz")
        sandbox.reset()
        answered = [each.result().status for each in held]

    assert statuses == {503: 150}
    assert (ready.status_code, ready.text) == (200, "ready\n")
    assert answered == [200] * ONE_CALLER_S


def test_a_caller_who_asks_too_much_of_aws_is_told_when_to_come_back(sandbox: Sandbox) -> None:
    """The upstream hears no more of them than their share, and another caller notices nothing."""
    settings = {"caller_calls_per_second": 1, "cache_seconds": 0}
    with gateway_process(sandbox.url, **settings) as program:
        gateway = Gateway(program.url, sandbox)
        answers = [gateway.ask(JOBS) for _ in range(40)]
        other = gateway.ask(JOBS, caller="grace")

    refused = [answer for answer in answers if answer.errors]
    assert 12 <= sandbox.count() - 1 < 40
    assert len(refused) + sandbox.count() - 1 == 40
    assert {answer.code for answer in refused} == {"THROTTLED"}
    assert all(answer.errors[0]["extensions"]["retryAfter"] > 0 for answer in refused)
    assert other.data


def test_bodies_that_do_not_end_are_not_all_held(sandbox: Sandbox) -> None:
    """Nobody needs credentials to begin one; who has a small one is served meanwhile."""
    body = b"{" + b" " * 250_000
    head = (
        "POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body) + 1}\r\n\r\n"
    )
    with gateway_process(sandbox.url) as program, ExitStack() as stack:
        gateway, address = Gateway(program.url, sandbox), httpx.URL(program.url)
        for _ in range(MAX_PENDING_BYTES // len(body) + 20):
            client = socket.create_connection((address.host, address.port), timeout=30)
            stack.enter_context(client)
            client.sendall(head.encode() + body)
        refused = client.recv(1000)
        small = gateway.ask(JOBS)
        large = gateway.ask(JOBS + " " * 100_000)
        stack.close()
        until(lambda: gateway.ask(JOBS + " " * 100_000).status == 200)

    assert refused.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 2" in refused
    assert len(small.data["audienceGenerationJobs"]["nodes"]) == 2
    assert (large.status, large.code) == (503, "OVERLOADED")


def test_one_caller_s_failures_are_nobody_else_s(sandbox: Sandbox) -> None:
    """AWS fails all they ask, and they ask without end; the region stays open for the others."""
    with gateway_process(sandbox.url, cache_seconds=0) as program:
        gateway = Gateway(program.url, sandbox)
        sandbox.fault("unavailable", access_key_id=CALLERS["ada"].access_key_id)
        codes: Counter[str] = Counter()
        for _ in range(20):
            codes.update([gateway.ask(JOBS).code, gateway.ask(JOBS).code])
            assert gateway.ask(JOBS, caller="grace").data

    assert codes == {"UPSTREAM_UNAVAILABLE": 40}


def test_an_old_answer_stands_in_and_says_so(sandbox: Sandbox) -> None:
    """Seconds after its time, while the upstream is down; not for who asks for news."""
    settings: dict[str, Any] = {"cache_seconds": 0.001, "stale_seconds": 600}
    with gateway_process(sandbox.url, **settings) as program:
        gateway = Gateway(program.url, sandbox)
        fresh = gateway.ask(JOBS)
        sandbox.fault("unavailable")
        stale = gateway.ask(JOBS)
        news = gateway.ask(JOBS, headers={"Cache-Control": "no-cache"})

    assert "extensions" not in fresh.content
    assert stale.data == fresh.data
    told = stale.content["extensions"]["stale"]
    assert told["answers"] == 1
    assert 0 < told["oldestSeconds"] < 600
    assert news.code == "UPSTREAM_UNAVAILABLE"
