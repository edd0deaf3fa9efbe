"""AWS sessions of OIDC callers: obtained from STS for a verified token, cached, and refreshed."""

import asyncio
import random
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import orjson
import structlog
from botocore import UNSIGNED

from gateway.auth.credentials import AwsCredentials
from gateway.auth.oidc import VerifiedToken
from gateway.auth.oidc_file import Role
from gateway.concurrency import SingleFlight
from gateway.errors import (
    ForbiddenError,
    GatewayError,
    UnauthenticatedError,
    UpstreamInvalidResponseError,
)
from gateway.telemetry.tracing import STS
from gateway.upstream.client import aws_client, aws_session
from gateway.upstream.errors import translate_errors
from gateway.upstream.resilience.callers import (
    MAX_REFUSED,
    REFUSED_SECONDS,
    ExpiringStore,
    Refusal,
)
from gateway.upstream.resilience.circuit_breaker import ServiceCircuitBreaker
from gateway.upstream.resilience.client import CircuitOpenError, observe_call
from gateway.upstream.resilience.rate_limit import CallerRateLimiter

log = structlog.get_logger()

OPERATION = "AssumeRoleWithWebIdentity"

EXCHANGE_SECONDS = 10.0
"""For all attempts together."""

ATTEMPTS = 3
"""The maximum: botocore makes fewer when its retry quota, which all callers share, is used up."""

CIRCUIT_BREAKER_TARGET = "sts"

CIRCUIT_OPEN = (
    "Calls to STS have failed repeatedly and are paused for a moment (circuit breaker open). "
    "Try again later."
)

READ_ONLY_POLICY = orjson.dumps(
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
"""A session policy that allows only what the gateway calls."""

REFRESH_SECONDS = 300.0
"""A session is refreshed in the background from this long before its expiry."""

REFRESH_JITTER_SECONDS = 60.0
"""Spreads the refreshes of sessions that began together."""

EXPIRY_MARGIN_SECONDS = 60.0
"""A session is not used from this long before its expiry, so that calls can complete."""

RETRY_SECONDS = 10.0
"""Between two attempts to refresh a session that is still usable."""

MAX_SESSIONS = 10_000
"""Sessions in the cache, some 2 KB each."""


@dataclass(frozen=True, slots=True)
class Session:
    """Temporary credentials; `expires_at` is in seconds since the epoch."""

    credentials: AwsCredentials
    expires_at: float


class StsClient:
    """Calls AssumeRoleWithWebIdentity, unsigned, in one region."""

    def __init__(self, client: Any, region: str) -> None:
        self._client = client
        self.region = region

    @classmethod
    @asynccontextmanager
    async def open(
        cls, region: str, url: str | None, *, attempts: int = ATTEMPTS
    ) -> AsyncIterator["StsClient"]:
        """Open a client; without a `url`, for the regional endpoint of AWS."""
        retries = {"mode": "standard", "total_max_attempts": attempts}
        async with aws_client(
            aws_session(), "sts", region, url, signature_version=UNSIGNED, retries=retries
        ) as client:
            yield cls(client, region)

    @property
    def address(self) -> str:
        address: str = self._client.meta.endpoint_url
        return address

    async def assume_role(self, token: str, role: Role, session_name: str) -> Session:
        """Exchange a token for a session; raises GatewayError."""
        parameters: dict[str, Any] = {
            "RoleArn": role.role_arn,
            "RoleSessionName": session_name,
            "WebIdentityToken": token,
            "DurationSeconds": role.session_seconds,
        }
        if role.read_only:
            parameters["Policy"] = READ_ONLY_POLICY
        try:
            with observe_call(OPERATION, session_name, self.region, service=STS) as observation:
                with translate_errors(OPERATION, "STS"):
                    async with asyncio.timeout(EXCHANGE_SECONDS):
                        response = await self._client.assume_role_with_web_identity(**parameters)
                observation.record_response(response)
            return _parse_session(response["Credentials"])
        # botocore's parser does not validate, and fails on unexpected values in many ways.
        except (LookupError, AttributeError, TypeError, ValueError, RuntimeError):
            raise UpstreamInvalidResponseError("STS returned an invalid response.") from None


def _parse_session(credentials: Mapping[str, Any]) -> Session:
    key_id, secret, token = (
        credentials[name] for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")
    )
    if not (key_id and secret and token):
        raise ValueError("incomplete credentials")
    return Session(AwsCredentials(key_id, secret, token), credentials["Expiration"].timestamp())


@dataclass(slots=True)
class _CachedSession:
    session: Session
    usable_until: float
    refresh_at: float


class SessionCache:
    """The sessions in use, one for each token and role.

    Calls to STS count in the caller's rate. A denial is remembered for REFUSED_SECONDS.
    """

    def __init__(
        self,
        sts: StsClient,
        rate_limiter: CallerRateLimiter,
        *,
        clock: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`jitter` returns a random number from 0 to 1."""
        self._sts = sts
        self._rate_limiter = rate_limiter
        self._breaker = ServiceCircuitBreaker(CIRCUIT_BREAKER_TARGET)
        self._denials: ExpiringStore[bytes, Refusal] = ExpiringStore(MAX_REFUSED, REFUSED_SECONDS)
        self._clock = clock
        self._jitter = jitter
        self._sessions: OrderedDict[bytes, _CachedSession] = OrderedDict()
        self._flight: SingleFlight[Session] = SingleFlight()
        self._refreshes: set[asyncio.Task[None]] = set()

    @property
    def region(self) -> str:
        return self._sts.region

    async def session_for(self, token: VerifiedToken, role: Role) -> Session:
        """Return a usable session; raises the GatewayError that STS failed with.

        Raises RateLimitedError, CircuitOpenError, or the last denial again, without a call.
        """
        key = self._key(token, role)
        cached = self._sessions.get(key)
        now = self._clock()
        if cached is None or now >= cached.usable_until:
            return await self._obtain(key, token, role)
        self._sessions.move_to_end(key)
        if now >= cached.refresh_at:
            cached.refresh_at = now + RETRY_SECONDS
            self._refresh_in_background(key, token, role)
        return cached.session

    async def close(self) -> None:
        """Cancel the refreshes in progress."""
        for task in self._refreshes:
            task.cancel()
        await asyncio.gather(*self._refreshes, return_exceptions=True)

    async def _obtain(self, key: bytes, token: VerifiedToken, role: Role) -> Session:
        return await self._flight.run(key, lambda: self._exchange(key, token, role))

    async def _exchange(self, key: bytes, token: VerifiedToken, role: Role) -> Session:
        session = await self._call(key, token, role)
        margin = REFRESH_SECONDS + REFRESH_JITTER_SECONDS * self._jitter()
        usable_until = session.expires_at - EXPIRY_MARGIN_SECONDS
        # A session that outlasts its token needs no refresh: the next token has its own session.
        outlasts = usable_until >= token.expires_at
        self._sessions[key] = _CachedSession(
            session,
            usable_until=min(usable_until, token.expires_at),
            refresh_at=float("inf") if outlasts else session.expires_at - margin,
        )
        self._sessions.move_to_end(key)
        if len(self._sessions) > MAX_SESSIONS:
            self._sessions.popitem(last=False)
        return session

    async def _call(self, key: bytes, token: VerifiedToken, role: Role) -> Session:
        caller = token.limit_key
        if denial := self._denials.get(key):
            denial.reject()
        await self._rate_limiter.acquire(caller)
        if not self._breaker.allows(caller):
            raise CircuitOpenError(CIRCUIT_OPEN)
        try:
            with self._breaker.record_call(lambda: caller):
                return await self._sts.assume_role(token.text, role, session_name(token))
        except (ForbiddenError, UnauthenticatedError) as error:
            self._denials.set(key, Refusal(type(error), error.message, error.aws))
            raise

    def _refresh_in_background(self, key: bytes, token: VerifiedToken, role: Role) -> None:
        task = asyncio.create_task(self._refresh(key, token, role))
        self._refreshes.add(task)
        task.add_done_callback(self._refreshes.discard)

    async def _refresh(self, key: bytes, token: VerifiedToken, role: Role) -> None:
        try:
            await self._obtain(key, token, role)
        except GatewayError as error:
            log.warning("session refresh failed", code=error.code, role=role.role_arn)

    def _key(self, token: VerifiedToken, role: Role) -> bytes:
        identity = [
            token.issuer.issuer,
            token.subject,
            sorted(token.audiences),
            role.role_arn,
            role.session_seconds,
            role.read_only,
            self.region,
            sha256(token.text.encode()).hexdigest(),
        ]
        return sha256(orjson.dumps(identity)).digest()


def session_name(token: VerifiedToken) -> str:
    """Return a name for CloudTrail: a digest of issuer and subject, which reveals neither.

    A prefix of the subject would not distinguish long subjects that begin alike.
    """
    text = orjson.dumps([token.issuer.issuer, token.subject])
    return f"gateway-{sha256(text).hexdigest()[:40]}"
