"""A token on trial: the way of one through verification, role and session to a list call."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from gateway.auth.credentials import Caller
from gateway.auth.oidc import Issuer, Role, TokenVerifier, VerifiedToken
from gateway.auth.sts import Session, SessionCache, StsClient
from gateway.doctor.obstacle import SECONDS, Obstacle, obstacle
from gateway.doctor.row import Row, fail, ok, skipped
from gateway.doctor.upstream import Upstream
from gateway.doctor.verdict import code_of
from gateway.errors import GatewayError, UpstreamError

TOKEN, ROLE, SESSION, CALL = STEPS = ("token", "token: role", "token: session", "token: call")

NOT_SERVED = fail(
    TOKEN,
    "GATEWAY_CALLERS lacks oidc, so the gateway takes no token.",
    "Add oidc to GATEWAY_CALLERS, and set GATEWAY_OIDC_FILE.",
)


@dataclass(frozen=True, slots=True)
class TokenTrial:
    """What a token is tried with."""

    issuers: Mapping[str, Issuer]
    sts: StsClient
    upstream: Upstream
    region: str

    async def rows(self, text: str) -> list[Row]:
        """Try a token as far as it goes."""
        rows = [row async for row in self._steps(text)]
        return rows + [
            skipped(step, "The token does not come so far.") for step in STEPS[len(rows) :]
        ]

    async def _steps(self, text: str) -> AsyncIterator[Row]:
        token = await self._verified(text)
        if isinstance(token, Row):
            yield token
            return
        seconds = token.expires_at - time.time()
        yield ok(TOKEN, f"{token.issuer.issuer} has signed it; it ends in {seconds:.0f} s.")
        role = token.issuer.role_for(token.claims)
        yield _led_to(role)
        if role is None:
            return
        session = await self._session(token, role)
        if isinstance(session, Row):
            yield session
            return
        yield ok(SESSION, f"STS gives one for {session.expires_at - time.time():.0f} s.")
        caller = Caller.from_token(
            session.credentials, token.text, role.role_arn, self.region, session.expires_at
        )
        yield await self.upstream.list_as(CALL, self.region, caller)

    async def _verified(self, text: str) -> VerifiedToken | Row:
        try:
            async with asyncio.timeout(SECONDS):
                return await TokenVerifier(self.issuers).verify(text)
        except UpstreamError as error:
            return fail(TOKEN, error.message, "See the row of its issuer.")
        except GatewayError as error:
            return fail(
                TOKEN,
                error.message,
                "Get a new one, for an audience and of an issuer that GATEWAY_OIDC_FILE lists.",
            )
        except TimeoutError as error:
            return fail(TOKEN, *_late(error))

    async def _session(self, token: VerifiedToken, role: Role) -> Session | Row:
        sessions = SessionCache(self.sts)
        try:
            async with asyncio.timeout(SECONDS):
                return await sessions.session_for(token, role)
        except GatewayError as error:
            return fail(SESSION, *_no_session(error))
        except TimeoutError as error:
            return fail(SESSION, *_late(error))
        finally:
            await sessions.close()


def _led_to(role: Role | None) -> Row:
    if role is not None:
        return ok(ROLE, f"Its claims lead to {role.role_arn}.")
    return fail(
        ROLE,
        "Its claims lead to no role.",
        "Add an [[issuer.role]] to GATEWAY_OIDC_FILE whose `match` they meet.",
    )


def _no_session(error: GatewayError) -> Obstacle:
    code = code_of(error)
    if code is None:
        why = obstacle(error)
        return Obstacle(why.why if why else "STS's answer makes no sense", "See the row of STS.")
    return Obstacle(
        f"STS answers {code}: {error.message}",
        "In the role's account, make the issuer an IAM OIDC provider with this audience, let the "
        "role's trust policy allow sts:AssumeRoleWithWebIdentity for it, and session_seconds.",
    )


def _late(error: TimeoutError) -> Obstacle:
    found = obstacle(error)
    assert found is not None  # noqa: S101  a late answer is an obstacle that is known
    return found
