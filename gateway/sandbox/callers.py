"""The people who may call the sandbox, with fixed keys that are public and open nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

ADA_ACCOUNT = "111122223333"
GRACE_ACCOUNT = "222233334444"
EDITH_ACCOUNT = "333344445555"
OUTSIDE_ACCOUNT = "444455556666"


@dataclass(frozen=True, slots=True)
class SandboxCaller:
    """One key pair of one account; several callers can share an account."""

    name: str
    account_id: str
    access_key_id: str
    # Public, but kept out of logs all the same: where the sandbox is swapped for AWS they are not.
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(repr=False)
    note: str
    role: str = "sandbox"

    @property
    def user_arn(self) -> str:
        """The name that AWS's messages call them by."""
        return f"arn:aws:sts::{self.account_id}:assumed-role/{self.role}/{self.name}"


def _temporary(name: str, account_id: str, note: str) -> SandboxCaller:
    word = name.replace("_", "").upper()
    return SandboxCaller(
        name=name,
        account_id=account_id,
        access_key_id=f"ASIASANDBOX{word:0<9.9}",
        secret_access_key=f"{name}/sandbox+secret/".ljust(40, "x"),
        # Real session tokens are base64, so they hold the characters that encoders trip over.
        session_token=f"FwoGZXIvYXdzSandbox//{name}+demo+session+token/public/value==",
        note=note,
    )


def _long_term(name: str, account_id: str, note: str) -> SandboxCaller:
    return SandboxCaller(
        name=name,
        account_id=account_id,
        access_key_id=f"AKIASANDBOX{name.upper():0<9.9}",
        secret_access_key=f"{name}/sandbox+secret/".ljust(40, "x"),
        session_token=None,
        note=note,
    )


_EVERYBODY = (
    _temporary("ada", ADA_ACCOUNT, "over a thousand jobs"),
    _temporary("grace", GRACE_ACCOUNT, "some 240 jobs"),
    _temporary("edith", EDITH_ACCOUNT, "seven jobs"),
    _temporary("ada_again", ADA_ACCOUNT, "ada's account under another identity"),
    _long_term("longterm", ADA_ACCOUNT, "ada's account by a long-term key, no session token"),
    _temporary("expired", OUTSIDE_ACCOUNT, "every call: 403 ExpiredTokenException"),
    _temporary("denied", OUTSIDE_ACCOUNT, "every call: 403 AccessDeniedException"),
)

CALLERS: Mapping[str, SandboxCaller] = MappingProxyType(
    {caller.name: caller for caller in _EVERYBODY}
)
