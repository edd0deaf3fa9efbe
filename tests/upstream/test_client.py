"""Calls are real HTTP, signed as their caller, and share nothing between callers."""

import asyncio
import re

import pytest
from botocore.exceptions import NoCredentialsError

from gateway import outgoing
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
from gateway.upstream.client import CleanRoomsClient, aws_client, aws_session
from gateway.upstream.model import SERVICE
from tests.gateways import Sandbox
from tests.serving import serve
from tests.upstream.clients import GET, LIST, REGION, caller, list_jobs, open_client
from tests.upstream.recorder import Recorder

ADA = CALLERS["ada"]
PRIVATE = re.compile(r"arn:|\d{12}")
"""In messages of AWS, and never in ours."""


async def test_concurrent_callers_of_one_client_have_their_own_signatures(
    sandbox: Sandbox,
) -> None:
    names = ["ada", "grace", "edith"]
    async with open_client(sandbox.url) as client:

        async def call(number: int) -> None:
            ours = caller(names[number % 3])
            page = await list_jobs(client, ours, maxResults=number + 1)
            arn = page["audienceGenerationJobs"][0]["audienceGenerationJobArn"]
            item = await client.call(ours, REGION, GET, {"audienceGenerationJobArn": arn})
            assert item["audienceGenerationJobArn"] == arn

        await asyncio.gather(*(call(number) for number in range(60)))

    calls = sandbox.calls
    signed_lists = {
        call["parameters"]["maxResults"]: call["access_key_id"]
        for call in calls
        if call["operation"] == LIST
    }
    accounts = {
        call["parameters"]["audienceGenerationJobArn"].split(":")[4]: call["access_key_id"]
        for call in calls
        if call["operation"] == GET
    }
    assert len(calls) == 120
    assert signed_lists == {n + 1: CALLERS[names[n % 3]].access_key_id for n in range(60)}
    assert accounts == {CALLERS[name].account_id: CALLERS[name].access_key_id for name in names}


async def test_cancelled_calls_leave_no_response_to_another(sandbox: Sandbox) -> None:
    """No connection is one response behind."""
    async with open_client(sandbox.url) as client:

        async def count(size: int) -> int:
            page = await list_jobs(client, caller("ada"), maxResults=size)
            return len(page["audienceGenerationJobs"])

        for round_ in range(4):
            tasks = [asyncio.create_task(count(size)) for size in range(1, 41)]
            for _ in range(3 * (round_ + 1)):
                await asyncio.sleep(0)  # further into the calls each time
            for task in tasks[::2]:
                task.cancel()
            counts = await asyncio.gather(*tasks, return_exceptions=True)

            assert counts[1::2] == list(range(2, 41, 2))


@pytest.mark.parametrize(
    ("rejected", "error", "code"),
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
async def test_rejected_credentials_are_an_error_with_the_code_of_aws(
    sandbox: Sandbox, rejected: Caller, error: type[GatewayError], code: str
) -> None:
    """AWS is called once; the error has its code and request id, and not its message."""
    async with open_client(sandbox.url) as client:
        with pytest.raises(error) as caught:
            await list_jobs(client, rejected)

    (call,) = sandbox.calls
    assert caught.value.extensions()["aws"] == {
        "operation": LIST,
        "code": code,
        "requestId": call["request_id"],
    }
    assert not PRIVATE.search(str(caught.value))
    assert rejected.credentials.secret_key not in str(caught.value)


async def test_a_call_without_a_caller_is_not_signed_and_not_made() -> None:
    upstream = Recorder()
    with serve(upstream) as url:
        async with aws_client(aws_session(), SERVICE, REGION, url) as client:
            with pytest.raises(NoCredentialsError):
                await client.list_audience_generation_jobs()

    assert upstream.requests == []


async def test_an_invalid_or_missing_object_is_not_retried(sandbox: Sandbox) -> None:
    """The error message has no ARN."""
    foreign = f"arn:aws:cleanrooms-ml:{REGION}:222233334444:audience-generation-job/none"
    async with open_client(sandbox.url) as client:
        page = await list_jobs(client, caller("edith"), maxResults=1)
        arn = page["audienceGenerationJobs"][0]["audienceGenerationJobArn"]
        with pytest.raises(BadUserInputError) as invalid:
            await list_jobs(client, caller("ada"), maxResults=0)
        with pytest.raises((NotFoundError, BadUserInputError)) as foreign_error:
            await client.call(caller("ada"), REGION, GET, {"audienceGenerationJobArn": foreign})
        with pytest.raises(NotFoundError) as missing:
            await client.call(caller("grace"), REGION, GET, {"audienceGenerationJobArn": arn})

    ok, *rejected = [call["status"] for call in sandbox.calls]
    assert (ok, len(rejected), rejected[-1]) == (200, 3, 404)
    assert all(400 <= status < 500 for status in rejected)
    assert not PRIVATE.search(f"{invalid.value} {foreign_error.value} {missing.value}")


async def test_an_attempt_has_a_timeout(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outgoing, "RESPONSE_SECONDS", 0.1)
    sandbox.fault("hang")
    async with open_client(sandbox.url) as client:
        with pytest.raises(UpstreamTimeoutError):
            await list_jobs(client, caller("ada"))

    assert sandbox.count() == 1


async def test_a_refused_connection_is_unavailable() -> None:
    with serve(Recorder()) as url:
        pass
    async with open_client(url) as client:
        with pytest.raises(UpstreamUnavailableError):
            await list_jobs(client, caller("ada"))


async def test_a_call_is_signed_for_its_region(sandbox: Sandbox) -> None:
    regions = ["eu-central-1", "us-east-1"]
    async with CleanRoomsClient.open(dict.fromkeys(regions, sandbox.url)) as client:
        for region in regions:
            await client.call(caller("ada"), region, LIST, {"maxResults": 1})

    assert [call["region"] for call in sandbox.calls] == regions


async def test_the_endpoint_is_that_of_the_region_and_its_partition() -> None:
    domains = {
        "eu-central-1": "amazonaws.com",
        "cn-north-1": "amazonaws.com.cn",
        "eusc-de-east-1": "amazonaws.eu",
    }
    async with CleanRoomsClient.open(dict.fromkeys(domains)) as client:
        addresses = {region: client.address(region) for region in domains}

    assert addresses == {
        region: f"https://cleanrooms-ml.{region}.{domain}" for region, domain in domains.items()
    }
