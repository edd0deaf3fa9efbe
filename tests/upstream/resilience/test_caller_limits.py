"""Calls are limited per caller, and those of callers whom nothing proves together."""

import asyncio
from typing import Any

import pytest

from gateway.errors import (
    AwsErrorDetails,
    ThrottledError,
    UnauthenticatedError,
)
from gateway.upstream.errors import CODES, STATUSES
from gateway.upstream.resilience.callers import (
    REFUSED_SECONDS,
    RefusedCredentials,
    RefusedCredentialsError,
)
from gateway.upstream.resilience.client import (
    CALLER_SLOTS,
    CircuitOpenError,
)
from gateway.upstream.resilience.rate_limit import (
    WINDOW_SECONDS,
    RateLimitedError,
)
from tests.clock import Clock
from tests.upstream.clients import (
    LIST,
    REGION,
    BarrierClient,
    FakeClient,
    caller,
    list_jobs,
)
from tests.upstream.resilience.clients import (
    ADA,
    UNAVAILABLE,
    fail,
    numbered_caller,
    resilient,
)


async def test_concurrent_calls_are_limited_per_caller_and_region() -> None:
    barrier = BarrierClient(2 * CALLER_SLOTS + 1)
    client = resilient(barrier, proved=[ADA])
    calls = [
        asyncio.create_task(client.call(ADA, region, LIST, {}))
        for region in (REGION, "eu-west-1")
        for _ in range(4 * CALLER_SLOTS)
    ]
    await list_jobs(client, caller("grace"))
    await asyncio.gather(*calls)

    assert barrier.most_concurrent == 2 * CALLER_SLOTS + 1
    assert len(barrier.calls) == 8 * CALLER_SLOTS + 1
    assert client._slots._semaphores == {}


async def test_callers_whom_nothing_proves_have_the_slots_of_one_caller() -> None:
    """A proved caller has slots of their own meanwhile."""
    barrier = BarrierClient(2 * CALLER_SLOTS)
    client = resilient(barrier, proved=[ADA])
    calls = [
        asyncio.create_task(list_jobs(client, each))
        for each in [*map(numbered_caller, range(4 * CALLER_SLOTS)), *[ADA] * CALLER_SLOTS]
    ]
    await asyncio.gather(*calls)

    assert barrier.most_concurrent == 2 * CALLER_SLOTS


async def test_a_new_caller_has_one_call_until_it_succeeds() -> None:
    """The others that wait for it then go on together, in any region."""
    release = asyncio.Event()

    class HoldingFirst(BarrierClient):
        async def call(self, *request: Any) -> dict[str, Any]:
            if not self.started.is_set():
                self.started.set()
                await release.wait()
                return await FakeClient.call(self, *request)
            return await super().call(*request)

    barrier = HoldingFirst(4)
    client = resilient(barrier)
    calls = [
        asyncio.create_task(client.call(ADA, region, LIST, {}))
        for region in ("us-east-1", "eu-west-1", "us-east-1", "eu-west-1", "us-east-1")
    ]
    await barrier.started.wait()
    for _ in range(10):
        await asyncio.sleep(0)
    concurrent_with_first = barrier.concurrent
    release.set()
    await asyncio.gather(*calls)

    assert concurrent_with_first == 0
    assert barrier.most_concurrent == 4
    assert client._unproved_slots._semaphores == {}


@pytest.mark.parametrize(
    ("code", "proves"),
    [
        ("AccessDeniedException", True),
        ("ResourceNotFoundException", True),
        ("ValidationException", True),
        ("ThrottlingException", False),
        ("UnrecognizedClientException", False),
        ("InvalidSignatureException", False),
        ("ExpiredTokenException", False),
        ("403", False),
    ],
)
async def test_the_error_of_a_call_may_prove_its_credentials(code: str, *, proves: bool) -> None:
    """AWS returns some errors only after it has accepted the signature; a proxy returns no code."""
    error_type = CODES.get(code, STATUSES[403])[0]
    fake = FakeClient(error_type("No.", aws=AwsErrorDetails(LIST, code, None)))
    client = resilient(fake)
    if error_type is ThrottledError:
        await list_jobs(client, ADA)  # a later attempt succeeds
        assert not fake.failures
        return
    await fail(client, ADA)

    assert (client._limit_key(ADA) == ADA.limit_key) is proves


async def test_refused_credentials_are_not_sent_again_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not even by calls that waited for the one that was refused; nor do they cost any rate."""
    clock = Clock()
    fake = FakeClient(UnauthenticatedError("Who?", aws=AwsErrorDetails(LIST, "X", "id")))
    client = resilient(fake, proved=[caller("grace")], calls_per_second=1)
    monkeypatch.setattr(client, "_refused_credentials", RefusedCredentials(clock=clock))
    errors = await asyncio.gather(
        *(list_jobs(client, ADA) for _ in range(50)), return_exceptions=True
    )
    assert len(fake.calls) == 1
    assert [type(error) for error in errors] == [
        UnauthenticatedError,
        *[RefusedCredentialsError] * 49,
    ]
    assert {str(error) for error in errors} == {"Who?"}
    await client.call(ADA, "eu-west-1", LIST, {})
    await list_jobs(client, caller("grace"))

    clock.now += REFUSED_SECONDS
    assert await list_jobs(client, ADA)


async def test_a_flood_of_new_callers_spends_the_rate_of_one() -> None:
    fake = FakeClient()
    client = resilient(fake, proved=[ADA], calls_per_second=1)
    fake.failures += [UnauthenticatedError("Who?")] * 100
    errors = [await fail(client, numbered_caller(number)) for number in range(100)]
    fake.failures.clear()

    assert sum(isinstance(error, UnauthenticatedError) for error in errors) == WINDOW_SECONDS
    assert sum(isinstance(error, RateLimitedError) for error in errors) == 100 - WINDOW_SECONDS
    for _ in range(WINDOW_SECONDS):
        assert await list_jobs(client, ADA)


async def test_failures_of_new_callers_leave_the_circuit_closed_for_others() -> None:
    fake = FakeClient(*[UNAVAILABLE] * 1000)
    client = resilient(fake, proved=[ADA])
    for number in range(100):
        await fail(client, numbered_caller(number))
    fake.failures.clear()

    assert len(fake.calls) < 100
    assert isinstance(await fail(client, numbered_caller(100)), CircuitOpenError)
    assert await list_jobs(client, ADA)
