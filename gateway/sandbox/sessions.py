"""Every key pair that opens the sandbox: the callers' own, and those that its STS has given."""

import string
from dataclasses import dataclass
from datetime import UTC, datetime

from gateway.sandbox.callers import CALLERS, SandboxCaller
from gateway.sandbox.origin import Origin
from gateway.sandbox.policies import UNRESTRICTED, SessionPolicy

_REMEMBERED_SESSIONS = 20_000
_KEY_LETTERS = string.ascii_uppercase + "234567"
# Real secrets and tokens are base64, so they hold the characters that encoders trip over.
_SECRET_LETTERS = string.ascii_letters + string.digits + "+/"
_TOKEN_CHARACTERS = 400


@dataclass(frozen=True, slots=True)
class Session:
    """A key pair, its end if it has one, and what it is narrowed to."""

    caller: SandboxCaller
    ends: datetime | None = None
    policy: SessionPolicy = UNRESTRICTED

    def is_over(self, now: datetime) -> bool:
        """Say whether the key pair is good for nothing any more."""
        return self.ends is not None and now >= self.ends


class Sessions:
    """Finds key pairs and gives new ones, of which it forgets the oldest in the end."""

    def __init__(self, seed: int, limit: int = _REMEMBERED_SESSIONS) -> None:
        self._seed = seed
        self._limit = limit
        self._given = 0
        self._temporary: dict[str, Session] = {}
        self._fixed = {caller.access_key_id: Session(caller) for caller in CALLERS.values()}
        expired = CALLERS["expired"]
        self._fixed[expired.access_key_id] = Session(expired, datetime.min.replace(tzinfo=UTC))

    def find(self, access_key_id: str) -> Session | None:
        """Give the session of a key."""
        return self._fixed.get(access_key_id) or self._temporary.get(access_key_id)

    def access_key_ids(self) -> list[str]:
        """Give every key that is known now."""
        return [*self._fixed, *self._temporary]

    def give(
        self, account_id: str, role: str, name: str, ends: datetime, policy: SessionPolicy
    ) -> Session:
        """Begin a session of a role."""
        self._given += 1
        # Made from all that it is for: after a restart no old key can become somebody else's.
        origin = Origin(self._seed, account_id, "", 0)
        chance = origin.random("session", role, name, ends.isoformat(), self._given)
        token = "".join(chance.choices(_SECRET_LETTERS, k=_TOKEN_CHARACTERS))
        caller = SandboxCaller(
            name=name,
            account_id=account_id,
            access_key_id="ASIA" + "".join(chance.choices(_KEY_LETTERS, k=16)),
            secret_access_key="".join(chance.choices(_SECRET_LETTERS, k=40)),
            session_token=f"IQoJb3JpZ2luX2VjE{token}==",
            note="a temporary session",
            role=role,
        )
        session = Session(caller, ends, policy)
        self._temporary[caller.access_key_id] = session
        if len(self._temporary) > self._limit:
            del self._temporary[next(iter(self._temporary))]
        return session
