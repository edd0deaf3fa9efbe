"""Who is asking: a frozen value whose secrets cannot be printed."""

import hmac
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple


class AwsKeys(NamedTuple):
    """AWS credentials in the shape that a SigV4 signer reads."""

    access_key: str
    secret_key: str
    token: str | None
    account_id: None = None

    def __repr__(self) -> str:
        """Show nothing: these travel through libraries that print their arguments."""
        return "AwsKeys(…)"


@dataclass(frozen=True, slots=True, repr=False)
class Caller:
    """Somebody who has proved who they are, or lets AWS decide it by a signature.

    `fingerprint` names the caller in caches, single flight and limits: 32 bytes that
    only who holds every part of the credentials can produce.
    """

    keys: AwsKeys
    fingerprint: bytes

    @classmethod
    def from_keys(cls, access_key: str, secret_key: str, token: str | None) -> "Caller":
        """Make the caller that these AWS credentials stand for."""
        keys = AwsKeys(access_key, secret_key, token)
        return cls(keys, fingerprint(secret_key, "aws-headers", access_key, secret_key, token))

    def __repr__(self) -> str:
        """Show the first bytes of the fingerprint, never a credential."""
        return f"Caller({self.fingerprint[:6].hex()}…)"


def fingerprint(secret: str, *material: str | None) -> bytes:
    """HMAC all credential material under the caller's own secret, length-framed.

    The key is the caller's secret, so nothing has to be configured, replicas agree, and
    who knows only the access key id or the token cannot name somebody else's entries.
    Framing keeps ("ab", "c") apart from ("a", "bc"), and None apart from "".
    """
    mac = hmac.new(secret.encode(), digestmod=sha256)
    for part in material:
        framed = b"-" if part is None else part.encode()
        mac.update(b"%d:%d:" % (part is not None, len(framed)) + framed)
    return mac.digest()
