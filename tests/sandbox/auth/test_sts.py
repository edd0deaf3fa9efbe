"""Stock boto3 exchanges ID tokens for credentials of Clean Rooms ML."""

from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore import UNSIGNED

from gateway.sandbox import CALLERS, ROLE_ARNS, create_sandbox
from tests.sandbox.clients import client, list_jobs
from tests.sandbox.identities import (
    assume_role,
    exchange_error,
    id_token,
    session_client,
    sts,
)
from tests.sandbox.wire import Reply, control, logged_calls, send
from tests.serving import serve

ASSUME_ROLE = "AssumeRoleWithWebIdentity"
FORM = "application/x-www-form-urlencoded"


def post(url: str, media_type: str = FORM, **fields: str) -> Reply:
    headers = {"Content-Type": media_type}
    return send(url, "/", method="POST", headers=headers, body=urlencode(fields).encode())


@pytest.mark.parametrize(
    ("name", "algorithm"), [("ada", "RS256"), ("grace", "ES256"), ("edith", "RS256")]
)
def test_the_credentials_are_of_the_account_of_the_role(
    url: str, name: str, algorithm: str
) -> None:
    response = assume_role(url, id_token(url, name, algorithm=algorithm), name)

    assert list_jobs(session_client(url, response)) == list_jobs(client(url, name))


def test_the_response_describes_the_identity(url: str) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    response = sts(url).assume_role_with_web_identity(
        RoleArn=ROLE_ARNS["grace"],
        RoleSessionName="grace@laptop",
        WebIdentityToken=id_token(url, "grace"),
        DurationSeconds=900,
    )
    credentials = response["Credentials"]

    assert response["SubjectFromWebIdentityToken"] == "grace"
    assert response["Provider"] == f"{url}/oidc"
    assert response["Audience"] == "audience-gateway"
    assert response["AssumedRoleUser"]["Arn"] == (
        f"arn:aws:sts::{CALLERS['grace'].account_id}:assumed-role/clean-rooms-reader/grace@laptop"
    )
    assert response["AssumedRoleUser"]["AssumedRoleId"].endswith(":grace@laptop")
    assert credentials["AccessKeyId"].startswith("ASIA")
    assert timedelta() <= credentials["Expiration"] - before - timedelta(seconds=900)
    assert credentials["Expiration"] - before < timedelta(seconds=930)
    assert response["ResponseMetadata"]["RequestId"]


def test_a_session_lasts_an_hour_by_default(url: str) -> None:
    response = assume_role(url, id_token(url, "somebody else", seconds=60), "edith")
    left = response["Credentials"]["Expiration"] - datetime.now(UTC)

    assert timedelta(minutes=58) < left < timedelta(minutes=61)


async def test_aiobotocore_exchanges_a_token_without_a_signature(url: str) -> None:
    token = id_token(url)
    async with get_session().create_client(
        "sts",
        region_name="us-east-1",
        endpoint_url=url,
        config=AioConfig(signature_version=UNSIGNED),
    ) as asynchronous:
        response = await asynchronous.assume_role_with_web_identity(
            RoleArn=ROLE_ARNS["ada"], RoleSessionName="ada", WebIdentityToken=token
        )

    assert session_client(url, response).list_audience_models()["audienceModels"]


def test_each_exchange_returns_other_credentials(url: str) -> None:
    token = id_token(url)
    one, other = assume_role(url, token), assume_role(url, token)

    for member in ("AccessKeyId", "SecretAccessKey", "SessionToken"):
        assert one["Credentials"][member] != other["Credentials"][member]
    assert session_client(url, one).list_audience_models()["audienceModels"]
    assert session_client(url, other).list_audience_models()["audienceModels"]


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"RoleArn": "arn:aws:iam"}, "'roleArn' failed to satisfy constraint: Member must have le"),
        ({"RoleArn": "arn:aws:iam::nobody:role/reader"}, "arn:aws:iam::nobody:role/reader is inv"),
        ({"RoleArn": "arn:aws:iam::111122223333:user/ada"}, "user/ada is invalid"),
        ({"RoleArn": "arn:aws:iam::111122223333:role/a\x01"}, "pattern"),
        ({"RoleSessionName": "a"}, "Value 'a' at 'roleSessionName'"),
        ({"RoleSessionName": "a" * 65}, "Member must have length less than or equal to 64"),
        ({"RoleSessionName": "ada lovelace"}, "Member must satisfy regular expression pattern"),
        ({"RoleSessionName": "ada\n"}, "Member must satisfy regular expression pattern"),
        ({"DurationSeconds": 899}, "Value '899' at 'durationSeconds' failed"),
        ({"DurationSeconds": 43_201}, "Member must have value less than or equal to 43200"),
        ({"Policy": ""}, "'policy' failed to satisfy constraint: Member must have length greater"),
        ({"Policy": "x" * 2049}, "'policy' failed"),
        ({"PolicyArns": [{"arn": "arn"}]}, "Value 'arn' at 'policyArns.member.1.arn' failed"),
        ({"ProviderId": "x"}, "'providerId' failed"),
        ({"WebIdentityToken": "abc"}, "Value '***' at 'webIdentityToken' failed"),
    ],
)
def test_inputs_are_validated_before_the_token(
    url: str, inputs: dict[str, object], words: str
) -> None:
    code, status, message = exchange_error(url, "no token at all", **inputs)

    assert (code, status) == ("ValidationError", 400)
    assert words in message


def test_all_errors_are_reported_together_and_unknown_fields_ignored(url: str) -> None:
    odd = {"Other": "x", "RoleArn.x": "x", "PolicyArns.member.1": "x", "PolicyArns.x.1.arn": "x"}
    usual = {"Action": ASSUME_ROLE, "Version": "2011-06-15"}
    reply = post(url, **usual, DurationSeconds="long", **odd)

    assert reply.status == 400
    assert b"<Type>Sender</Type><Code>ValidationError</Code>" in reply.body
    assert b"4 validation errors detected: Value 'long' at 'durationSeconds'" in reply.body
    assert b"Value null at 'webIdentityToken' failed" in reply.body


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({}, b"MissingAction"),
        ({"Action": ASSUME_ROLE}, b"InvalidAction"),
        ({"Action": ASSUME_ROLE, "Version": "2012-01-01"}, b"InvalidAction"),
        ({"Action": "AssumeRole", "Version": "2011-06-15"}, b"InvalidAction"),
        ({"Action": ASSUME_ROLE, "media_type": "application/json"}, b"MissingAction"),
    ],
)
def test_other_actions_are_errors_in_xml(url: str, fields: dict[str, str], code: bytes) -> None:
    reply = post(url, **fields)

    assert reply.status == 400
    assert reply.headers["content-type"].startswith("text/xml")
    assert b"<Code>" + code + b"</Code>" in reply.body


def forged(token: str) -> str:
    """Return a token with another subject and the signature of this one."""
    header, _, signature = token.split(".")
    claims = urlsafe_b64encode(b'{"sub":"grace"}').rstrip(b"=").decode()
    return f"{header}.{claims}.{signature}"


def unsecured() -> str:
    """Return a token with the algorithm `none`."""
    header = urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    return f"{header}.{header}."


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"aud": None}, "Missing claim: 'aud'"),
        ({"exp": None}, "Missing claim: 'exp'"),
        ({"exp": "soon"}, "Claim 'exp' must be a NumericDate value"),
        ({"sub": ""}, "Invalid claim: 'sub'"),
        ({"sub": 7}, "Claim 'sub'"),
        ({"sub": "x" * 256}, "The subject is longer than 255 characters"),
        ({"nbf": 32_503_680_000}, "not yet valid"),
        ({"iss": "https://elsewhere.example"}, "No OpenIDConnect provider found in"),
        ({"iss": "elsewhere/oidc"}, "No OpenIDConnect provider found in your account"),
    ],
)
def test_invalid_claims(url: str, claims: dict[str, object], words: str) -> None:
    code, status, message = exchange_error(url, id_token(url, claims=claims))

    assert (code, status) == ("InvalidIdentityToken", 400)
    assert words in message


def test_invalid_tokens(url: str) -> None:
    token = id_token(url)
    with serve(create_sandbox()) as other:
        foreign = id_token(other)
    deep = urlsafe_b64encode(b"[" * 9000).decode()

    for invalid in (
        forged(token),
        unsecured(),
        token[:-8],
        "a.b.c",
        "....",
        f"{deep}.e.e",
        "日本語です",
    ):
        code, status, message = exchange_error(url, invalid)
        assert (code, status) == ("InvalidIdentityToken", 400), invalid
        assert "not a valid JWT" in message
    assert exchange_error(url, foreign)[0] == "InvalidIdentityToken"
    assert "Couldn't retrieve verification key" in exchange_error(url, foreign)[2]


def test_an_expired_token(url: str) -> None:
    code, status, message = exchange_error(url, id_token(url, seconds=-1))

    assert (code, status) == ("ExpiredTokenException", 400)
    assert "must be before the expiration date/time" in message


def test_rotation_invalidates_tokens_but_not_sessions() -> None:
    with serve(create_sandbox()) as url:
        token = id_token(url)
        response = assume_role(url, token)
        control(url, "POST", "/keys/rotate")

        assert exchange_error(url, token)[0] == "InvalidIdentityToken"
        assert session_client(url, response).list_audience_models()["audienceModels"]
        assert assume_role(url, id_token(url))["Credentials"]


@pytest.mark.parametrize(
    "arn",
    ["arn:aws:iam::111122223333:role/admin", "arn:aws:iam::444455556666:role/clean-rooms-reader"],
)
def test_other_roles_are_denied(url: str, arn: str) -> None:
    code, status, message = exchange_error(url, id_token(url), RoleArn=arn)

    assert (code, status) == ("AccessDenied", 403)
    assert message == "Not authorized to perform sts:AssumeRoleWithWebIdentity"


def test_the_log_shows_the_inputs_without_the_token_and_the_new_key(url: str) -> None:
    policy = '{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}'
    response = assume_role(url, id_token(url), DurationSeconds=1800, Policy=policy)
    session_client(url, response).list_audience_models()
    exchange_error(url, "no token", DurationSeconds=1)
    exchanged, used, failed = logged_calls(url)
    key = response["Credentials"]["AccessKeyId"]

    assert exchanged == {
        "operation": ASSUME_ROLE,
        "parameters": {
            "RoleArn": ROLE_ARNS["ada"],
            "RoleSessionName": "test",
            "DurationSeconds": 1800,
            "Policy": policy,
        },
        "request_id": response["ResponseMetadata"]["RequestId"],
        "access_key_id": key,
        "region": None,
        "status": 200,
    }
    assert (used["operation"], used["access_key_id"]) == ("ListAudienceModels", key)
    assert (failed["operation"], failed["status"]) == (ASSUME_ROLE, 400)
    assert failed["access_key_id"] is None
    assert "WebIdentityToken" not in failed["parameters"]
