"""Stock boto3 takes the sandbox for STS, and what it is given opens Clean Rooms ML."""

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
    calls,
    id_token,
    refusal,
    session_client,
    sts,
)
from tests.sandbox.wire import Reply, control, send
from tests.serving import serve

ASSUME_ROLE = "AssumeRoleWithWebIdentity"
FORM = "application/x-www-form-urlencoded"


def post(url: str, media_type: str = FORM, **fields: str) -> Reply:
    """Send a form to STS."""
    headers = {"Content-Type": media_type}
    return send(url, "/", method="POST", headers=headers, body=urlencode(fields).encode())


@pytest.mark.parametrize("name", ["ada", "grace", "edith"])
@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_a_token_opens_the_account_of_the_role(url: str, name: str, algorithm: str) -> None:
    """With what STS gives for a token, one sees the jobs that the account's own caller sees."""
    answer = assume_role(url, id_token(url, name, algorithm=algorithm), name)

    assert list_jobs(session_client(url, answer)) == list_jobs(client(url, name))


def test_the_answer_says_who_was_recognised(url: str) -> None:
    """Every member that boto3 knows of is there, and tells what the token said."""
    before = datetime.now(UTC).replace(microsecond=0)
    answer = sts(url).assume_role_with_web_identity(
        RoleArn=ROLE_ARNS["grace"],
        RoleSessionName="grace@laptop",
        WebIdentityToken=id_token(url, "grace"),
        DurationSeconds=900,
    )
    credentials = answer["Credentials"]

    assert answer["SubjectFromWebIdentityToken"] == "grace"
    assert answer["Provider"] == f"{url}/oidc"
    assert answer["Audience"] == "audience-gateway"
    assert answer["AssumedRoleUser"]["Arn"] == (
        f"arn:aws:sts::{CALLERS['grace'].account_id}:assumed-role/clean-rooms-reader/grace@laptop"
    )
    assert answer["AssumedRoleUser"]["AssumedRoleId"].endswith(":grace@laptop")
    assert credentials["AccessKeyId"].startswith("ASIA")
    assert timedelta() <= credentials["Expiration"] - before - timedelta(seconds=900)
    assert credentials["Expiration"] - before < timedelta(seconds=930)
    assert answer["ResponseMetadata"]["RequestId"]


def test_an_hour_is_usual(url: str) -> None:
    """Without DurationSeconds the credentials are good for an hour, whoever the subject is."""
    answer = assume_role(url, id_token(url, "somebody else", seconds=60), "edith")
    left = answer["Credentials"]["Expiration"] - datetime.now(UTC)

    assert timedelta(minutes=58) < left < timedelta(minutes=61)


async def test_aiobotocore_is_content_too(url: str) -> None:
    """The asynchronous client exchanges a token in the same way, without a signature."""
    token = id_token(url)
    async with get_session().create_client(
        "sts",
        region_name="us-east-1",
        endpoint_url=url,
        config=AioConfig(signature_version=UNSIGNED),
    ) as asynchronous:
        answer = await asynchronous.assume_role_with_web_identity(
            RoleArn=ROLE_ARNS["ada"], RoleSessionName="ada", WebIdentityToken=token
        )

    assert session_client(url, answer).list_audience_models()["audienceModels"]


def test_every_exchange_gives_other_credentials(url: str) -> None:
    """The same token exchanged twice gives two sessions, both of them good."""
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
def test_inputs_are_checked(url: str, inputs: dict[str, object], words: str) -> None:
    """What the service model does not allow is refused before the token is looked at."""
    code, status, message = refusal(url, "no token at all", **inputs)

    assert (code, status) == ("ValidationError", 400)
    assert words in message


def test_everything_wrong_is_named_at_once(url: str) -> None:
    """Missing members and a duration that is no number are one answer; odd fields are nothing."""
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
def test_there_is_one_action(url: str, fields: dict[str, str], code: bytes) -> None:
    """Whatever else is asked of STS is refused in XML."""
    reply = post(url, **fields)

    assert reply.status == 400
    assert reply.headers["content-type"].startswith("text/xml")
    assert b"<Code>" + code + b"</Code>" in reply.body


def forged(token: str) -> str:
    """Give a token that says grace where it said ada, under the old signature."""
    header, _, signature = token.split(".")
    claims = urlsafe_b64encode(b'{"sub":"grace"}').rstrip(b"=").decode()
    return f"{header}.{claims}.{signature}"


def unsecured() -> str:
    """Give a token that says it needs no signature."""
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
def test_tokens_that_claim_too_little_or_too_much(
    url: str, claims: dict[str, object], words: str
) -> None:
    """A token that is well signed must still be one of this issuer, complete and in force."""
    code, status, message = refusal(url, id_token(url, claims=claims))

    assert (code, status) == ("InvalidIdentityToken", 400)
    assert words in message


def test_tokens_that_prove_nothing(url: str) -> None:
    """A forged, unsecured, foreign or broken token is no identity."""
    token = id_token(url)
    with serve(create_sandbox()) as other:
        foreign = id_token(other)
    deep = urlsafe_b64encode(b"[" * 9000).decode()

    for wrong in (
        forged(token),
        unsecured(),
        token[:-8],
        "a.b.c",
        "....",
        f"{deep}.e.e",
        "日本語です",
    ):
        code, status, message = refusal(url, wrong)
        assert (code, status) == ("InvalidIdentityToken", 400), wrong
        assert "not a valid JWT" in message
    assert refusal(url, foreign)[0] == "InvalidIdentityToken"
    assert "Couldn't retrieve verification key" in refusal(url, foreign)[2]


def test_tokens_end(url: str) -> None:
    """A token that was good once is refused by another name than one that never was."""
    code, status, message = refusal(url, id_token(url, seconds=-1))

    assert (code, status) == ("ExpiredTokenException", 400)
    assert "must be before the expiration date/time" in message


def test_a_rotation_ends_all_tokens() -> None:
    """What the old keys have signed cannot be exchanged; sessions that were given go on."""
    with serve(create_sandbox()) as url:
        token = id_token(url)
        answer = assume_role(url, token)
        control(url, "POST", "/keys/rotate")

        assert refusal(url, token)[0] == "InvalidIdentityToken"
        assert session_client(url, answer).list_audience_models()["audienceModels"]
        assert assume_role(url, id_token(url))["Credentials"]


@pytest.mark.parametrize(
    "arn",
    ["arn:aws:iam::111122223333:role/admin", "arn:aws:iam::444455556666:role/clean-rooms-reader"],
)
def test_other_roles_are_closed(url: str, arn: str) -> None:
    """A role that does not exist is refused as one that does not trust the issuer."""
    code, status, message = refusal(url, id_token(url), RoleArn=arn)

    assert (code, status) == ("AccessDenied", 403)
    assert message == "Not authorized to perform sts:AssumeRoleWithWebIdentity"


def test_the_log_shows_what_was_asked_for_and_given(url: str) -> None:
    """An exchange is logged without its token, with the key it gave; that key's calls follow."""
    policy = '{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}'
    answer = assume_role(url, id_token(url), DurationSeconds=1800, Policy=policy)
    session_client(url, answer).list_audience_models()
    refusal(url, "no token", DurationSeconds=1)
    exchanged, used, refused = calls(url)
    key = answer["Credentials"]["AccessKeyId"]

    assert exchanged == {
        "operation": ASSUME_ROLE,
        "parameters": {
            "RoleArn": ROLE_ARNS["ada"],
            "RoleSessionName": "test",
            "DurationSeconds": 1800,
            "Policy": policy,
        },
        "request_id": answer["ResponseMetadata"]["RequestId"],
        "access_key_id": key,
        "region": None,
        "status": 200,
    }
    assert (used["operation"], used["access_key_id"]) == ("ListAudienceModels", key)
    assert (refused["operation"], refused["status"]) == (ASSUME_ROLE, 400)
    assert refused["access_key_id"] is None
    assert "WebIdentityToken" not in refused["parameters"]
