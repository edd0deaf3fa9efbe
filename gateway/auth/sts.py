"""STS: a verified token for the temporary credentials of a role. Signed by nobody."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from botocore import UNSIGNED

from gateway.auth.credentials import AwsCredentials
from gateway.errors import UpstreamInvalidResponseError
from gateway.telemetry.tracing import STS
from gateway.upstream.client import aws_client, aws_session
from gateway.upstream.errors import translated
from gateway.upstream.observation import observe_call

OPERATION = "AssumeRoleWithWebIdentity"

EXCHANGE_SECONDS = 10.0
"""In all, with every attempt: a request's own time begins only after it."""

ATTEMPTS = 3
"""At most. One client serves all callers, so its own budget is the process's."""

READ_ONLY = orjson.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": ["cleanrooms-ml:List*", "cleanrooms-ml:Get*"],
                "Resource": "*",
            }
        ],
    }
).decode()
"""What a session is cut down to: all that the gateway ever calls."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A token, and what is wanted for it."""

    token: str = field(repr=False)
    role_arn: str
    session_name: str
    seconds: int
    read_only: bool


@dataclass(frozen=True, slots=True)
class Session:
    """Temporary credentials, until a moment of the wall clock."""

    keys: AwsCredentials
    expires_at: float


class Sts:
    """AssumeRoleWithWebIdentity at one endpoint."""

    def __init__(self, client: Any, region: str) -> None:
        self._client = client
        self._region = region

    @classmethod
    @asynccontextmanager
    async def open(
        cls, region: str, url: str | None, *, attempts: int = ATTEMPTS
    ) -> AsyncIterator["Sts"]:
        """Hold a client until the application ends; `url` None is the region's own endpoint."""
        retries = {"mode": "standard", "total_max_attempts": attempts}
        async with aws_client(
            aws_session(), "sts", region, url, signature_version=UNSIGNED, retries=retries
        ) as client:
            yield cls(client, region)

    @property
    def address(self) -> str:
        """Where it is asked."""
        address: str = self._client.meta.endpoint_url
        return address

    async def exchange(self, wanted: Exchange) -> Session:
        """Return a session; raises a GatewayError for whatever goes wrong."""
        parameters: dict[str, Any] = {
            "RoleArn": wanted.role_arn,
            "RoleSessionName": wanted.session_name,
            "WebIdentityToken": wanted.token,
            "DurationSeconds": wanted.seconds,
        }
        if wanted.read_only:
            parameters["Policy"] = READ_ONLY
        try:
            with observe_call(OPERATION, wanted.session_name, self._region, service=STS) as audit:
                with translated(OPERATION):
                    async with asyncio.timeout(EXCHANGE_SECONDS):
                        answer = await self._client.assume_role_with_web_identity(**parameters)
                audit.answered(answer["ResponseMetadata"].get("RequestId"))
            return _session(answer["Credentials"])
        # botocore reads times as it finds them, and fails as it happens to.
        except (LookupError, AttributeError, TypeError, ValueError, RuntimeError):
            raise UpstreamInvalidResponseError("STS's answer made no sense.") from None


def _session(given: Mapping[str, Any]) -> Session:
    key_id, secret, token = (
        given[name] for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")
    )
    if not (key_id and secret and token):
        raise ValueError("credentials with a part that is empty")
    return Session(AwsCredentials(key_id, secret, token), given["Expiration"].timestamp())
