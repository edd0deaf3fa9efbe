"""ID tokens: made for whomever the control API names, and verified as STS does."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus

from joserfc.errors import ClaimError, ExpiredTokenError, InvalidKeyIdError, JoseError
from joserfc.jwt import ClaimsOption, JWTClaimsRegistry

from gateway.sandbox.issuer_keys import IssuerKeys
from gateway.sandbox.people import PEOPLE
from gateway.sandbox.problems import RefusalError
from gateway.sandbox.verification import Clock

ISSUER_PATH = "/oidc"
DEFAULT_AUDIENCE = "audience-gateway"
DEFAULT_ALGORITHM = "RS256"
DEFAULT_SECONDS = 3600

_REQUIRED: Mapping[str, ClaimsOption] = {
    name: {"essential": True} for name in ("iss", "sub", "aud", "exp", "iat")
}
_LONGEST_SUBJECT = 255


@dataclass(frozen=True, slots=True)
class TokenOrder:
    """Whom a token is for; a claim that is `None` is left out, any other replaces the usual one."""

    subject: str
    audience: str = DEFAULT_AUDIENCE
    algorithm: str = DEFAULT_ALGORITHM
    seconds: int = DEFAULT_SECONDS
    claims: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WebIdentity:
    """What a verified token says about who came."""

    subject: str
    issuer: str
    audience: str


class IdTokens:
    """Makes and verifies tokens, by the issuer's keys and the sandbox's clock."""

    def __init__(self, keys: IssuerKeys, clock: Clock) -> None:
        self._keys = keys
        self._clock = clock

    def make(self, order: TokenOrder, issuer: str) -> tuple[str, object]:
        """Give a token, and when it ends."""
        now = int(self._clock().timestamp())
        person = PEOPLE.get(order.subject)
        usual = {
            "iss": issuer,
            "sub": order.subject,
            "aud": order.audience,
            "iat": now,
            "exp": now + order.seconds,
            **(person.claims if person else {}),
        }
        merged = {**usual, **order.claims}
        claims = {name: value for name, value in merged.items() if value is not None}
        return self._keys.sign(claims, order.algorithm), claims.get("exp")

    def verify(self, token: str) -> WebIdentity:
        """Give who came, or refuse as STS does."""
        now = self._clock()
        try:
            claims = self._keys.verified(token)
            JWTClaimsRegistry(int(now.timestamp()), 0, **_REQUIRED).validate(claims)
        except ExpiredTokenError:
            raise _expired(now, claims["exp"]) from None
        except ClaimError as error:
            raise _invalid(f"{error.description} in the ID Token") from None
        except InvalidKeyIdError:
            raise _invalid(
                "Couldn't retrieve verification key from your identity provider, please reference "
                "AssumeRoleWithWebIdentity documentation for requirements"
            ) from None
        except (JoseError, ValueError, RecursionError):
            raise _invalid(
                "The ID Token provided is not a valid JWT. "
                "(You may see this error if you sent an Access Token)"
            ) from None
        return _identity(claims["sub"], claims["iss"], claims["aud"])


def _identity(subject: str, issuer: str, audience: str | list[str]) -> WebIdentity:
    # Not compared with one address: on a container network the sandbox has several names.
    if not issuer.startswith(("http://", "https://")) or not issuer.endswith(ISSUER_PATH):
        raise _invalid(f"No OpenIDConnect provider found in your account for {issuer}")
    if len(subject) > _LONGEST_SUBJECT:
        raise _invalid(f"The subject is longer than {_LONGEST_SUBJECT} characters")
    return WebIdentity(subject, issuer, audience if isinstance(audience, str) else audience[0])


def _invalid(message: str) -> RefusalError:
    return RefusalError(HTTPStatus.BAD_REQUEST, "InvalidIdentityToken", message)


def _expired(now: datetime, end: float) -> RefusalError:
    message = (
        f"Token expired: current date/time {now.timestamp():.0f} "
        f"must be before the expiration date/time {end:.0f}"
    )
    return RefusalError(HTTPStatus.BAD_REQUEST, "ExpiredTokenException", message)
