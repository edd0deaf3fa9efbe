"""The `oidc` scheme: the file of trusted issuers and their roles, and token verification.

Source: RFC 7519 (JWT), RFC 8725 (its best current practices).
"""

import re
import time
import tomllib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal, TypeGuard

import orjson
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import Key
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from gateway.auth.jwks import IssuerKeys, KeysUnavailableError, issuer_url, trusted_url
from gateway.errors import UnauthenticatedError, UpstreamUnavailableError
from gateway.settings import SettingsError

OIDC_FILE_SETTING = "GATEWAY_OIDC_FILE"

Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"]
"""The asymmetric algorithms that STS supports."""

_ROLE_ARN = re.compile(r"arn:aws[-a-z]*:iam::\d{12}:role/[\w+=,.@/-]{1,512}", re.ASCII)

MAX_TOKEN_CHARACTERS = 16 * 1024
LEEWAY_SECONDS = 30.0
MAX_VERIFIED = 10_000
"""Tokens in the cache of a verifier, some 2 KB each."""


def _role_arn(value: str) -> str:
    if not _ROLE_ARN.fullmatch(value):
        raise ValueError("not the ARN of an IAM role")
    return value


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Role(_Table):
    """An IAM role and the claims that map to it."""

    match: Mapping[str, str]
    """Claim -> the value that it equals or contains. All must match; empty matches any token."""
    role_arn: Annotated[str, AfterValidator(_role_arn)]
    session_seconds: int = Field(3600, ge=900, le=43200, strict=True)
    read_only: bool = Field(default=True, strict=True)
    """Whether a session policy restricts the session to what the gateway calls."""

    def matches(self, claims: Mapping[str, Any]) -> bool:
        return all(
            value == wanted or (isinstance(value, list) and wanted in value)
            for wanted, value in ((wanted, claims.get(name)) for name, wanted in self.match.items())
        )


class Issuer(_Table):
    """A trusted issuer, with the audiences that its tokens must be for."""

    issuer: Annotated[str, AfterValidator(issuer_url)]
    audiences: frozenset[Annotated[str, Field(min_length=1)]] = Field(min_length=1)
    algorithms: frozenset[Algorithm] = Field(frozenset({"RS256", "ES256"}), min_length=1)
    jwks_url: Annotated[str, AfterValidator(trusted_url)] | None = None
    role: tuple[Role, ...] = Field(min_length=1)

    def role_for(self, claims: Mapping[str, Any]) -> Role | None:
        """Return the first role that verified claims match."""
        return next((role for role in self.role if role.matches(claims)), None)


class _File(_Table):
    issuer: tuple[Issuer, ...] = Field(min_length=1)


def read_oidc_file(path: Path) -> Mapping[str, Issuer]:
    """Return the trusted issuers by name.

    Raises SettingsError; its message names each invalid place in the file.
    """
    try:
        issuers = _File.model_validate(tomllib.loads(path.read_text(encoding="utf-8"))).issuer
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{OIDC_FILE_SETTING}: {path} cannot be read: {error}.") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{OIDC_FILE_SETTING}: {path} is not valid TOML: {error}.") from None
    except ValidationError as error:
        problems = "\n".join(map(_problem_line, error.errors()))
        raise SettingsError(f"{OIDC_FILE_SETTING}: {path} is invalid:\n{problems}") from None
    by_name: dict[str, Issuer] = {}
    for each in issuers:
        if each.issuer in by_name:
            raise SettingsError(
                f"{OIDC_FILE_SETTING}: {path} has the issuer {each.issuer} twice. Accepted: once."
            )
        by_name[each.issuer] = each
    return by_name


def _problem_line(problem: Mapping[str, Any]) -> str:
    place = ".".join(str(part) for part in problem["loc"])
    return f"  {place}: {problem['msg'].removeprefix('Value error, ')}"


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """A valid token, signed by its issuer for one of the accepted audiences."""

    issuer: Issuer
    claims: Mapping[str, Any] = field(repr=False)
    expires_at: float
    """In seconds since the epoch, without leeway."""
    text: str = field(repr=False)

    @property
    def subject(self) -> str:
        subject: str = self.claims["sub"]
        return subject

    @property
    def audiences(self) -> list[str]:
        return sorted(_audiences(self.claims))

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
        self._keys = {name: keys_of(issuer) for name, issuer in issuers.items()}
        self._clock = clock
        self._verified: OrderedDict[bytes, tuple[VerifiedToken, Key]] = OrderedDict()

    async def verify(self, text: str) -> VerifiedToken:
        """Return the token with its claims, after fetching the keys of its issuer if need be.

        Raises UnauthenticatedError for an invalid token, and UpstreamUnavailableError if the
        keys of its issuer cannot be fetched.
        """
        issuer, key_id = self._signer(text)
        try:
            key = await self._keys[issuer.issuer].find(key_id)
        except KeysUnavailableError as error:
            raise UpstreamUnavailableError(f"{error}. Try again later.") from None
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
            self._check_times(cached[0].claims)
            return cached[0]
        signed, claims = _parse(text)
        if not _signature_is_valid(key, signed, issuer):
            raise _invalid("has an invalid signature")
        self._check_claims(issuer, claims)
        token = VerifiedToken(issuer, claims, float(claims["exp"]), text)
        self._verified[digest] = token, key
        if len(self._verified) > MAX_VERIFIED:
            self._verified.popitem(last=False)
        return token

    def _check_claims(self, issuer: Issuer, claims: Mapping[str, Any]) -> None:
        if not _audiences(claims) & issuer.audiences:
            raise _invalid("is for another audience")
        if not isinstance(claims.get("sub"), str) or not claims["sub"]:
            raise _invalid("has no subject")
        self._check_times(claims)

    def _check_times(self, claims: Mapping[str, Any]) -> None:
        now = self._clock()
        expires, begins, issued = claims.get("exp"), claims.get("nbf", 0), claims.get("iat", 0)
        if not (_is_time(expires) and _is_time(begins) and _is_time(issued)):
            raise _invalid("has no expiry, or an invalid time")
        if now >= expires:  # no leeway here: STS grants none either
            raise _invalid("has expired")
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


def _invalid(reason: str) -> UnauthenticatedError:
    return UnauthenticatedError(f"The bearer token {reason}.")
