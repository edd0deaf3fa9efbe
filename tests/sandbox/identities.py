"""ID tokens of a sandbox, and stock boto3 clients of its STS."""

from typing import Any

import boto3  # type: ignore[import-untyped]  # stock boto3 has no stubs here
from botocore.config import Config
from botocore.exceptions import ClientError

from gateway.sandbox import ROLE_ARNS
from tests.sandbox.clients import ONCE, UNCHECKED, Client
from tests.sandbox.wire import control


def id_token(url: str, subject: str = "ada", **parameters: object) -> str:
    """Return a new ID token of the sandbox's issuer."""
    reply = control(url, "POST", "/tokens", {"subject": subject, **parameters})
    assert reply.status == 200, reply.body
    token: str = reply.json()["token"]
    return token


def sts(url: str, config: Config = ONCE) -> Client:
    return boto3.client("sts", region_name="us-east-1", endpoint_url=url, config=config)


def assume_role(url: str, token: str, role: str = "ada", **inputs: object) -> Any:
    """Exchange a token for credentials, without validation by the client."""
    usual = {"RoleArn": ROLE_ARNS[role], "RoleSessionName": "test", "WebIdentityToken": token}
    return sts(url, UNCHECKED).assume_role_with_web_identity(**{**usual, **inputs})


def exchange_error(url: str, token: str, **inputs: Any) -> tuple[str, int, str]:
    """Return the code, status and message of a failed exchange."""
    try:
        assume_role(url, token, **inputs)
    except ClientError as error:
        problem, metadata = error.response["Error"], error.response["ResponseMetadata"]
        return problem["Code"], metadata["HTTPStatusCode"], problem["Message"]
    raise AssertionError("The token was exchanged.")


def session_client(url: str, response: Any) -> Client:
    """Return a Clean Rooms ML client with the credentials of an STS response."""
    credentials = response["Credentials"]
    return boto3.client(
        "cleanroomsml",
        region_name="us-east-1",
        endpoint_url=url,
        config=ONCE,
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials["SessionToken"],
    )
