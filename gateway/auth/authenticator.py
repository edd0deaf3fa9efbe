"""Who is asking: from a request's headers to a Caller. The one door of identity."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gateway.auth.aws_headers import AWS_HEADERS, caller_from_aws_headers
from gateway.auth.credentials import Caller
from gateway.auth.oidc_file import Role
from gateway.auth.sessions import Sessions
from gateway.auth.tokens import TokenVerifier, VerifiedToken
from gateway.errors import ForbiddenError, GatewayError, UnauthenticatedError

AUTHORIZATION = "authorization"

ACCEPTED = {
    "aws-headers": "the headers X-Aws-Access-Key-Id, X-Aws-Secret-Access-Key and "
    "X-Aws-Session-Token",
    "oidc": "the header Authorization: Bearer with a token of a trusted issuer",
}
"""Scheme -> how a caller uses it."""

CHALLENGES = {"aws-headers": 'Aws-Headers realm="audience-gateway"', "oidc": "Bearer"}
"""Scheme -> what RFC 9110 wants to go with a 401. The first is ours: three headers, no dialogue."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What a request says of who is asking: a caller, or why there is none."""

    caller: Caller | None
    problem: GatewayError
    """What a field that needs the caller fails with where there is none."""


@dataclass(frozen=True, slots=True)
class Oidc:
    """What the `oidc` scheme needs: who verifies tokens, and who gives sessions for them."""

    verifier: TokenVerifier
    sessions: Sessions
    region: str


@dataclass(frozen=True, slots=True)
class Authenticator:
    """Lets requests in by the schemes that are served."""

    schemes: frozenset[str]
    allow_long_term_keys: bool
    oidc: Oidc | None = None

    async def identify(self, headers: Iterable[tuple[bytes, bytes]]) -> Identity:
        """Return who is asking. `headers` are those of an ASGI scope.

        Raises UnauthenticatedError for credentials that are malformed, doubled, of two schemes at
        once, of one that is not served, or not to be believed. Says nothing of their values.
        """
        given = self._given(headers)
        if not given:
            return Identity(None, self._anonymous())
        if AUTHORIZATION in given:
            return await self._by_token(given)
        self._check_served("aws-headers")
        caller = caller_from_aws_headers(given, allow_long_term_keys=self.allow_long_term_keys)
        return Identity(caller, self._anonymous())

    @property
    def challenge(self) -> Mapping[str, str]:
        """The header that RFC 9110 wants with each 401: one challenge a scheme served."""
        served = (CHALLENGES[scheme] for scheme in sorted(self.schemes))
        return {"WWW-Authenticate": ", ".join(served)}

    async def _by_token(self, given: dict[str, str]) -> Identity:
        if len(given) > 1:
            raise UnauthenticatedError(
                "Credentials of two schemes are there at once. Accepted: one."
            )
        self._check_served("oidc")
        assert self.oidc is not None  # noqa: S101  it is served
        scheme, _, text = given[AUTHORIZATION].partition(" ")
        text = text.strip(" ")
        if scheme.lower() != "bearer" or not text:
            raise UnauthenticatedError(
                f"The Authorization header is no bearer token. {self._accepted()}"
            )
        try:
            token = await self.oidc.verifier.verify(text)
        except UnauthenticatedError:
            raise
        except GatewayError as error:
            return Identity(None, error)
        role = token.issuer.role_for(token.claims)
        if role is None:
            return Identity(
                None,
                ForbiddenError("The token's claims lead to no role. Ask who runs the gateway."),
            )
        return await self._in_role(self.oidc, token, role)

    async def _in_role(self, oidc: Oidc, token: VerifiedToken, role: Role) -> Identity:
        try:
            session = await oidc.sessions.session_for(token, role)
        except GatewayError as error:
            return Identity(None, error)
        expires_at = min(session.expires_at, token.expires_at)
        caller = Caller.from_token(session.keys, token.text, role.role_arn, oidc.region, expires_at)
        return Identity(caller, self._anonymous())

    def _given(self, headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
        given: dict[str, str] = {}
        for raw, value in headers:
            if raw == b"authorization" or raw in AWS_HEADERS:
                name = raw.decode()
                if name in given:
                    raise UnauthenticatedError(f"{name} is there twice. Accepted: once.")
                given[name] = value.decode("latin-1")
        return given

    def _check_served(self, scheme: str) -> None:
        if scheme not in self.schemes:
            raise UnauthenticatedError(
                f"This kind of credentials is not served here. {self._accepted()}"
            )

    def _accepted(self) -> str:
        return f"Accepted: {', or '.join(ACCEPTED[scheme] for scheme in sorted(self.schemes))}."

    def _anonymous(self) -> UnauthenticatedError:
        return UnauthenticatedError(f"Data needs to know who is asking. {self._accepted()}")
