"""The calls themselves: real HTTP, signed as whoever asks, with nothing of anybody else's."""

import asyncio
import re

import pytest

from gateway.auth.credentials import Caller
from gateway.errors import (
    BadUserInputError,
    ForbiddenError,
    GatewayError,
    NotFoundError,
    UnauthenticatedError,
    UpstreamTimeoutError,
    UpstreamUnavailableError,
)
from gateway.sandbox import CALLERS
from gateway.upstream import client as aws_module
from gateway.upstream.client import CleanRoomsClient
from tests.gateways import Sandbox
from tests.serving import serve
from tests.upstream.clients import GET, LIST, REGION, caller, list_jobs, open_client
from tests.upstream.recorder import Recorder

ADA = CALLERS["ada"]
PRIVATE = re.compile(r"arn:|\d{12}")
"""What AWS's own messages name and ours must not."""


async def test_callers_who_share_a_client_never_share_a_signature(sandbox: Sandbox) -> None:
    """Sixty lists and Gets of three callers at once arrive each under its caller's own key."""
    names = ["ada", "grace", "edith"]
    async with open_client(sandbox.url) as aws:

        async def ask(number: int) -> None:
            who = caller(names[number % 3])
            page = await list_jobs(aws, who, maxResults=number + 1)
            arn = page["audienceGenerationJobs"][0]["audienceGenerationJobArn"]
            item = await aws.call(who, REGION, GET, {"audienceGenerationJobArn": arn})
            assert item["audienceGenerationJobArn"] == arn

        await asyncio.gather(*(ask(number) for number in range(60)))

    calls = sandbox.calls
    signed = {
        call["parameters"]["maxResults"]: call["access_key_id"]
        for call in calls
        if call["operation"] == LIST
    }
    owners = {
        call["parameters"]["audienceGenerationJobArn"].split(":")[4]: call["access_key_id"]
        for call in calls
        if call["operation"] == GET
    }
    assert len(calls) == 120
    assert signed == {n + 1: CALLERS[names[n % 3]].access_key_id for n in range(60)}
    assert owners == {CALLERS[name].account_id: CALLERS[name].access_key_id for name in names}


async def test_an_answer_is_always_that_of_its_own_question(sandbox: Sandbox) -> None:
    """Calls that are given up half-way leave no connection behind that is one answer late."""
    async with open_client(sandbox.url) as aws:

        async def ask(size: int) -> int:
            page = await list_jobs(aws, caller("ada"), maxResults=size)
            return len(page["audienceGenerationJobs"])

        for round_ in range(4):
            tasks = [asyncio.create_task(ask(size)) for size in range(1, 41)]
            for _ in range(3 * (round_ + 1)):
                await asyncio.sleep(0)  # further into the calls each time
            for task in tasks[::2]:
                task.cancel()
            answers = await asyncio.gather(*tasks, return_exceptions=True)

            assert answers[1::2] == list(range(2, 41, 2))


@pytest.mark.parametrize(
    ("who", "error", "code"),
    [
        pytest.param(
            Caller.from_keys(ADA.access_key_id, "w" * 40, ADA.session_token),
            UnauthenticatedError,
            "InvalidSignatureException",
            id="wrong secret",
        ),
        pytest.param(
            Caller.from_keys(ADA.access_key_id, ADA.secret_access_key, "wrong"),
            UnauthenticatedError,
            "UnrecognizedClientException",
            id="wrong token",
        ),
        pytest.param(
            Caller.from_keys(ADA.access_key_id, ADA.secret_access_key, None),
            UnauthenticatedError,
            "UnrecognizedClientException",
            id="no token",
        ),
        pytest.param(
            Caller.from_keys("ASIANOBODY0000000000", ADA.secret_access_key, ADA.session_token),
            UnauthenticatedError,
            "UnrecognizedClientException",
            id="unknown key",
        ),
        pytest.param(
            caller("expired"), UnauthenticatedError, "ExpiredTokenException", id="expired"
        ),
        pytest.param(caller("denied"), ForbiddenError, "AccessDeniedException", id="denied"),
    ],
)
async def test_refused_credentials_are_the_caller_s_error(
    sandbox: Sandbox, who: Caller, error: type[GatewayError], code: str
) -> None:
    """AWS is asked once, its code and request id are shown, and its own words are not."""
    async with open_client(sandbox.url) as aws:
        with pytest.raises(error) as caught:
            await list_jobs(aws, who)

    (call,) = sandbox.calls
    assert caught.value.extensions()["aws"] == {
        "operation": LIST,
        "code": code,
        "requestId": call["request_id"],
    }
    assert not PRIVATE.search(str(caught.value))
    assert who.credentials.secret_key not in str(caught.value)


async def test_a_call_outside_any_caller_s_is_not_signed_at_all() -> None:
    """The client on its own has no credentials to sign with, so nothing leaves the process."""
    upstream = Recorder()
    with serve(upstream) as url:
        async with open_client(url) as aws:
            with pytest.raises(LookupError):
                await aws._clients[REGION].list_audience_generation_jobs()

    assert upstream.requests == []


async def test_a_caller_s_keys_are_gone_after_the_call() -> None:
    """Neither a good nor a failed call leaves its keys for the next one in the same task."""
    upstream = Recorder()
    with serve(upstream) as url:
        async with open_client(url) as aws:
            await list_jobs(aws, caller("ada"))
            with pytest.raises(LookupError):
                await aws._clients[REGION].list_audience_generation_jobs()

    assert len(upstream.requests) == 1


async def test_a_bad_parameter_is_the_caller_s_error(sandbox: Sandbox) -> None:
    """400 and 404 are told once, without AWS's words, which hold ARNs."""
    foreign = f"arn:aws:cleanrooms-ml:{REGION}:222233334444:audience-generation-job/none"
    async with open_client(sandbox.url) as aws:
        with pytest.raises(BadUserInputError) as refused:
            await list_jobs(aws, caller("ada"), maxResults=0)
        with pytest.raises((NotFoundError, BadUserInputError)) as missing:
            await aws.call(caller("ada"), REGION, GET, {"audienceGenerationJobArn": foreign})

    assert [400 <= call["status"] < 500 for call in sandbox.calls] == [True, True]
    assert not PRIVATE.search(str(refused.value) + str(missing.value))


async def test_an_object_that_is_not_there_is_not_found(sandbox: Sandbox) -> None:
    """404 is told once, and the ARN that AWS repeats is not."""
    async with open_client(sandbox.url) as aws:
        page = await list_jobs(aws, caller("edith"), maxResults=1)
        arn = page["audienceGenerationJobs"][0]["audienceGenerationJobArn"]
        with pytest.raises(NotFoundError) as missing:
            await aws.call(caller("grace"), REGION, GET, {"audienceGenerationJobArn": arn})

    assert [call["status"] for call in sandbox.calls] == [200, 404]
    assert not PRIVATE.search(str(missing.value))


async def test_an_upstream_that_hangs_is_given_up(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An attempt has its own time, and the error says timeout."""
    monkeypatch.setattr(aws_module, "ATTEMPT_SECONDS", 0.1)
    sandbox.fault("hang")
    async with open_client(sandbox.url) as aws:
        with pytest.raises(UpstreamTimeoutError):
            await list_jobs(aws, caller("ada"))

    assert sandbox.count() == 1


async def test_a_dead_address_is_unavailable() -> None:
    """Nobody listens there, which is the upstream's failure and not an internal one."""
    with serve(Recorder()) as url:
        pass
    async with open_client(url) as aws:
        with pytest.raises(UpstreamUnavailableError):
            await list_jobs(aws, caller("ada"))


async def test_each_region_is_asked_under_its_own_name(sandbox: Sandbox) -> None:
    """The signature's scope is the region of the call."""
    regions = frozenset({"us-east-1", "eu-central-1"})
    async with CleanRoomsClient.open(regions, sandbox.url) as aws:
        for region in sorted(regions):
            await aws.call(caller("ada"), region, LIST, {"maxResults": 1})

    assert [call["region"] for call in sandbox.calls] == ["eu-central-1", "us-east-1"]
