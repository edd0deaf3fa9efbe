"""The way of a call: tried again within one budget, and past a region that fails."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.responses import Response

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
from gateway.upstream import client as aws_module
from gateway.upstream.resilience.circuit_breaker import REGION_FAILURES
from gateway.upstream.resilience.client import CALLER_SLOTS, ResilientClient, Retries
from gateway.upstream.resilience.rate_limit import CallerRateLimiter
from tests.gateways import Sandbox
from tests.serving import serve
from tests.upstream.asking import LIST, REGION, caller, opened
from tests.upstream.fakes import CrowdedAws, FakeAws
from tests.upstream.recorder import Recorder

LISTS = {
    "internal-error": "ListAudienceGenerationJobs",
    "unavailable": "ListAudienceModels",
    "reset": "ListTrainingDatasets",
    "throttle": "ListConfiguredAudienceModels",
}
"""Each fault has an operation of its own, so that all can be tried at once."""


class Pauses(list[float]):
    """Takes pauses down instead of sleeping."""

    async def __call__(self, seconds: float) -> None:
        """Take no time."""
        self.append(seconds)


def calls_over(aws: Any, pauses: Pauses | None = None) -> ResilientClient:
    """Make the calls of a gateway that limits nobody and does not sleep."""
    return ResilientClient(
        aws, CallerRateLimiter(0), sleep=Pauses() if pauses is None else pauses, jitter=lambda: 1.0
    )


@asynccontextmanager
async def calling(url: str) -> AsyncIterator[ResilientClient]:
    """Call what is at an address."""
    async with opened(url) as aws:
        yield calls_over(aws)


async def jobs(calls: ResilientClient, who: Caller | None = None) -> dict[str, Any]:
    """List generation jobs."""
    return await calls.call(who or caller("ada"), REGION, LIST, {})


def stranger(number: int) -> Caller:
    """Make one of many callers."""
    return Caller.from_keys(f"ASIA{number:016}", f"secret-{number}", "token")


async def _ask_each(url: str) -> dict[str, dict[str, Any] | BaseException]:
    async def ask(operation: str) -> dict[str, Any]:
        async with calling(url) as calls:
            return await calls.call(caller("ada"), REGION, operation, {})

    answers = (ask(operation) for operation in LISTS.values())
    return dict(zip(LISTS, await asyncio.gather(*answers, return_exceptions=True), strict=True))


async def test_a_passing_failure_is_tried_again(sandbox: Sandbox) -> None:
    """A 500, a 503, a closed connection and a throttle, each followed by an answer, are one."""
    for fault, operation in LISTS.items():
        sandbox.fault(fault, operation=operation, times=1)
    answers = await _ask_each(sandbox.url)

    retries = [
        answer["ResponseMetadata"]["RetryAttempts"]
        for answer in answers.values()
        if isinstance(answer, dict)
    ]
    assert retries == [1, 1, 1, 1]
    assert [sandbox.count(operation) for operation in LISTS.values()] == [2, 2, 2, 2]


async def test_a_lasting_failure_is_tried_three_times(sandbox: Sandbox) -> None:
    """On the wire, whichever library repeats; then it is told as what it is."""
    for fault, operation in LISTS.items():
        settings = {"retry_after": 3} if fault == "throttle" else {}
        sandbox.fault(fault, operation=operation, **settings)
    answers = await _ask_each(sandbox.url)

    throttled = answers.pop("throttle")
    assert isinstance(throttled, ThrottledError)
    assert throttled.extensions()["retryAfter"] == 3
    assert {type(error) for error in answers.values()} == {UpstreamUnavailableError}
    assert [sandbox.count(operation) for operation in LISTS.values()] == [3, 3, 3, 3]


async def test_a_hang_is_given_up_three_times(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each attempt has its own time, and the error says timeout."""
    monkeypatch.setattr(aws_module, "ATTEMPT_SECONDS", 0.1)
    sandbox.fault("hang")
    async with calling(sandbox.url) as calls:
        with pytest.raises(UpstreamTimeoutError):
            await jobs(calls)

    assert sandbox.count() == 3


@pytest.mark.parametrize(
    "error",
    [BadUserInputError, ForbiddenError, UnauthenticatedError, UpstreamInvalidResponseError],
)
async def test_what_would_fail_again_is_asked_once(error: type[GatewayError]) -> None:
    """A caller's own mistake, and an answer that makes no sense."""
    aws = FakeAws(error("No."), error("No."))
    with pytest.raises(error):
        await jobs(calls_over(aws))

    assert len(aws.asked) == 1


async def test_pauses_grow() -> None:
    """From 50 ms if the upstream failed, from a second if it asked for patience."""
    failing, patient = Pauses(), Pauses()
    unavailable, throttled = UpstreamUnavailableError("No."), ThrottledError("Wait.")
    await jobs(calls_over(FakeAws(unavailable, unavailable), failing))
    await jobs(calls_over(FakeAws(throttled, throttled), patient))

    assert (failing, patient) == ([0.05, 0.1], [1.0, 2.0])


async def test_a_hint_is_waited_for() -> None:
    """Rather than a shorter pause of our own; a longer one of ours is waited out."""
    pauses = Pauses()
    await jobs(
        calls_over(
            FakeAws(
                ThrottledError("Wait.", retry_after=1.5), ThrottledError("Wait.", retry_after=0.1)
            ),
            pauses,
        )
    )

    assert pauses == [1.5, 2.0]


async def test_a_hint_that_is_too_long_is_handed_on_at_once() -> None:
    """The caller can wait as well as the gateway can, and holds nothing meanwhile."""
    aws, pauses = FakeAws(ThrottledError("Wait.", retry_after=6)), Pauses()
    with pytest.raises(ThrottledError):
        await jobs(calls_over(aws, pauses))

    assert (len(aws.asked), pauses) == (1, [])


async def test_retries_have_one_budget_for_all_callers() -> None:
    """A region that fails for everybody is soon asked once a call, and then hardly at all."""
    upstream = Recorder(lambda _: Response(b"{}", 500))
    with serve(upstream) as url:
        async with calling(url) as calls:
            errors = [await failure(calls, stranger(number)) for number in range(200)]

    assert all(isinstance(error, UpstreamUnavailableError) for error in errors)
    assert len(upstream.requests) < 200 / 2


async def failure(calls: ResilientClient, who: Caller, region: str = REGION) -> GatewayError:
    """Make a call that fails."""
    with pytest.raises(GatewayError) as caught:
        await calls.call(who, region, LIST, {})
    return caught.value


async def test_a_region_that_fails_is_left_alone_and_the_others_are_not() -> None:
    """Nobody is asked while its breaker is open."""

    class HalfDead(FakeAws):
        async def call(self, who: Caller, region: str, *question: Any) -> dict[str, Any]:
            answer = await super().call(who, region, *question)
            if region == "us-east-1":
                raise UpstreamUnavailableError("No.")
            return answer

    aws = HalfDead()
    calls = calls_over(aws)
    for number in range(REGION_FAILURES):
        await failure(calls, stranger(number), "us-east-1")
    asked = len(aws.asked)
    left_alone = await failure(calls, caller("ada"), "us-east-1")
    await calls.call(caller("ada"), "eu-west-1", LIST, {})

    assert asked == REGION_FAILURES
    assert "circuit breaker open" in left_alone.message
    assert isinstance(left_alone, UpstreamUnavailableError)
    assert len(aws.asked) == REGION_FAILURES + 1


async def test_a_region_that_is_left_alone_takes_no_retries_from_the_others() -> None:
    """However many ask for it meanwhile: nothing is tried again there, so nothing is paid."""
    aws = FakeAws(*[UpstreamUnavailableError("No.")] * REGION_FAILURES)
    calls = calls_over(aws)
    while aws.failures:
        await failure(calls, caller("ada"), "us-east-1")
    for _ in range(100):
        assert "circuit breaker open" in (await failure(calls, caller("ada"), "us-east-1")).message
    aws.failures.append(UpstreamUnavailableError("No."))
    answer = await calls.call(caller("ada"), "eu-west-1", LIST, {})

    assert answer["ResponseMetadata"]["RetryAttempts"] == 1


@pytest.mark.parametrize(
    "error",
    [
        ForbiddenError("No."),
        UnauthenticatedError("Who?"),
        BadUserInputError("What?"),
        ThrottledError("Wait.", retry_after=60),
        UpstreamInvalidResponseError("Eh?"),
    ],
)
async def test_a_caller_s_own_errors_leave_no_region_alone(error: GatewayError) -> None:
    """A thousand of them, and the next caller is answered."""
    aws = FakeAws(*[error] * 1000)
    calls = calls_over(aws)
    for _ in range(1000):
        await failure(calls, caller("denied"))

    assert await jobs(calls)
    assert len(aws.asked) == 1001


async def test_an_answer_of_any_kind_shows_that_a_region_works() -> None:
    """Nine failures, a refusal, nine failures: that is no row of ten."""
    down = UpstreamUnavailableError("No.")
    aws = FakeAws(
        *[down] * (REGION_FAILURES - 1), ForbiddenError("No."), *[down] * (REGION_FAILURES - 1)
    )
    calls = calls_over(aws)
    while aws.failures:
        await failure(calls, caller("ada"))

    assert await jobs(calls)


async def test_one_caller_s_throttles_leave_the_others_their_retries() -> None:
    """They have a budget apart."""
    throttled, down = ThrottledError("Wait."), UpstreamUnavailableError("No.")
    aws = FakeAws(*[throttled] * 900, down)
    calls = calls_over(aws)
    while len(aws.failures) > 1:
        await failure(calls, caller("grace"))

    assert (await jobs(calls))["ResponseMetadata"]["RetryAttempts"] == 1


def test_throttles_that_pass_pay_for_no_failure() -> None:
    """What a retry has cost comes back to the budget that it was taken from."""
    retries = Retries(lambda: 1.0)
    throttled, down = ThrottledError("Wait."), UpstreamUnavailableError("No.")
    while retries.delay_after(down, 0) is not None:
        pass
    assert retries.delay_after(throttled, 0) is not None
    retries.record_success(after=throttled)
    after_a_throttle = retries.delay_after(down, 0)
    retries.record_success(after=down)

    assert after_a_throttle is None
    assert retries.delay_after(down, 0) is not None


async def test_a_caller_has_so_many_calls_under_way_and_no_more() -> None:
    """Others are not kept waiting by them; and in another region they have as many again."""
    crowd = CrowdedAws(2 * CALLER_SLOTS + 1)
    calls = calls_over(crowd)

    async def elsewhere() -> dict[str, Any]:
        return await calls.call(caller("ada"), "eu-west-1", LIST, {})

    flood = [asyncio.create_task(jobs(calls)) for _ in range(4 * CALLER_SLOTS)]
    flood += [asyncio.create_task(elsewhere()) for _ in range(4 * CALLER_SLOTS)]
    await jobs(calls, caller("grace"))
    await asyncio.gather(*flood)

    assert crowd.most == 2 * CALLER_SLOTS + 1
    assert len(crowd.asked) == 8 * CALLER_SLOTS + 1
    assert calls._slots._semaphores == {}


async def test_a_caller_s_answers_that_come_at_once_are_read_on_one_by_one() -> None:
    """Another caller's, which comes behind them, is not kept waiting by them."""
    calls = calls_over(CrowdedAws(6))
    read: list[str] = []

    async def read_on(name: str) -> None:
        await jobs(calls, caller(name))
        read.append(name)

    await asyncio.gather(*(read_on(name) for name in ["ada"] * 4 + ["grace", "ada"]))

    assert read == ["ada", "grace", *["ada"] * 4]
