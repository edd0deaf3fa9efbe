"""AWS credentials, and the caller they belong to, as values whose secrets cannot be printed."""

import hmac
from dataclasses import dataclass
from hashlib import sha256
from typing import NoReturn, final


@final
class AwsCredentials:
    """AWS credentials with the attributes that a SigV4 signer reads.

    Neither a dataclass nor a tuple: libraries print and encode those field by field.
    """

    __slots__ = ("access_key", "account_id", "secret_key", "token")

    access_key: str
    secret_key: str
    token: str | None
    account_id: None

    def __init__(self, access_key: str, secret_key: str, token: str | None) -> None:
        set_once = object.__setattr__
        set_once(self, "access_key", access_key)
        set_once(self, "account_id", None)
        set_once(self, "secret_key", secret_key)
        set_once(self, "token", token)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("AwsCredentials are immutable")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AwsCredentials) and self._parts() == other._parts()

    def __hash__(self) -> int:
        return hash(self._parts())

    def __copy__(self) -> "AwsCredentials":
        return self

    def __deepcopy__(self, _: object) -> "AwsCredentials":
        return self

    def _parts(self) -> tuple[str, str, str | None]:
        return self.access_key, self.secret_key, self.token

    def __repr__(self) -> str:
        return "AwsCredentials(…)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("AwsCredentials cannot be pickled")


@dataclass(frozen=True, slots=True, repr=False)
class Caller:
    """An authenticated principal, or one whose signature AWS has yet to check.

    `fingerprint` identifies the caller in caches and single flight: 32 bytes that only a holder
    of all parts of the credentials can compute. `encryption_key`, 32 bytes with the same
    property, encrypts the caller's entries in a shared cache. `limit_key` identifies the caller
    in limits: it is the fingerprint, but with a token the same for all tokens of a subject.
    `expires_at` limits how long data read by this caller may be cached, in seconds since the
    epoch; None if only AWS knows when the credentials expire. `verified` says that the gateway
    has verified the caller's token.
    """

    credentials: AwsCredentials
    fingerprint: bytes
    encryption_key: bytes
    limit_key: bytes
    expires_at: float | None = None
    verified: bool = False

    @classmethod
    def from_keys(cls, access_key: str, secret_key: str, token: str | None) -> "Caller":
        material = ("aws-headers", access_key, secret_key, token)
        fingerprint = derive_key(secret_key, "fingerprint", *material)
        return cls(
            AwsCredentials(access_key, secret_key, token),
            fingerprint,
            derive_key(secret_key, "seal", *material),
            limit_key=fingerprint,
        )

    @classmethod
    def from_token(
        cls,
        credentials: AwsCredentials,
        token: str,
        role_arn: str,
        region: str,
        expires_at: float,
        *,
        limit_key: bytes,
    ) -> "Caller":
        """Return the caller that a verified OIDC token identifies in a role.

        The credentials of its AWS session are not part of the identity: they are refreshed
        while the caller stays the same. `limit_key` is that of the token's subject.
        """
        material = ("oidc", token, role_arn, region)
        return cls(
            credentials,
            derive_key(token, "fingerprint", *material),
            derive_key(token, "seal", *material),
            limit_key,
            expires_at,
            verified=True,
        )

    @property
    def digest(self) -> str:
        """The caller's name in logs. Neither credentials nor cache keys can be derived from it."""
        return sha256(b"log:" + self.fingerprint).hexdigest()[:16]

    def __repr__(self) -> str:
        return f"Caller({self.digest})"


def derive_key(secret: str, *material: str | None) -> bytes:
    """Return the HMAC of all credential material under the caller's own secret.

    The caller's secret is the key, so nothing has to be configured, replicas agree, and an access
    key id or a subject alone does not suffice to compute the result. Each part is framed by its
    length, which distinguishes ("ab", "c") from ("a", "bc"), and None from "".
    """
    mac = hmac.new(secret.encode(), digestmod=sha256)
    for part in material:
        framed = b"" if part is None else part.encode()
        mac.update(b"%d:%d:" % (part is not None, len(framed)) + framed)
    return mac.digest()
