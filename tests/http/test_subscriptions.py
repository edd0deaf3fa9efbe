"""How many subscriptions may be open, and when the gateway ends them."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from starlette.types import Receive, Scope, Send

from gateway import app as app_module
from gateway.app import create_app
from gateway.errors import OverloadedError
from gateway.http.subscriptions import (
    MAX_SECONDS,
    PER_CALLER,
    STOPPING,
    TOO_OLD,
    UNPROVED_FRACTION,
    OpenSubscription,
    Subscriptions,
)
from gateway.server.protocol import HardenedProtocol
from gateway.settings import Settings
from gateway.telemetry.metrics import REJECTIONS
from gateway.upstream.resilience.callers import ProvedCallers
from tests.auth.issuers import oidc_gateway
from tests.event_streams import CHANGES, JOB, SSE, TRANSPORTS, Ended, Heartbeat, requested, watching
from tests.gateways import Gateway, Sandbox, bearer, gateway_over
from tests.http.asgi import Client, started
from tests.http.wire import PATIENCE_SECONDS, connect
from tests.processes import until
from tests.sandbox.identities import id_token
from tests.serving import serve
from tests.upstream.clients import caller, row

ADA, GRACE = caller("ada"), caller("grace")
ENOUGH = 1000


class Opened:
    """Subscriptions, of callers whom AWS has accepted or not."""

    def __init__(self, maximum: int, *proved: Any) -> None:
        self.proved_callers = ProvedCallers()
        for each in proved:
            self.proved_callers.add(each)
        self.subscriptions = Subscriptions(maximum, self.proved_callers)

    def open(self, who: Any = ADA, times: int = 1) -> list[OpenSubscription]:
        return [self.subscriptions.open(who) for _ in range(times)]

    def is_full(self, who: Any = ADA) -> bool:
        try:
            self.subscriptions.close(self.subscriptions.open(who))
        except OverloadedError:
            return True
        return False


@pytest.mark.parametrize(("maximum", "of_one"), [(ENOUGH, PER_CALLER), (5000, 100)])
async def test_a_caller_has_a_share(maximum: int, of_one: int) -> None:
    opened = Opened(maximum, ADA, GRACE)
    held = opened.open(ADA, of_one)
    full = opened.is_full(ADA), opened.is_full(GRACE)
    opened.subscriptions.close(held.pop())

    assert full == (True, False)
    assert not opened.is_full(ADA)


async def test_there_is_a_total() -> None:
    opened = Opened(3, ADA, GRACE)
    held = opened.open(ADA, 2) + opened.open(GRACE)
    full = opened.is_full(ADA), opened.is_full(GRACE)
    opened.subscriptions.close(held[0])

    assert full == (True, True)
    assert not opened.is_full(GRACE)


def inventions(number: int) -> Iterator[Any]:
    return (caller("ada").from_keys(f"ASIA{each:016}", "x", "y") for each in range(number))


async def test_callers_whom_aws_has_not_accepted_have_a_part_together() -> None:
    """So those who invent credentials while AWS is slow keep nobody out whom it knows."""
    opened = Opened(ENOUGH, ADA)
    held = [opened.open(each)[0] for each in inventions(ENOUGH // UNPROVED_FRACTION)]
    full = opened.is_full(GRACE), opened.is_full(ADA)
    opened.subscriptions.close(held.pop())

    assert full == (True, False)
    assert not opened.is_full(GRACE)


async def test_that_part_is_never_nothing() -> None:
    """A caller whom AWS has not accepted yet gets through a small gateway, too."""
    opened = Opened(UNPROVED_FRACTION - 1)
    opened.open(ADA)

    assert opened.is_full(GRACE)


@pytest.mark.parametrize(
    ("limit", "maximum", "callers"),
    [
        ("caller_subscriptions", ENOUGH, [ADA] * (PER_CALLER + 1)),
        ("subscriptions", 1, [ADA, GRACE]),
        ("unproved_subscriptions", UNPROVED_FRACTION, [GRACE, caller("edith")]),
    ],
)
async def test_rejections_are_counted_by_limit(limit: str, maximum: int, callers: Any) -> None:
    opened, before = Opened(maximum, ADA), REJECTIONS.labels(limit)._value.get()
    for each in callers[:-1]:
        opened.open(each)
    unexceeded = REJECTIONS.labels(limit)._value.get()
    with pytest.raises(OverloadedError):
        opened.open(callers[-1])

    assert (unexceeded, REJECTIONS.labels(limit)._value.get()) == (before, before + 1)


async def test_a_caller_whom_aws_accepts_later_leaves_that_part() -> None:
    opened = Opened(ENOUGH)
    callers = list(inventions(ENOUGH // UNPROVED_FRACTION))
    for each in callers:
        opened.open(each)
    before = opened.is_full(GRACE)
    opened.proved_callers.add(callers[0])

    assert before
    assert not opened.is_full(GRACE)


async def test_a_caller_has_one_share_whether_proved_or_not() -> None:
    opened = Opened(ENOUGH)
    opened.open(ADA, PER_CALLER - 1)
    opened.proved_callers.add(ADA)
    opened.open(ADA)

    assert opened.is_full(ADA)


def seconds_left(subscription: OpenSubscription) -> float:
    """Return the seconds after which the gateway ends it."""
    ends_at = min(timer.when() for timer in subscription._timers)
    return ends_at - asyncio.get_running_loop().time()


async def test_a_subscription_lasts_an_hour() -> None:
    (subscription,) = Opened(ENOUGH).open()
    left = seconds_left(subscription)
    subscription.end(TOO_OLD)

    assert left == pytest.approx(MAX_SECONDS, abs=1)
    assert await subscription.ended == TOO_OLD


async def test_a_drain_ends_one_after_the_other() -> None:
    opened = Opened(ENOUGH)
    held = opened.open(times=10)
    opened.subscriptions.drain(100)

    assert opened.subscriptions.draining
    left = [seconds_left(each) for each in held]
    assert left == pytest.approx([10.0 * number for number in range(1, 11)], abs=1)


async def test_a_subscription_of_a_drain_lasts_as_long_as_it() -> None:
    opened = Opened(ENOUGH)
    opened.subscriptions.drain(100)

    assert seconds_left(*opened.open()) == pytest.approx(100, abs=1)


async def test_the_end_of_a_drain_ends_all() -> None:
    opened = Opened(ENOUGH)
    held = opened.open(times=3)
    opened.subscriptions.drain(100)
    opened.subscriptions.end_all()
    late = opened.open()
    async with asyncio.timeout(PATIENCE_SECONDS):
        reasons = [await each.ended for each in held + late]

    assert reasons == [STOPPING] * 4


async def test_a_subscription_ends_once_whatever_ends_it() -> None:
    failures: list[Any] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: failures.append(context))
    opened = Opened(ENOUGH)
    (subscription,) = opened.open()
    opened.subscriptions.drain(0)
    opened.subscriptions.end_all()
    subscription.end_in(0, TOO_OLD)
    reason = await subscription.ended
    await asyncio.sleep(0)

    assert reason == STOPPING
    assert failures == []


async def test_a_closed_subscription_leaves_no_timer() -> None:
    opened = Opened(ENOUGH)
    (subscription,) = opened.open()
    opened.subscriptions.drain(100)
    opened.subscriptions.close(subscription)

    assert [timer.cancelled() for timer in subscription._timers] == [True, True]
    assert opened.subscriptions._by_caller == {}


def rejection(gateway: Gateway, arn: str, **options: Any) -> tuple[int, str, str]:
    """Return status, code and `Retry-After` of a subscription that is rejected."""
    with requested(gateway.url, JOB, {"arn": arn}, **options) as response:
        (error,) = json.loads(response.read())["errors"]
    return response.status_code, error["extensions"]["code"], response.headers["retry-after"]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_stream_ends_after_the_hour(
    sandbox: Sandbox, job: str, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its client is to open it again, which it may at once."""
    monkeypatch.setattr("gateway.http.subscriptions.MAX_SECONDS", 0.3)
    with gateway_over(sandbox) as gateway:
        for _ in range(2):
            with watching(gateway.url, job, transport=transport) as stream:
                # Where the machine is slow, the first event may come too late.
                *events, end = stream.rest()
            assert len(events) <= 1
            assert end == Ended(TOO_OLD)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_over_the_limit_is_503(sandbox: Sandbox, job: str, transport: str) -> None:
    """JSON, before any call to AWS; a place is free when a client has left."""
    headers = {"Accept": transport}
    with gateway_over(sandbox, max_subscriptions=1) as gateway:
        with watching(gateway.url, job, transport=transport) as stream:
            assert stream.status()
            sandbox.reset()
            rejected = rejection(gateway, job, caller="grace", headers=headers)
            calls = sandbox.calls

        def is_admitted() -> bool:
            with requested(gateway.url, JOB, {"arn": job}, headers=headers) as response:
                return response.is_success

        until(is_admitted)

    assert rejected == (503, "OVERLOADED", "2")
    assert calls == []


def test_all_tokens_of_a_subject_share_one_part(sandbox: Sandbox, job: str, tmp_path: Path) -> None:
    tokens = [id_token(sandbox.url, claims={"x": number}) for number in range(5)]
    with oidc_gateway(sandbox, tmp_path) as gateway, ExitStack() as stack:
        for token in tokens[:4] * (PER_CALLER // 4):
            subscription = watching(gateway.url, job, caller=None, headers=bearer(token))
            stack.enter_context(subscription)
        accept = {"Accept": SSE}
        rejected = rejection(gateway, job, caller=None, headers=accept | bearer(tokens[4]))
        other = bearer(id_token(sandbox.url, "grace"))
        with requested(gateway.url, CHANGES, caller=None, headers=accept | other) as response:
            status = response.status_code

    assert rejected[:2] == (503, "OVERLOADED")
    assert status == 200


def test_streams_hold_no_place_of_requests(sandbox: Sandbox, job: str) -> None:
    with gateway_over(sandbox, max_in_flight=1) as gateway, ExitStack() as stack:
        streams = [stack.enter_context(watching(gateway.url, job)) for _ in range(5)]
        answer = gateway.ask("{ audienceGenerationJobs(first: 1) { nodes { name } } }")
        alive = [stream.status() for stream in streams]

    assert answer.data
    assert alive == ["CREATE_PENDING"] * 5


class FewConnections(HardenedProtocol):
    max_connections = 3


def test_streams_keep_their_connections(sandbox: Sandbox, job: str) -> None:
    """An idle connection gives way to a new one; where there is none, that is refused."""
    with gateway_over(sandbox, http=FewConnections) as gateway, ExitStack() as stack:
        streams = [stack.enter_context(watching(gateway.url, job)) for _ in range(2)]
        idle = stack.enter_context(connect(gateway.url))
        streams.append(stack.enter_context(watching(gateway.url, job)))
        closed = idle.recv(1000)
        refused = stack.enter_context(connect(gateway.url)).recv(1000)
        alive = [stream.message() for stream in streams]

    assert closed == b""
    assert refused.startswith(b"HTTP/1.1 503")
    assert alive == [Heartbeat()] * 3


async def test_subscriptions_leave_connections_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Probes of the balancer and queries need some of the few that open files allow."""
    monkeypatch.setattr(app_module, "connection_limit", lambda: 10)
    subscriptions = create_app(Settings()).state.subscriptions
    watcher = replace(caller("ada"), verified=True)
    for _ in range(9):
        subscriptions.open(watcher)

    with pytest.raises(OverloadedError, match="Too many subscriptions\\."):
        subscriptions.open(watcher)


async def test_the_part_of_a_caller_is_that_of_the_setting() -> None:
    """Also of one that is higher than the number of connections: many clients may be one caller."""
    subscriptions = create_app(Settings(max_subscriptions=25_000)).state.subscriptions
    watcher = replace(caller("ada"), verified=True)
    for _ in range(500):
        subscriptions.open(watcher)

    with pytest.raises(OverloadedError, match=r"of this caller\. Accepted: 500\."):
        subscriptions.open(watcher)


class FirstCalls:
    """An upstream that fails the first calls, until it is told to answer."""

    def __init__(self, status: int, code: str) -> None:
        self.fails = True
        self._status = status
        self._code = code

    async def __call__(self, _: Scope, __: Receive, send: Send) -> None:
        status, headers = 200, []
        body: Any = row("spring") | {"status": "ACTIVE"}
        if self.fails:
            status, body = self._status, {"message": "no"}
            headers = [(b"x-amzn-errortype", self._code.encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(body).encode()})


ARN = f"arn:aws:cleanrooms-ml:us-east-1:111122223333:audience-generation-job/{'a' * 8}"


@asynccontextmanager
async def gateway_behind(upstream: FirstCalls) -> AsyncIterator[Client]:
    with serve(upstream) as url:
        settings = Settings(upstream_url=url, watch_seconds=1, caller_calls_per_second=0)
        async with started(create_app(settings)) as client:
            yield client


async def subscribe_as(client: Client, number: int) -> tuple[int, bytes]:
    """Subscribe as one of many callers; return status and body at the end."""
    headers = [
        (b"accept", SSE.encode()),
        (b"content-type", b"application/json"),
        (b"x-aws-access-key-id", f"ASIA{number:016}".encode()),
        (b"x-aws-secret-access-key", b"secret"),
        (b"x-aws-session-token", b"token"),
    ]
    body = orjson.dumps({"query": JOB, "variables": {"arn": ARN}})
    response = await client.send(headers, body)
    return response.status, response.body


async def test_many_new_callers_get_through_though_aws_throttles_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As after a restart: none of them is proved when their streams begin."""
    monkeypatch.setattr("gateway.upstream.resilience.client.ATTEMPTS", 1)
    upstream = FirstCalls(429, "ThrottlingException")
    number = 200
    async with gateway_behind(upstream) as client, asyncio.timeout(PATIENCE_SECONDS):
        subscriptions = client.app.state.subscriptions  # type: ignore[attr-defined]
        tasks = [asyncio.create_task(subscribe_as(client, each)) for each in range(number)]
        while len(subscriptions._open) < number:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        upstream.fails = False
        answers = await asyncio.gather(*tasks)

    assert {status for status, _ in answers} == {200}
    assert all(b'"ACTIVE"' in body for _, body in answers)
    assert subscriptions._unproved == set()


async def test_invented_credentials_take_no_place() -> None:
    """AWS refuses them, so their subscriptions never begin."""
    upstream = FirstCalls(403, "UnrecognizedClientException")
    async with gateway_behind(upstream) as client, asyncio.timeout(PATIENCE_SECONDS):
        answers = await asyncio.gather(*(subscribe_as(client, each) for each in range(50)))
        held = client.app.state.subscriptions._open  # type: ignore[attr-defined]

    assert {status for status, _ in answers} == {401}
    assert held == {}
