"""OIDC tokens: verified against their issuer's keys, and remembered until they expire.

Source: RFC 7519 (JWT), RFC 8725 (its best current practice).
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, TypeGuard

import orjson
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import Key

from gateway.auth.jwks import IssuerKeys, KeysUnavailableError
from gateway.auth.oidc_file import Issuer
from gateway.errors import UnauthenticatedError, UpstreamUnavailableError

MAX_TOKEN_CHARACTERS = 16 * 1024
LEEWAY_SECONDS = 30.0
MAX_REMEMBERED = 10_000
"""Verified tokens: some 2 KB each."""


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """A token that its issuer signed, for us, and that is in force."""

    issuer: Issuer
    claims: Mapping[str, Any] = field(repr=False)
    expires_at: float
    """Seconds of the wall clock, without leeway."""
    text: str = field(repr=False)

    @property
    def subject(self) -> str:
        """Whom the issuer says it is."""
        subject: str = self.claims["sub"]
        return subject

    @property
    def audiences(self) -> list[str]:
        """Whom the token is for, sorted."""
        return sorted(_audiences(self.claims))


class TokenVerifier:
    """Verifies tokens of the trusted issuers. Nothing in a token is believed before that."""

    def __init__(
        self,
        issuers: Mapping[str, Issuer],
        *,
        clock: Callable[[], float] = time.time,
        keys_of: Callable[[Issuer], IssuerKeys] = IssuerKeys,
    ) -> None:
        self._issuers = issuers
        self._keys = {name: keys_of(issuer) for name, issuer in issuers.items()}
        self._clock = clock
        self._remembered: OrderedDict[bytes, tuple[VerifiedToken, Key]] = OrderedDict()

    async def verify(self, text: str) -> VerifiedToken:
        """Return what the token says.

        Raises UnauthenticatedError for any token that is not to be believed, and
        UpstreamUnavailableError if its issuer's keys cannot be had.
        """
        if len(text) > MAX_TOKEN_CHARACTERS:
            raise _refused("is too long")
        digest = sha256(text.encode()).digest()
        remembered = self._remembered.get(digest)
        if remembered is not None:
            token, key = remembered
            self._check_times(token.claims)
            # What a key has signed is believed for as long as its issuer has the key.
            if await self._key(token.issuer, key.kid) is key:
                return token
        token, key = await self._verified(text)
        self._remember(digest, token, key)
        return token

    async def _verified(self, text: str) -> tuple[VerifiedToken, Key]:
        signed, claims = _read(text)
        header = signed.headers()
        issuer = self._issuers.get(str(claims.get("iss")))
        if issuer is None:
            raise _refused("is of an issuer that is not trusted here")
        if header["alg"] not in tuple(issuer.algorithms):  # it may be anything, a list too
            raise _refused("is signed by an algorithm that is not accepted")
        if "crit" in header:
            raise _refused("demands an extension that is not known")
        key = await self._key(issuer, header.get("kid"))
        if not _has_signed(key, signed, issuer):
            raise _refused("has a signature that is not its issuer's")
        self._check_claims(issuer, claims)
        return VerifiedToken(issuer, claims, float(claims["exp"]), text), key

    async def _key(self, issuer: Issuer, key_id: object) -> Key:
        if not isinstance(key_id, str):
            raise _refused("does not say which key signed it")
        try:
            key = await self._keys[issuer.issuer].find(key_id)
        except KeysUnavailableError:
            raise UpstreamUnavailableError(
                "The token's issuer could not be asked for its keys. Ask again later."
            ) from None
        if key is None:
            raise _refused("is signed by a key that its issuer does not have")
        return key

    def _check_claims(self, issuer: Issuer, claims: Mapping[str, Any]) -> None:
        if not _audiences(claims) & issuer.audiences:
            raise _refused("is for another audience")
        if not isinstance(claims.get("sub"), str) or not claims["sub"]:
            raise _refused("does not say whom it is about")
        self._check_times(claims)

    def _check_times(self, claims: Mapping[str, Any]) -> None:
        now = self._clock()
        expires, begins, issued = claims.get("exp"), claims.get("nbf", 0), claims.get("iat", 0)
        if not (_is_time(expires) and _is_time(begins) and _is_time(issued)):
            raise _refused("has times that are none, or does not say when it ends")
        if now >= expires:  # no leeway here: STS gives none either
            raise _refused("has expired")
        if max(begins, issued) > now + LEEWAY_SECONDS:
            raise _refused("is not in force yet")

    def _remember(self, digest: bytes, token: VerifiedToken, key: Key) -> None:
        self._remembered[digest] = token, key
        if len(self._remembered) > MAX_REMEMBERED:
            self._remembered.popitem(last=False)


def _read(text: str) -> tuple[jws.CompactSignature, Mapping[str, Any]]:
    """Read a token and its claims, as yet unverified."""
    try:
        signed = jws.extract_compact(text.encode("ascii"))
        claims = orjson.loads(signed.payload)
    except (JoseError, ValueError, TypeError):
        raise _refused("is not a JWT") from None
    if not isinstance(claims, dict) or not isinstance(signed.headers(), dict):
        raise _refused("is not a JWT")
    return signed, claims


def _has_signed(key: Key, signed: jws.CompactSignature, issuer: Issuer) -> bool:
    # Not strict: a header may say what we do not know, unless `crit` demands that we do.
    registry = jws.JWSRegistry(algorithms=issuer.algorithms, strict_check_header=False)
    try:
        return jws.validate_compact(signed, key, registry=registry)
    except (JoseError, ValueError, TypeError):
        return False


def _audiences(claims: Mapping[str, Any]) -> frozenset[str]:
    audience = claims.get("aud")
    listed = audience if isinstance(audience, list) else [audience]
    return frozenset(each for each in listed if isinstance(each, str))


def _is_time(moment: object) -> TypeGuard[float]:
    return isinstance(moment, int | float) and not isinstance(moment, bool)


def _refused(why: str) -> UnauthenticatedError:
    return UnauthenticatedError(f"The bearer token {why}.")
