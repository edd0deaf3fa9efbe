"""The STS client: its unsigned requests, and its reading of responses and errors."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from moto.server import ThreadedMotoServer
from starlette.responses import HTMLResponse, RedirectResponse, Response

from gateway.auth import sts as module
from gateway.auth.credentials import Caller
from gateway.auth.oidc_file import Role
from gateway.auth.sts import OPERATION, READ_ONLY_POLICY, Session, StsClient
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
from tests.upstream.clients import REGION, list_jobs, open_client
from tests.upstream.recorder import Recorder

TOKEN = "canary.id.token"
SESSION_NAME = "gateway-ada"
ROLE = Role(match={}, role_arn=ROLE_ARNS["ada"], session_seconds=1234)

RESPONSE = """<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>ASIA0</AccessKeyId>
<SecretAccessKey>secret</SecretAccessKey><SessionToken>token</SessionToken>
<Expiration>2026-01-02T03:04:05Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult>
</AssumeRoleWithWebIdentityResponse>"""


@pytest.fixture
async def sts(sandbox: Sandbox) -> AsyncIterator[StsClient]:
    async with StsClient.open(REGION, sandbox.url) as client:
        yield client


@pytest.fixture(scope="module")
def moto_url() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def role(**changed: Any) -> Role:
    return ROLE.model_copy(update=changed)


def requests_to_sts(sandbox: Sandbox) -> list[Any]:
    return [call["parameters"] for call in sandbox.calls if call["operation"] == OPERATION]


async def exchange(url: str | None, token: str = TOKEN, role: Role = ROLE) -> Session:
    async with StsClient.open(REGION, url) as sts:
        return await sts.assume_role(token, role, SESSION_NAME)


@pytest.mark.parametrize("read_only", [True, False])
async def test_a_session_lists_the_jobs_of_its_role(
    sts: StsClient, sandbox: Sandbox, *, read_only: bool
) -> None:
    token = id_token(sandbox.url)
    session = await sts.assume_role(token, role(read_only=read_only), SESSION_NAME)
    async with open_client(sandbox.url) as aws:
        caller = Caller.from_token(
            session.credentials, token, ROLE.role_arn, REGION, 0, limit_key=b"subject"
        )
        assert (await list_jobs(aws, caller))["audienceGenerationJobs"]

    assert sandbox.calls[-1]["access_key_id"] == session.credentials.access_key


async def test_sessions_of_moto_are_read_too(moto_url: str) -> None:
    session = await exchange(moto_url)
    longer = await exchange(moto_url, role=role(session_seconds=3600))

    assert session.credentials.access_key.startswith("ASIA")
    assert session.credentials.token
    assert longer.expires_at - session.expires_at > 2000


async def test_a_request_has_role_name_duration_and_policy(
    sts: StsClient, sandbox: Sandbox
) -> None:
    token = id_token(sandbox.url)
    await sts.assume_role(token, ROLE, SESSION_NAME)
    await sts.assume_role(token, role(session_seconds=900, read_only=False), SESSION_NAME)

    common = {"RoleArn": ROLE.role_arn, "RoleSessionName": SESSION_NAME}
    assert requests_to_sts(sandbox) == [
        {**common, "DurationSeconds": 1234, "Policy": READ_ONLY_POLICY},
        {**common, "DurationSeconds": 900},
    ]


def test_the_policy_allows_reading_clean_rooms_ml_only() -> None:
    assert orjson.loads(READ_ONLY_POLICY)["Statement"] == [
        {
            "Effect": "Allow",
            "Action": ["cleanrooms-ml:List*", "cleanrooms-ml:Get*"],
            "Resource": "*",
        }
    ]
    assert len(READ_ONLY_POLICY) <= 2048  # the limit of STS


async def test_an_exchange_is_not_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The token is in the body only, and no other credentials are sent."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, f"CANARY{name}")
    recorder = Recorder(lambda _: Response(RESPONSE, media_type="text/xml"))
    with serve(recorder) as url:
        session = await exchange(url)

    (received,) = recorder.requests
    assert session.credentials.access_key == "ASIA0"
    assert (received.method, received.path, received.query) == ("POST", "/", "")
    assert not {"authorization", "x-amz-security-token", "cookie"} & received.headers.keys()
    assert "CANARY" not in received
    assert TOKEN not in received


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1"])
async def test_the_default_endpoint_is_the_regional_one(region: str) -> None:
    async with StsClient.open(region, None) as sts:
        assert sts.address == f"https://sts.{region}.amazonaws.com"


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
        ("BrandNewProblem", GatewayError),
    ],
)
async def test_an_error_of_sts_is_translated(
    sts: StsClient, sandbox: Sandbox, code: str, kind: type[GatewayError]
) -> None:
    """It names AWS's operation and code, and repeats nothing of the request or response."""
    sandbox.fault("sts-error", code=code)
    with pytest.raises(kind) as caught:
        await sts.assume_role(TOKEN, ROLE, SESSION_NAME)

    error = caught.value
    shown = f"{error} {error.extensions()}"
    assert error.extensions()["aws"]["operation"] == OPERATION
    assert error.extensions()["aws"]["code"] == code
    assert not [part for part in (TOKEN, "arn:", "sandbox was told") if part in shown]


async def test_every_error_that_sts_declares_is_known() -> None:
    """A version of botocore that declares another one fails this test."""
    async with StsClient.open(REGION, None) as sts:
        shapes = sts._client.meta.service_model.operation_model(OPERATION).error_shapes
    codes = {shape.metadata.get("error", {}).get("code", shape.name) for shape in shapes}

    assert len(codes) >= 6
    assert codes - CODES.keys() == set()


async def test_the_sandbox_rejects_what_sts_rejects(sts: StsClient, sandbox: Sandbox) -> None:
    """It rejects invalid and expired tokens, other roles, and durations out of range."""
    expired, good = id_token(sandbox.url, seconds=-60), id_token(sandbox.url)
    foreign = role(role_arn="arn:aws:iam::999999999999:role/foreign")
    for token, wanted, kind in (
        (TOKEN, ROLE, UnauthenticatedError),
        (expired, ROLE, UnauthenticatedError),
        (good, foreign, ForbiddenError),
        (good, role(session_seconds=7), ForbiddenError),
    ):
        with pytest.raises(kind):
            await sts.assume_role(token, wanted, SESSION_NAME)


def changed_response(before: str, after: str) -> Response:
    return Response(RESPONSE.replace(before, after), media_type="text/xml")


INVALID: dict[str, Response] = {
    "HTML": HTMLResponse("<!doctype html><title>Sign in"),
    "empty": Response(b""),
    "JSON": Response(b'{"Credentials": {}}', media_type="application/json"),
    "truncated": Response(RESPONSE[:200], media_type="text/xml"),
    "no credentials": changed_response("Credentials", "Other"),
    "no secret": changed_response("SecretAccessKey", "Other"),
    "no expiration": changed_response("Expiration", "Other"),
    "empty token": changed_response(">token<", "><"),
    "empty key id": changed_response(">ASIA0<", "><"),
    "malformed expiration": changed_response("2026-01-02T", "some day "),
    "empty expiration": changed_response("2026-01-02T03:04:05Z", ""),
    "impossible date": changed_response("2026-01", "2026-99"),
    "huge expiration": changed_response("2026-01-02T03:04:05Z", "9" * 30),
    "not UTF-8": Response(b'<?xml version="1.0" encoding="utf-8"?><a>\xff</a>'),
    "HTML with 403": HTMLResponse("<!doctype html><title>Sign in", 403),
    "unexpected status": Response(b"", 418),
}


@pytest.mark.parametrize("response", INVALID.values(), ids=INVALID)
async def test_an_invalid_response_is_an_error(response: Response) -> None:
    with serve(Recorder(lambda _: response)) as url, pytest.raises(GatewayError) as caught:
        await exchange(url)

    assert caught.value.code in {"UPSTREAM_INVALID_RESPONSE", "FORBIDDEN"}
    assert (caught.value.code == "FORBIDDEN") <= (response.status_code == 403)


async def test_external_entities_in_a_response_are_not_resolved(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("canary", encoding="utf-8")
    entities = f'<!DOCTYPE x [<!ENTITY a SYSTEM "file://{secret}">]>'
    text = entities + RESPONSE.replace(">token<", ">&a;<")
    recorder = Recorder(lambda _: Response(text, media_type="text/xml"))
    with serve(recorder) as url, pytest.raises(UpstreamInvalidResponseError):
        await exchange(url)


async def test_a_redirect_is_not_followed() -> None:
    """A redirect would send the token to another host."""
    other = Recorder()
    with serve(other) as other_url:
        redirecting = Recorder(lambda _: RedirectResponse(other_url, 307))
        with serve(redirecting) as url, pytest.raises(UpstreamInvalidResponseError):
            await exchange(url)

    assert other.requests == []


async def test_an_unreachable_sts_is_unavailable() -> None:
    with pytest.raises(UpstreamUnavailableError):
        await exchange("http://127.0.0.1:9")


async def test_all_attempts_together_have_a_timeout(
    sts: StsClient, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "EXCHANGE_SECONDS", 0.2)
    sandbox.fault("hang")

    with pytest.raises(UpstreamTimeoutError):
        await sts.assume_role(TOKEN, ROLE, SESSION_NAME)
    assert len(requests_to_sts(sandbox)) <= 1


async def test_aws_variables_do_not_affect_an_exchange(
    monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox
) -> None:
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
        async with StsClient.open(REGION, None) as sts:
            assert sts.address == f"https://sts.{REGION}.amazonaws.com"
        await exchange(sandbox.url, id_token(sandbox.url))

    assert recorder.requests == []
    assert requests_to_sts(sandbox)[0]["RoleArn"] == ROLE.role_arn
