"""Authentication of a request by its headers, and of a federation router by its secret."""

import hmac
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, TypeAlias

from gateway.auth.credentials import Caller
from gateway.auth.oidc import TokenVerifier, VerifiedToken
from gateway.auth.sts import SessionCache
from gateway.errors import (
    ForbiddenError,
    GatewayError,
    UnauthenticatedError,
    UpstreamUnavailableError,
)
from gateway.setting_files import read_setting_file
from gateway.settings import SettingsError

AUTHORIZATION = "authorization"
ACCESS_KEY_ID = "x-aws-access-key-id"
SECRET_ACCESS_KEY = "x-aws-secret-access-key"  # noqa: S105  a name, not a secret
SESSION_TOKEN = "x-aws-session-token"  # noqa: S105  a name, not a secret
CREDENTIAL_HEADERS = frozenset(
    name.encode() for name in (AUTHORIZATION, ACCESS_KEY_ID, SECRET_ACCESS_KEY, SESSION_TOKEN)
)

LONG_TERM_PREFIX = "AKIA"

_ACCESS_KEY_ID = re.compile(r"[A-Z0-9]{16,128}")
MAX_CREDENTIAL_CHARACTERS = 12 * 1024
"""Of a secret or a session token. AWS sets no limit; tokens with many session tags are long."""

_VISIBLE = re.compile(rf"[\x21-\x7e]{{1,{MAX_CREDENTIAL_CHARACTERS}}}")

ACCEPTED = {
    "aws-headers": "the headers X-Aws-Access-Key-Id, X-Aws-Secret-Access-Key and "
    "X-Aws-Session-Token",
    "oidc": "the header Authorization: Bearer with a token of a trusted issuer",
}

CHALLENGES = {"aws-headers": 'Aws-Headers realm="audience-gateway"', "oidc": "Bearer"}
"""The challenge of each scheme in a 401 (RFC 9110, 11.6.1). `Aws-Headers` is not registered."""

Identity: TypeAlias = Caller | GatewayError
"""A caller, or the error of each field that requires one."""


@dataclass(frozen=True, slots=True)
class BearerClaim:
    """A bearer token that is still to be verified, or to be exchanged for a session."""

    text: str = field(repr=False)
    token: VerifiedToken | None
    """None: keys of its issuer have to be fetched first."""


Claim: TypeAlias = Identity | BearerClaim
"""The identity that the headers of a request claim, or a token that takes calls to identify."""


@dataclass(frozen=True, slots=True)
class Oidc:
    """The parts that only the `oidc` scheme needs."""

    verifier: TokenVerifier
    sessions: SessionCache


@dataclass(frozen=True, slots=True)
class Authenticator:
    schemes: frozenset[str]
    allow_long_term_keys: bool
    oidc: Oidc | None = None
    """Set if `schemes` has `oidc`."""

    def read(self, headers: Iterable[tuple[bytes, bytes]]) -> Claim:
        """Return the claim in these headers, as in an ASGI scope. Makes no call.

        Raises UnauthenticatedError for credentials that are invalid, malformed or duplicated, of
        two schemes, or of a scheme that is not enabled. Its message does not repeat their values.
        """
        found = _credential_headers(headers)
        if not found:
            return UnauthenticatedError(f"This field requires authentication. {self._accepted()}")
        if AUTHORIZATION in found:
            return self._read_authorization(found)
        self._check_enabled("aws-headers")
        return caller_from_aws_headers(found, allow_long_term_keys=self.allow_long_term_keys)

    async def identify(
        self, claim: BearerClaim, on_verified: Callable[[bytes], Awaitable[None]]
    ) -> Identity:
        """Return the identity of a token, after calls to its issuer and to STS if need be.

        `on_verified` gets the caller's limit key before the call to STS. Raises what it raises,
        and UnauthenticatedError for an invalid token.
        """
        assert self.oidc is not None  # noqa: S101  the claim is of its scheme
        try:
            token = claim.token or await self.oidc.verifier.verify(claim.text)
        except UpstreamUnavailableError as error:
            return error
        await on_verified(token.limit_key)
        try:
            return await _exchange(self.oidc.sessions, token)
        except GatewayError as error:
            return error

    @property
    def challenge(self) -> Mapping[str, str]:
        """The header that a 401 must have (RFC 9110), with a challenge for each enabled scheme."""
        return {"WWW-Authenticate": ", ".join(CHALLENGES[each] for each in sorted(self.schemes))}

    def _read_authorization(self, headers: dict[str, str]) -> Claim:
        if len(headers) > 1:
            raise UnauthenticatedError("The request has credentials of two schemes. Accepted: one.")
        self._check_enabled("oidc")
        scheme, _, text = headers[AUTHORIZATION].partition(" ")
        text = text.strip(" ")
        if scheme.lower() != "bearer" or not text:
            raise UnauthenticatedError(
                f"The Authorization header is not a bearer token. {self._accepted()}"
            )
        assert self.oidc is not None  # noqa: S101  the scheme is enabled
        try:
            return BearerClaim(text, self.oidc.verifier.verify_at_once(text))
        except UpstreamUnavailableError as error:
            return error

    def _check_enabled(self, scheme: str) -> None:
        if scheme not in self.schemes:
            raise UnauthenticatedError(
                f"This authentication scheme is not enabled. {self._accepted()}"
            )

    def _accepted(self) -> str:
        return f"Accepted: {', or '.join(ACCEPTED[scheme] for scheme in sorted(self.schemes))}."


async def _exchange(sessions: SessionCache, token: VerifiedToken) -> Caller:
    role = token.role
    if role is None:
        raise ForbiddenError(
            "The token's claims match no role. Contact the operator of the gateway."
        )
    session = await sessions.session_for(token, role)
    return Caller.from_token(
        session.credentials,
        token.text,
        role.role_arn,
        sessions.region,
        min(session.expires_at, token.expires_at),
        limit_key=token.limit_key,
    )


def _credential_headers(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for raw, value in headers:
        if raw in CREDENTIAL_HEADERS:
            name = raw.decode()
            if name in found:
                raise UnauthenticatedError(f"Duplicate header {name}. Accepted: one.")
            found[name] = value.decode("latin-1")
    return found


def caller_from_aws_headers(headers: Mapping[str, str], *, allow_long_term_keys: bool) -> Caller:
    """Return the caller with the credentials in these headers.

    Raises UnauthenticatedError if they are incomplete or malformed; its message does not repeat
    their values.
    """
    key_id, secret, token = (
        headers.get(name) for name in (ACCESS_KEY_ID, SECRET_ACCESS_KEY, SESSION_TOKEN)
    )
    if key_id is None or secret is None:
        raise _incomplete()
    if not _ACCESS_KEY_ID.fullmatch(key_id):
        raise UnauthenticatedError("X-Aws-Access-Key-Id is not an access key id.")
    if key_id.startswith(LONG_TERM_PREFIX):
        if not allow_long_term_keys:
            raise UnauthenticatedError(
                "Long-term keys (AKIA…) are not accepted, because they never expire. Accepted: "
                "temporary credentials with their session token."
            )
    elif token is None:
        raise _incomplete()
    for name, value in (("X-Aws-Secret-Access-Key", secret), ("X-Aws-Session-Token", token)):
        if value is not None and not _VISIBLE.fullmatch(value):
            raise UnauthenticatedError(
                f"{name} is empty, too long, or contains invalid characters. "
                f"Accepted: up to {MAX_CREDENTIAL_CHARACTERS} visible ASCII characters."
            )
    return Caller.from_keys(key_id, secret, token)


def _incomplete() -> UnauthenticatedError:
    return UnauthenticatedError(
        "The AWS credentials are incomplete. Accepted: X-Aws-Access-Key-Id, "
        "X-Aws-Secret-Access-Key and X-Aws-Session-Token together."
    )


ROUTER_SECRET_HEADER = b"x-router-secret"
ROUTER_SECRET_SETTING = "GATEWAY_ROUTER_SECRET_FILE"  # noqa: S105  a name, not a secret

_ROUTER_SECRET = re.compile(rb"[\x21-\x7e]{16,1024}")


@dataclass(slots=True)
class RouterSecrets:
    """The secrets that authenticate a federation router; several, to allow for rotation."""

    accepted: tuple[bytes, ...] = field(repr=False)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file with one secret per line.

        Raises SettingsError; its message gives the line's number, never its content.
        """
        try:
            lines = read_setting_file(path).splitlines()
        except OSError as error:
            raise SettingsError(
                f"{ROUTER_SECRET_SETTING}: {path} cannot be read: {error.strerror}."
            ) from None
        if not lines:
            raise SettingsError(
                f"{ROUTER_SECRET_SETTING}: {path} is empty. Accepted: one secret per line."
            )
        for number, line in enumerate(lines, 1):
            if not _ROUTER_SECRET.fullmatch(line):
                raise SettingsError(
                    f"{ROUTER_SECRET_SETTING}: line {number} of {path} is not a valid secret. "
                    "Accepted: 16 to 1024 visible ASCII characters without spaces."
                )
        return cls(tuple(lines))

    def match(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Return whether these headers, as in an ASGI scope, have exactly one accepted secret.

        The comparison takes constant time.
        """
        sent = [value for name, value in headers if name == ROUTER_SECRET_HEADER]
        matches = [hmac.compare_digest(value, each) for value in sent for each in self.accepted]
        return len(sent) == 1 and any(matches)
