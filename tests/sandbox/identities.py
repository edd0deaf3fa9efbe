"""ID tokens of a sandbox, and stock boto3 clients that exchange them and use what they get."""

from datetime import UTC, datetime, timedelta
from typing import Any

import boto3  # type: ignore[import-untyped]  # stock boto3 has no stubs here
from botocore.config import Config
from botocore.exceptions import ClientError

from gateway.sandbox import ROLE_ARNS
from tests.sandbox.clients import Client
from tests.sandbox.wire import control

ONCE = Config(retries={"max_attempts": 1, "mode": "standard"}, read_timeout=10)
UNCHECKED = ONCE.merge(Config(parameter_validation=False))


class ShiftedClock:
    """The real time, ahead by as much as it is told."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        """Give the moment it shows."""
        return datetime.now(UTC) + self.ahead

    def advance(self, **duration: float) -> None:
        """Move on, or back."""
        self.ahead += timedelta(**duration)


def id_token(url: str, subject: str = "ada", **order: object) -> str:
    """Have the sandbox make a token."""
    reply = control(url, "POST", "/tokens", {"subject": subject, **order})
    assert reply.status == 200, reply.body
    token: str = reply.json()["token"]
    return token


def sts(url: str, *, checked: bool = True) -> Client:
    """Give an STS client of somebody who has no credentials yet."""
    config = ONCE if checked else UNCHECKED
    return boto3.client("sts", region_name="us-east-1", endpoint_url=url, config=config)


def assume_role(url: str, token: str, role: str = "ada", **inputs: object) -> Any:
    """Exchange a token for credentials of this person's role, or of any other in the inputs."""
    usual = {"RoleArn": ROLE_ARNS[role], "RoleSessionName": "test", "WebIdentityToken": token}
    return sts(url, checked=False).assume_role_with_web_identity(**{**usual, **inputs})


def refusal(url: str, token: str, **inputs: Any) -> tuple[str, int, str]:
    """Give the code, status and message with which an exchange is refused."""
    try:
        assume_role(url, token, **inputs)
    except ClientError as error:
        problem, metadata = error.response["Error"], error.response["ResponseMetadata"]
        return problem["Code"], metadata["HTTPStatusCode"], problem["Message"]
    raise AssertionError("The token was exchanged.")


def session_client(url: str, answer: Any) -> Client:
    """Give a Clean Rooms ML client of whoever holds what STS answered."""
    given = answer["Credentials"]
    return boto3.client(
        "cleanroomsml",
        region_name="us-east-1",
        endpoint_url=url,
        config=ONCE,
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"],
    )


def calls(url: str) -> list[Any]:
    """Give the log of calls."""
    logged: list[Any] = control(url, "GET", "/calls").json()["calls"]
    return logged
