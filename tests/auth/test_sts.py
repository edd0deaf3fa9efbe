"""A token for temporary credentials: what STS is asked, by nobody, and what its answers mean."""

import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from moto.server import ThreadedMotoServer
from starlette.responses import HTMLResponse, RedirectResponse, Response

from gateway.auth import sts as aws_sts
from gateway.auth.credentials import Caller
from gateway.auth.sts import OPERATION, READ_ONLY, Exchange, Session, Sts
from gateway.errors import (
    ForbiddenError,
    GatewayError,
    ThrottledError,
    UnauthenticatedError,
    UpstreamInvalidResponseError,
    UpstreamTimeoutError,
    UpstreamUnavailableError,
)
from gateway.sandbox import ROLE_ARNS
from gateway.upstream.errors import CODES
from tests.gateways import Sandbox
from tests.sandbox.identities import id_token
from tests.serving import serve
from tests.upstream.asking import REGION, jobs, opened
from tests.upstream.recorder import Received, Recorder

WANTED = Exchange("canary.id.token", ROLE_ARNS["ada"], "gateway-ada", 1234, read_only=True)

ANSWER = """<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>ASIA0</AccessKeyId>
<SecretAccessKey>secret</SecretAccessKey><SessionToken>token</SessionToken>
<Expiration>2026-01-02T03:04:05Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult>
</AssumeRoleWithWebIdentityResponse>"""


@pytest.fixture
async def sts(sandbox: Sandbox) -> AsyncIterator[Sts]:
    """Give a client of the sandbox's STS."""
    async with Sts.open(REGION, sandbox.url) as client:
        yield client


@pytest.fixture(scope="module")
def moto_url() -> Iterator[str]:
    """Serve moto's STS."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def asked(sandbox: Sandbox) -> list[Any]:
    """Give what STS was asked."""
    return [call["parameters"] for call in sandbox.calls if call["operation"] == OPERATION]


async def exchanged_at(url: str | None, wanted: Exchange = WANTED) -> Session:
    """Exchange a token there."""
    async with Sts.open(REGION, url) as sts:
        return await sts.exchange(wanted)


async def test_a_session_of_the_sandbox_lists_the_role_s_jobs(sts: Sts, sandbox: Sandbox) -> None:
    """Read-only or not, its keys are good for what the gateway calls, under their own id."""
    for read_only in (True, False):
        wanted = replace(WANTED, token=id_token(sandbox.url), read_only=read_only)
        session = await sts.exchange(wanted)
        async with opened(sandbox.url) as aws:
            caller = Caller.from_token(session.keys, wanted.token, wanted.role_arn, REGION, 0)
            assert (await jobs(aws, caller))["audienceGenerationJobs"]
        assert sandbox.calls[-1]["access_key_id"] == session.keys.access_key


async def test_moto_gives_sessions_too(moto_url: str) -> None:
    """Of another make, as long as was asked for."""
    session = await exchanged_at(moto_url)
    longer = await exchanged_at(moto_url, replace(WANTED, seconds=3600))

    assert session.keys.access_key.startswith("ASIA")
    assert session.keys.token
    assert longer.expires_at - session.expires_at > 2000


async def test_sts_is_asked_for_what_is_wanted(sts: Sts, sandbox: Sandbox) -> None:
    """The role, the name, the time, and the policy that leaves nothing but reading."""
    wanted = replace(WANTED, token=id_token(sandbox.url))
    await sts.exchange(wanted)
    await sts.exchange(replace(wanted, seconds=900, read_only=False))

    usual = {"RoleArn": wanted.role_arn, "RoleSessionName": "gateway-ada"}
    assert asked(sandbox) == [
        {**usual, "DurationSeconds": 1234, "Policy": READ_ONLY},
        {**usual, "DurationSeconds": 900},
    ]


def test_the_policy_allows_reading_clean_rooms_and_nothing_else() -> None:
    """No other service and no change; and it is as short as STS wants it."""
    policy = orjson.loads(READ_ONLY)

    assert policy["Statement"] == [
        {
            "Effect": "Allow",
            "Action": ["cleanrooms-ml:List*", "cleanrooms-ml:Get*"],
            "Resource": "*",
        }
    ]
    assert len(READ_ONLY) <= 2048


async def test_nobody_signs_an_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    """The token is in the body, and neither an identity nor the token is anywhere else."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, f"CANARY{name}")
    recorder = Recorder(lambda _: Response(ANSWER, media_type="text/xml"))
    with serve(recorder) as url:
        session = await exchanged_at(url)

    (received,) = recorder.requests
    assert session.keys.access_key == "ASIA0"
    assert (received.method, received.path, received.query) == ("POST", "/", "")
    assert not {"authorization", "x-amz-security-token", "cookie"} & received.headers.keys()
    assert "CANARY" not in received
    assert WANTED.token not in received


async def test_aws_s_own_sts_of_the_region_is_asked_where_no_other_is_named() -> None:
    """By TLS, and never the one global endpoint."""
    for name in ("us-east-1", "eu-west-1"):
        async with Sts.open(name, None) as sts:
            assert sts._client.meta.endpoint_url == f"https://sts.{name}.amazonaws.com"


def test_a_token_is_not_shown() -> None:
    """An exchange can be printed, and so can what it gave."""
    assert "canary" not in repr(WANTED)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("InvalidIdentityToken", UnauthenticatedError),
        ("ExpiredTokenException", UnauthenticatedError),
        ("IDPRejectedClaim", UnauthenticatedError),
        ("AccessDenied", ForbiddenError),
        ("RegionDisabledException", ForbiddenError),
        ("ValidationError", ForbiddenError),
        ("MalformedPolicyDocument", ForbiddenError),
        ("PackedPolicyTooLarge", ForbiddenError),
        ("Throttling", ThrottledError),
        ("IDPCommunicationError", UpstreamUnavailableError),
        ("ServiceUnavailable", UpstreamUnavailableError),
        ("InternalFailure", UpstreamUnavailableError),
    ],
)
async def test_a_refusal_has_its_meaning(
    sts: Sts, sandbox: Sandbox, code: str, kind: type[GatewayError]
) -> None:
    """It says where AWS said so, and nothing of what was asked or answered."""
    sandbox.fault("sts-error", code=code)
    with pytest.raises(kind) as caught:
        await sts.exchange(WANTED)

    error = caught.value
    shown = f"{error} {error.extensions()}"
    assert error.extensions()["aws"]["operation"] == OPERATION
    assert error.extensions()["aws"]["code"] == code
    assert not [part for part in (WANTED.token, "arn:", "sandbox was told") if part in shown]


async def test_a_code_of_tomorrow_lands_in_the_tree(sts: Sts, sandbox: Sandbox) -> None:
    """Its HTTP status decides."""
    sandbox.fault("sts-error", code="BrandNewProblem")

    with pytest.raises(GatewayError):
        await sts.exchange(WANTED)


def test_every_error_that_sts_declares_has_a_row(sts_model: Any) -> None:
    """A new version of botocore that declares another one fails here first."""
    shapes = sts_model.operation_model(OPERATION).error_shapes
    codes = {shape.metadata.get("error", {}).get("code", shape.name) for shape in shapes}

    assert len(codes) >= 6
    assert codes - CODES.keys() == set()


@pytest.fixture
async def sts_model() -> Any:
    """Give what botocore knows of STS."""
    async with Sts.open(REGION, None) as sts:
        return sts._client.meta.service_model


async def test_what_sts_does_not_believe_is_nobody(sts: Sts, sandbox: Sandbox) -> None:
    """A token that it cannot verify, one that has ended, and a role that it does not give."""
    late = id_token(sandbox.url, seconds=-60)
    stranger = "arn:aws:iam::999999999999:role/of-nobody"
    good = id_token(sandbox.url)
    for wanted, kind in (
        (WANTED, UnauthenticatedError),
        (replace(WANTED, token=late), UnauthenticatedError),
        (replace(WANTED, token=good, role_arn=stranger), ForbiddenError),
        (replace(WANTED, token=good, seconds=7), ForbiddenError),
    ):
        with pytest.raises(kind):
            await sts.exchange(wanted)


BROKEN: dict[str, Response] = {
    "a web page": HTMLResponse("<!doctype html><title>Sign in"),
    "nothing": Response(b""),
    "JSON": Response(b'{"Credentials": {}}', media_type="application/json"),
    "half an answer": Response(ANSWER[:200], media_type="text/xml"),
    "no credentials": Response(ANSWER.replace("Credentials", "Other"), media_type="text/xml"),
    "no secret": Response(ANSWER.replace("SecretAccessKey", "Other"), media_type="text/xml"),
    "no end": Response(ANSWER.replace("Expiration", "Other"), media_type="text/xml"),
    "an empty token": Response(ANSWER.replace(">token<", "><"), media_type="text/xml"),
    "an empty key id": Response(ANSWER.replace(">ASIA0<", "><"), media_type="text/xml"),
    "an odd end": Response(ANSWER.replace("2026-01-02T", "some day "), media_type="text/xml"),
    "an empty end": Response(ANSWER.replace("2026-01-02T03:04:05Z", ""), media_type="text/xml"),
    "an end beyond the calendar": Response(
        ANSWER.replace("2026-01", "2026-99"), media_type="text/xml"
    ),
    "an end beyond time": Response(
        ANSWER.replace("2026-01-02T03:04:05Z", "9" * 30), media_type="text/xml"
    ),
    "not UTF-8": Response(b'<?xml version="1.0" encoding="utf-8"?><a>\xff</a>'),
    "a refused web page": HTMLResponse("<!doctype html><title>Sign in", 403),
    "a status of nobody": Response(b"", 418),
}


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN)
async def test_an_answer_that_makes_no_sense_is_an_error_of_the_tree(answer: Response) -> None:
    """It gives no session, not half of one either."""
    with serve(Recorder(lambda _: answer)) as url, pytest.raises(GatewayError) as caught:
        await exchanged_at(url)

    assert caught.value.code in {"UPSTREAM_INVALID_RESPONSE", "FORBIDDEN"}
    assert (caught.value.code == "FORBIDDEN") <= (answer.status_code == 403)


async def test_an_entity_in_an_answer_is_not_resolved(tmp_path: Path) -> None:
    """No file of this machine comes in with the XML."""
    secret = tmp_path / "secret"
    secret.write_text("canary", encoding="utf-8")
    entities = f'<!DOCTYPE x [<!ENTITY a SYSTEM "file://{secret}">]>'
    answer = entities + ANSWER.replace(">token<", ">&a;<")
    recorder = Recorder(lambda _: Response(answer, media_type="text/xml"))
    with serve(recorder) as url, pytest.raises(UpstreamInvalidResponseError):
        await exchanged_at(url)


async def test_a_redirect_is_not_followed() -> None:
    """It would carry the token to whoever it names."""
    elsewhere = Recorder()
    with serve(elsewhere) as other:

        def away(_: Received) -> Response:
            return RedirectResponse(other, 307)

        with serve(Recorder(away)) as url, pytest.raises(UpstreamInvalidResponseError):
            await exchanged_at(url)

    assert elsewhere.requests == []


async def test_an_sts_that_is_not_there_is_unavailable() -> None:
    """Nobody listens at that port."""
    with pytest.raises(UpstreamUnavailableError):
        await exchanged_at("http://127.0.0.1:9")


async def test_an_sts_that_hangs_is_not_waited_for(
    sts: Sts, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is a limit to all of its attempts together."""
    monkeypatch.setattr(aws_sts, "EXCHANGE_SECONDS", 0.2)
    sandbox.fault("hang")

    with pytest.raises(UpstreamTimeoutError):
        await sts.exchange(WANTED)
    assert len(asked(sandbox)) <= 1


async def test_no_setting_of_aws_s_moves_the_exchange(
    monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox
) -> None:
    """An endpoint, a region or a role in the environment is none of ours."""
    recorder = Recorder()
    with serve(recorder) as url:
        for name, value in {
            "AWS_ENDPOINT_URL": url,
            "AWS_ENDPOINT_URL_STS": url,
            "AWS_STS_REGIONAL_ENDPOINTS": "legacy",
            "AWS_REGION": "eu-west-3",
            "AWS_ROLE_ARN": "arn:aws:iam::999999999999:role/canary",
            "AWS_ROLE_SESSION_NAME": "canary",
            "AWS_WEB_IDENTITY_TOKEN_FILE": os.devnull,
        }.items():
            monkeypatch.setenv(name, value)
        async with Sts.open(REGION, None) as sts:
            assert sts._client.meta.endpoint_url == f"https://sts.{REGION}.amazonaws.com"
        await exchanged_at(sandbox.url, replace(WANTED, token=id_token(sandbox.url)))

    assert recorder.requests == []
    assert asked(sandbox)[0]["RoleArn"] == WANTED.role_arn
