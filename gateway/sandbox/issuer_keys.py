"""The keys with which the sandbox's issuer signs ID tokens: one RSA, one elliptic curve."""

from collections.abc import Mapping
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey

ALGORITHMS = ("RS256", "ES256")

_RSA_BITS = 2048


class IssuerKeys:
    """A key for each algorithm, made when it is first needed, and anew by rotation."""

    def __init__(self) -> None:
        self._keys: KeySet | None = None

    def rotate(self) -> None:
        """Forget the keys: what they signed cannot be verified any more."""
        self._keys = None

    def published(self) -> list[dict[str, str | list[str]]]:
        """Give the public halves, as JSON Web Keys."""
        return self._current().as_dict(private=False)["keys"]

    def sign(self, claims: Mapping[str, object], algorithm: str) -> str:
        """Give a JWT that makes these claims."""
        key = next(key for key in self._current() if key.alg == algorithm)
        header = {"alg": algorithm, "kid": key.kid}
        return jwt.encode(header, dict(claims), key, [algorithm])

    # Any: claims are whatever JSON an issuer puts in.
    def verified(self, token: str) -> dict[str, Any]:
        """Give the claims of a JWT that one of the present keys has signed."""
        return jwt.decode(token, self._current(), list(ALGORITHMS)).claims

    def _current(self) -> KeySet:
        if self._keys is None:
            # The key ids are thumbprints of the keys, so that no two keys ever share one.
            rsa = RSAKey.generate_key(_RSA_BITS, {"use": "sig", "alg": "RS256"}, auto_kid=True)
            curve = ECKey.generate_key("P-256", {"use": "sig", "alg": "ES256"}, auto_kid=True)
            self._keys = KeySet([rsa, curve])
        return self._keys
