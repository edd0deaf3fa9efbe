"""AWS sessions of OIDC callers: got from STS, renewed in time, never used past it."""

import asyncio
import random
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

import orjson
import structlog

from gateway.auth.oidc_file import Role
from gateway.auth.sts import Exchange, Session, Sts
from gateway.auth.tokens import VerifiedToken
from gateway.concurrency import SingleFlight
from gateway.errors import GatewayError

log = structlog.get_logger()

SOFT_SECONDS = 300.0
"""Before the end of a session from when it is renewed while it still serves."""

SOFT_JITTER_SECONDS = 60.0
"""Spread over which identities that began together are renewed."""

HARD_SECONDS = 60.0
"""Before the end of a session from when it serves nobody: a call must end while it is good."""

RETRY_SECONDS = 10.0
"""Between two tries to renew a session that still serves."""

MAX_SESSIONS = 10_000
"""Some 2 KB each."""


@dataclass(slots=True)
class _Held:
    session: Session
    good_until: float
    renew_at: float


class Sessions:
    """One session per identity: issuer, subject, audience, role, policy, region and token."""

    def __init__(
        self,
        sts: Sts,
        region: str,
        *,
        clock: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`clock` is the wall's, by which sessions end; `jitter` draws from 0 to 1."""
        self._sts = sts
        self._region = region
        self._clock = clock
        self._jitter = jitter
        self._held: OrderedDict[bytes, _Held] = OrderedDict()
        self._flight: SingleFlight[Session] = SingleFlight()
        self._renewals: set[asyncio.Task[None]] = set()

    async def session_for(self, token: VerifiedToken, role: Role) -> Session:
        """Return a session that a call can still be made with.

        Raises what STS gave cause for.
        """
        key = self._key(token, role)
        held = self._held.get(key)
        now = self._clock()
        if held is None or now >= held.good_until:
            return await self._obtain(key, token, role)
        self._held.move_to_end(key)
        if now >= held.renew_at:
            held.renew_at = now + RETRY_SECONDS
            self._renew(key, token, role)
        return held.session

    async def close(self) -> None:
        """End the renewals under way."""
        for task in self._renewals:
            task.cancel()
        await asyncio.gather(*self._renewals, return_exceptions=True)

    async def _obtain(self, key: bytes, token: VerifiedToken, role: Role) -> Session:
        return await self._flight.run(key, lambda: self._exchange(key, token, role))

    async def _exchange(self, key: bytes, token: VerifiedToken, role: Role) -> Session:
        name = _session_name(token)
        session = await self._sts.exchange(
            Exchange(token.text, role.role_arn, name, role.session_seconds, role.read_only)
        )
        soft = SOFT_SECONDS + SOFT_JITTER_SECONDS * self._jitter()
        # A session that lasts as long as its token needs no other: the next token brings one.
        outlasts = session.expires_at - HARD_SECONDS >= token.expires_at
        self._held[key] = _Held(
            session,
            good_until=min(session.expires_at - HARD_SECONDS, token.expires_at),
            renew_at=float("inf") if outlasts else session.expires_at - soft,
        )
        self._held.move_to_end(key)
        if len(self._held) > MAX_SESSIONS:
            self._held.popitem(last=False)
        return session

    def _renew(self, key: bytes, token: VerifiedToken, role: Role) -> None:
        task = asyncio.create_task(self._renewed(key, token, role))
        self._renewals.add(task)
        task.add_done_callback(self._renewals.discard)

    async def _renewed(self, key: bytes, token: VerifiedToken, role: Role) -> None:
        try:
            await self._obtain(key, token, role)
        except GatewayError as error:
            log.warning("session not renewed", code=error.code, role=role.role_arn)

    def _key(self, token: VerifiedToken, role: Role) -> bytes:
        identity = [
            token.issuer.issuer,
            token.subject,
            token.audiences,
            role.role_arn,
            role.session_seconds,
            role.read_only,
            self._region,
            sha256(token.text.encode()).hexdigest(),
        ]
        return sha256(orjson.dumps(identity)).digest()


def _session_name(token: VerifiedToken) -> str:
    """Name the session after a digest of issuer and subject: one person, one name, no address.

    CloudTrail shows it; two long subjects that begin alike stay two.
    """
    text = orjson.dumps([token.issuer.issuer, token.subject])
    return f"gateway-{sha256(text).hexdigest()[:40]}"
