"""Calls are retried within one budget, and paused in a region that keeps failing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.responses import Response

from gateway import outgoing
from gateway.auth.credentials import Caller
from gateway.errors import (
    BadUserInputError,
    ForbiddenError,
    GatewayError,
    ThrottledError,
    UnauthenticatedError,
    UpstreamInvalidResponseError,
    UpstreamTimeoutError,
    UpstreamUnavailableError,
)
from gateway.upstream.resilience import circuit_breaker
from gateway.upstream.resilience.circuit_breaker import SERVICE_FAILURES
from gateway.upstream.resilience.client import (
    CircuitOpenError,
    ResilientClient,
    Retries,
)
from tests.gateways import Sandbox
from tests.serving import serve
from tests.upstream.clients import (
    LIST,
    REGION,
    BarrierClient,
    FakeClient,
    caller,
    list_jobs,
    open_client,
)
from tests.upstream.recorder import Recorder
from tests.upstream.resilience.clients import (
    ADA,
    UNAVAILABLE,
    FakeSleep,
    fail,
    numbered_caller,
    resilient,
)

FAULTS = {
    "internal-error": "ListAudienceGenerationJobs",
    "unavailable": "ListAudienceModels",
    "reset": "ListTrainingDatasets",
    "throttle": "ListConfiguredAudienceModels",
}
"""Each fault has an operation of its own, so that all can be tried at once."""

THROTTLED = ThrottledError("Wait.")


@asynccontextmanager
async def open_resilient(url: str) -> AsyncIterator[ResilientClient]:
    async with open_client(url) as client:
        yield resilient(client)


async def call_each(url: str) -> dict[str, dict[str, Any] | BaseException]:
    """Call the operation of each fault with a client of its own."""

    async def call(operation: str) -> dict[str, Any]:
        async with open_resilient(url) as client:
            return await client.call(ADA, REGION, operation, {})

    calls = (call(operation) for operation in FAULTS.values())
    return dict(zip(FAULTS, await asyncio.gather(*calls, return_exceptions=True), strict=True))


async def test_a_temporary_failure_is_retried(sandbox: Sandbox) -> None:
    for fault, operation in FAULTS.items():
        sandbox.fault(fault, operation=operation, times=1)
    responses = await call_each(sandbox.url)

    retries = [
        response["ResponseMetadata"]["RetryAttempts"]
        for response in responses.values()
        if isinstance(response, dict)
    ]
    assert retries == [1, 1, 1, 1]
    assert [sandbox.count(operation) for operation in FAULTS.values()] == [2, 2, 2, 2]


async def test_a_permanent_failure_has_three_attempts(sandbox: Sandbox) -> None:
    """The upstream counts them, whichever library would retry."""
    for fault, operation in FAULTS.items():
        settings = {"retry_after": 3} if fault == "throttle" else {}
        sandbox.fault(fault, operation=operation, **settings)
    errors = await call_each(sandbox.url)

    throttled = errors.pop("throttle")
    assert isinstance(throttled, ThrottledError)
    assert throttled.extensions()["retryAfter"] == 3
    assert {type(error) for error in errors.values()} == {UpstreamUnavailableError}
    assert [sandbox.count(operation) for operation in FAULTS.values()] == [3, 3, 3, 3]


async def test_each_attempt_has_its_own_timeout(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outgoing, "RESPONSE_SECONDS", 0.1)
    sandbox.fault("hang")
    async with open_resilient(sandbox.url) as client:
        with pytest.raises(UpstreamTimeoutError):
            await list_jobs(client, ADA)

    assert sandbox.count() == 3


@pytest.mark.parametrize(
    "error",
    [BadUserInputError, ForbiddenError, UnauthenticatedError, UpstreamInvalidResponseError],
)
async def test_an_error_that_would_recur_is_not_retried(error: type[GatewayError]) -> None:
    fake = FakeClient(error("No."), error("No."))
    with pytest.raises(error):
        await list_jobs(resilient(fake), ADA)

    assert len(fake.calls) == 1


@pytest.mark.parametrize(
    ("failures", "delays"),
    [
        ([UNAVAILABLE, UNAVAILABLE], [0.05, 0.1]),
        ([THROTTLED, THROTTLED], [1.0, 2.0]),
        (
            [ThrottledError("", retry_after=1.5), ThrottledError("", retry_after=0.1)],
            [1.5, 2.0],
        ),
    ],
    ids=["unavailable", "throttled", "throttled with a hint"],
)
async def test_delays_grow_and_are_no_shorter_than_the_hint(
    failures: list[Exception], delays: list[float]
) -> None:
    sleep = FakeSleep()
    await list_jobs(resilient(FakeClient(*failures), sleep), ADA)

    assert sleep == delays


async def test_a_long_hint_is_passed_on_at_once() -> None:
    fake, sleep = FakeClient(ThrottledError("Wait.", retry_after=6)), FakeSleep()
    with pytest.raises(ThrottledError):
        await list_jobs(resilient(fake, sleep), ADA)

    assert (len(fake.calls), sleep) == (1, [])


async def test_all_callers_share_one_retry_budget() -> None:
    """When a region fails for all, calls soon have one attempt, and then hardly any."""
    upstream = Recorder(lambda _: Response(b"{}", 500))
    with serve(upstream) as url:
        async with open_resilient(url) as client:
            errors = [await fail(client, numbered_caller(number)) for number in range(200)]

    assert all(isinstance(error, UpstreamUnavailableError) for error in errors)
    assert len(upstream.requests) < 200 / 2


async def test_a_failing_region_gets_no_calls_and_the_others_do() -> None:
    class FailingInOneRegion(FakeClient):
        async def call(self, caller: Caller, region: str, *request: Any) -> dict[str, Any]:
            response = await super().call(caller, region, *request)
            if region == "us-east-1":
                raise UNAVAILABLE
            return response

    fake = FailingInOneRegion()
    client = resilient(fake, proved=map(numbered_caller, range(SERVICE_FAILURES)))
    for number in range(SERVICE_FAILURES):
        await fail(client, numbered_caller(number), "us-east-1")
    calls = len(fake.calls)
    error = await fail(client, ADA, "us-east-1")
    await client.call(ADA, "eu-west-1", LIST, {})

    assert calls == SERVICE_FAILURES
    assert isinstance(error, CircuitOpenError)
    assert "circuit breaker open" in error.message
    assert error.extensions() == {"code": "UPSTREAM_UNAVAILABLE"}
    assert len(fake.calls) == SERVICE_FAILURES + 1


async def test_an_open_breaker_spends_no_retries() -> None:
    """Neither do calls that are rejected meanwhile: the budget is left to other regions."""
    fake = FakeClient(*[UNAVAILABLE] * SERVICE_FAILURES)
    client = resilient(fake)
    while fake.failures:
        await fail(client, ADA, "us-east-1")
    for _ in range(100):
        assert isinstance(await fail(client, ADA, "us-east-1"), CircuitOpenError)
    fake.failures.append(UNAVAILABLE)
    response = await client.call(ADA, "eu-west-1", LIST, {})

    assert response["ResponseMetadata"]["RetryAttempts"] == 1


@pytest.mark.parametrize(
    "error",
    [
        ForbiddenError("No."),
        UnauthenticatedError("Who?"),
        BadUserInputError("What?"),
        ThrottledError("Wait.", retry_after=60),
        UpstreamInvalidResponseError("Eh?"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_errors_of_callers_open_no_breaker(error: GatewayError) -> None:
    fake = FakeClient(*[error] * 1000)
    client = resilient(fake)
    for number in range(1000):
        await fail(client, numbered_caller(number))

    assert await list_jobs(client, ADA)
    assert len(fake.calls) == 1001


async def test_calls_cancelled_without_a_response_open_the_circuit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Requests may give up before a call does. One that has just begun says nothing."""
    barrier = BarrierClient(1000)
    callers = [numbered_caller(number) for number in range(SERVICE_FAILURES)]
    client = resilient(barrier, proved=callers)

    async def cancel_calls() -> None:
        calls = [asyncio.create_task(list_jobs(client, each)) for each in callers]
        for _ in range(10):
            await asyncio.sleep(0)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)

    await cancel_calls()
    monkeypatch.setattr(circuit_breaker, "UNRESPONSIVE_SECONDS", 0.0)
    await cancel_calls()

    assert barrier.concurrent == 2 * SERVICE_FAILURES
    assert isinstance(await fail(client, ADA), CircuitOpenError)


async def test_any_response_of_aws_resets_the_count_of_failures() -> None:
    down = [UNAVAILABLE] * (SERVICE_FAILURES - 1)
    fake = FakeClient(*down, ForbiddenError("No."), *down)
    client = resilient(fake)
    while fake.failures:
        await fail(client, ADA)

    assert await list_jobs(client, ADA)


async def test_throttling_of_one_caller_leaves_retries_to_others() -> None:
    fake = FakeClient(*[THROTTLED] * 900, UNAVAILABLE)
    client = resilient(fake)
    while len(fake.failures) > 1:
        await fail(client, caller("grace"))

    assert (await list_jobs(client, ADA))["ResponseMetadata"]["RetryAttempts"] == 1


def test_a_success_refunds_the_budget_that_its_retry_was_taken_from() -> None:
    retries = Retries(lambda: 1.0)
    while retries.delay_after(UNAVAILABLE, 0) is not None:
        pass
    assert retries.delay_after(THROTTLED, 0) is not None
    retries.record_success(after=THROTTLED)
    delay_after_throttle = retries.delay_after(UNAVAILABLE, 0)
    retries.record_success(after=UNAVAILABLE)

    assert delay_after_throttle is None
    assert retries.delay_after(UNAVAILABLE, 0) is not None
