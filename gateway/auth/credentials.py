"""Who is asking: a frozen value whose secrets cannot be printed."""

import hmac
from dataclasses import dataclass
from hashlib import sha256
from typing import NoReturn, final


@final
class AwsCredentials:
    """AWS credentials in the shape that a SigV4 signer reads.

    No dataclass and no tuple: libraries print and encode those, field by field.
    """

    __slots__ = ("access_key", "account_id", "secret_key", "token")

    access_key: str
    secret_key: str
    token: str | None
    account_id: None

    def __init__(self, access_key: str, secret_key: str, token: str | None) -> None:
        values = (access_key, None, secret_key, token)
        for name, value in zip(self.__slots__, values, strict=True):
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse to be changed."""
        raise AttributeError("credentials are not changed")

    def __eq__(self, other: object) -> bool:
        """Compare all parts."""
        return isinstance(other, AwsCredentials) and self._parts() == other._parts()

    def __hash__(self) -> int:
        """Hash all parts."""
        return hash(self._parts())

    def __copy__(self) -> "AwsCredentials":
        """Be the same in a copy of what holds it."""
        return self

    def __deepcopy__(self, _: object) -> "AwsCredentials":
        """Likewise."""
        return self

    def _parts(self) -> tuple[str, str, str | None]:
        return self.access_key, self.secret_key, self.token

    def __repr__(self) -> str:
        """Show nothing."""
        return "AwsCredentials(…)"

    def __reduce__(self) -> NoReturn:
        """Refuse to be written down."""
        raise TypeError("credentials are not pickled")


@dataclass(frozen=True, slots=True, repr=False)
class Caller:
    """Somebody who has proved who they are, or lets AWS decide it by a signature.

    `fingerprint` names the caller in caches, single flight and limits: 32 bytes that only who
    holds every part of the credentials can produce. `encryption_key`, 32 bytes of the same
    origin, opens what a shared cache holds for the caller. `expires_at` is when the right to
    what was read ends, in seconds of the wall clock; None if only AWS knows.
    """

    keys: AwsCredentials
    fingerprint: bytes
    encryption_key: bytes
    expires_at: float | None = None

    @classmethod
    def from_keys(cls, access_key: str, secret_key: str, token: str | None) -> "Caller":
        """Make the caller that these AWS credentials stand for."""
        material = ("aws-headers", access_key, secret_key, token)
        return cls(
            AwsCredentials(access_key, secret_key, token),
            derive_key(secret_key, "fingerprint", *material),
            derive_key(secret_key, "seal", *material),
        )

    @classmethod
    def from_token(
        cls, keys: AwsCredentials, token: str, role_arn: str, region: str, expires_at: float
    ) -> "Caller":
        """Make the caller that a verified OIDC token stands for in a role.

        The keys of its AWS session are not part of who it is: they are renewed, it stays.
        """
        material = ("oidc", token, role_arn, region)
        return cls(
            keys,
            derive_key(token, "fingerprint", *material),
            derive_key(token, "seal", *material),
            expires_at,
        )

    @property
    def digest(self) -> str:
        """What names the caller in logs: it leads back to nothing, not even to a cache's keys."""
        return sha256(b"log:" + self.fingerprint).hexdigest()[:16]

    def __repr__(self) -> str:
        """Show the digest, never a credential."""
        return f"Caller({self.digest})"


def derive_key(secret: str, *material: str | None) -> bytes:
    """HMAC all credential material under the caller's own secret, length-framed.

    The key is the caller's secret, so nothing has to be configured, replicas agree, and who
    knows only the access key id, or a subject, can produce nothing. Framing keeps ("ab", "c")
    apart from ("a", "bc"), and None from "".
    """
    mac = hmac.new(secret.encode(), digestmod=sha256)
    for part in material:
        framed = b"" if part is None else part.encode()
        mac.update(b"%d:%d:" % (part is not None, len(framed)) + framed)
    return mac.digest()
