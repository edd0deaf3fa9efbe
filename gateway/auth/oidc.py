"""The tokens of the `oidc` scheme, and their verification.

Source: RFC 7519 (JWT), RFC 8725 (its best current practices).
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
from gateway.auth.oidc_file import Issuer, Role
from gateway.errors import UnauthenticatedError, UpstreamUnavailableError

MAX_TOKEN_CHARACTERS = 16 * 1024
LEEWAY_SECONDS = 30.0
MAX_VERIFIED = 10_000
"""Tokens in the cache of a verifier, some 1 KB each besides their text."""

MAX_VERIFIED_CHARACTERS = 32 * 1024 * 1024
"""Of the texts of these tokens. One that lists many groups has some 10,000."""


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """A valid token, signed by its issuer for one of the accepted audiences.

    Its other claims are not kept: those of a token with many groups take a hundred kilobytes.
    """

    issuer: Issuer
    subject: str
    audiences: frozenset[str]
    role: Role | None
    """That its claims map to."""
    expires_at: float
    """In seconds since the epoch, without leeway."""
    text: str = field(repr=False)

    @property
    def limit_key(self) -> bytes:
        """The caller in limits: issuer and subject, whatever number of tokens they have."""
        return sha256(orjson.dumps(["limit", self.issuer.issuer, self.subject])).digest()


def issuer_keys(issuer: Issuer) -> IssuerKeys:
    return IssuerKeys(issuer.issuer, issuer.jwks_url)


class TokenVerifier:
    """Verifies the tokens of the trusted issuers, and caches the valid ones until they expire."""

    def __init__(
        self,
        issuers: Mapping[str, Issuer],
        *,
        clock: Callable[[], float] = time.time,
        keys_of: Callable[[Issuer], IssuerKeys] = issuer_keys,
    ) -> None:
        self._issuers = issuers
        self._keys_of = keys_of
        self._keys = {name: keys_of(issuer) for name, issuer in issuers.items()}
        self._clock = clock
        self._verified: OrderedDict[bytes, tuple[VerifiedToken, Key]] = OrderedDict()
        self._verified_characters = 0

    def replace_issuers(self, issuers: Mapping[str, Issuer]) -> None:
        """Trust these issuers and no others from now on, whatever was verified before.

        The keys of those that still publish them at the same place are kept.
        """
        before, keys = self._issuers, self._keys
        self._issuers = {
            name: before[name] if before.get(name) == issuer else issuer
            for name, issuer in issuers.items()
        }
        self._keys = {
            name: keys[name]
            if name in before and before[name].jwks_url == issuer.jwks_url
            else self._keys_of(issuer)
            for name, issuer in issuers.items()
        }
        for digest, (token, _) in list(self._verified.items()):
            if not self._is_current(token.issuer):
                self._forget(digest)

    async def verify(self, text: str) -> VerifiedToken:
        """Return the token with its role, after fetching the keys of its issuer if need be.

        Raises UnauthenticatedError for an invalid token, and UpstreamUnavailableError if the
        keys of its issuer cannot be fetched.
        """
        issuer, key_id = self._signer(text)
        try:
            key = await self._keys[issuer.issuer].find(key_id)
        except KeysUnavailableError as error:
            raise UpstreamUnavailableError(f"{error}. Try again later.") from None
        if not self._is_current(issuer):
            return await self.verify(text)
        return self._verify(text, issuer, key)

    def verify_at_once(self, text: str) -> VerifiedToken | None:
        """As `verify`; None if keys have to be fetched first."""
        issuer, key_id = self._signer(text)
        keys = self._keys[issuer.issuer]
        if keys.outdated_for(key_id):
            return None
        try:
            key = keys.find_known(key_id)
        except KeysUnavailableError as error:
            raise UpstreamUnavailableError(f"{error}. Try again later.") from None
        return self._verify(text, issuer, key)

    def _is_current(self, issuer: Issuer) -> bool:
        """Return whether an issuer is trusted, as it is configured now."""
        return self._issuers.get(issuer.issuer) is issuer

    def _signer(self, text: str) -> tuple[Issuer, str]:
        """Return the issuer that the token names, and the id of the key; nothing is verified."""
        if len(text) > MAX_TOKEN_CHARACTERS:
            raise _invalid("is too long")
        cached = self._verified.get(_digest(text))
        if cached is not None:
            token, key = cached
            return token.issuer, str(key.kid)
        signed, claims = _parse(text)
        header = signed.headers()
        issuer = self._issuers.get(str(claims.get("iss")))
        if issuer is None:
            raise _invalid("has an issuer that is not trusted")
        # A tuple, because `alg` may be a list, which is not hashable.
        if header["alg"] not in tuple(issuer.algorithms):
            raise _invalid("is signed with an algorithm that is not accepted")
        if "crit" in header:
            raise _invalid("requires an unsupported extension")
        key_id = header.get("kid")
        if not isinstance(key_id, str):
            raise _invalid("does not name the key that signed it")
        return issuer, key_id

    def _verify(self, text: str, issuer: Issuer, key: Key | None) -> VerifiedToken:
        if key is None:
            raise _invalid("is signed with a key that its issuer does not publish")
        digest = _digest(text)
        cached = self._verified.get(digest)
        # A token is valid only as long as its issuer publishes the key that signed it.
        if cached is not None and cached[1] is key:
            if self._clock() >= cached[0].expires_at:
                raise _expired()
            return cached[0]
        signed, claims = _parse(text)
        if not _signature_is_valid(key, signed, issuer):
            raise _invalid("has an invalid signature")
        self._check_claims(issuer, claims)
        token = VerifiedToken(
            issuer=issuer,
            subject=claims["sub"],
            audiences=_audiences(claims),
            role=issuer.role_for(claims),
            expires_at=float(claims["exp"]),
            text=text,
        )
        self._remember(digest, token, key)
        return token

    def _remember(self, digest: bytes, token: VerifiedToken, key: Key) -> None:
        if digest in self._verified:
            self._forget(digest)
        self._verified[digest] = token, key
        self._verified_characters += len(token.text)
        while (
            len(self._verified) > MAX_VERIFIED
            or self._verified_characters > MAX_VERIFIED_CHARACTERS
        ):
            self._forget(next(iter(self._verified)))

    def _forget(self, digest: bytes) -> None:
        token, _ = self._verified.pop(digest)
        self._verified_characters -= len(token.text)

    def _check_claims(self, issuer: Issuer, claims: Mapping[str, Any]) -> None:
        audiences = _audiences(claims)
        if not audiences & issuer.audiences:
            raise _invalid("is for another audience" if audiences else "has no audience (`aud`)")
        if not isinstance(claims.get("sub"), str) or not claims["sub"]:
            raise _invalid("has no subject")
        self._check_times(claims)

    def _check_times(self, claims: Mapping[str, Any]) -> None:
        now = self._clock()
        expires, begins, issued = claims.get("exp"), claims.get("nbf", 0), claims.get("iat", 0)
        if not (_is_time(expires) and _is_time(begins) and _is_time(issued)):
            raise _invalid("has no expiry, or an invalid time")
        if now >= expires:  # no leeway here: STS grants none either
            raise _expired()
        if max(begins, issued) > now + LEEWAY_SECONDS:
            raise _invalid("is not valid yet")


def _parse(text: str) -> tuple[jws.CompactSignature, Mapping[str, Any]]:
    """Parse a token and its claims without verifying them."""
    try:
        signed = jws.extract_compact(text.encode("ascii"))
        claims = orjson.loads(signed.payload)
    except (JoseError, ValueError, TypeError):
        raise _invalid("is not a JWT") from None
    if not isinstance(claims, dict) or not isinstance(signed.headers(), dict):
        raise _invalid("is not a JWT")
    return signed, claims


def _signature_is_valid(key: Key, signed: jws.CompactSignature, issuer: Issuer) -> bool:
    # Not strict: unknown header parameters are allowed unless `crit` lists them.
    registry = jws.JWSRegistry(algorithms=issuer.algorithms, strict_check_header=False)
    try:
        return jws.validate_compact(signed, key, registry=registry)
    except (JoseError, ValueError, TypeError):
        return False


def _audiences(claims: Mapping[str, Any]) -> frozenset[str]:
    audience = claims.get("aud")
    listed = audience if isinstance(audience, list) else [audience]
    return frozenset(each for each in listed if isinstance(each, str))


def _is_time(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _digest(text: str) -> bytes:
    return sha256(text.encode()).digest()


def _expired() -> UnauthenticatedError:
    return _invalid("has expired")


def _invalid(reason: str) -> UnauthenticatedError:
    return UnauthenticatedError(f"The bearer token {reason}.")
