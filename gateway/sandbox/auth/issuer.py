"""The OIDC issuer: its keys, its ID tokens and the documents that it publishes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from typing import Any

import orjson
from joserfc import jwt
from joserfc.errors import ClaimError, ExpiredTokenError, InvalidKeyIdError, JoseError
from joserfc.jwk import ECKey, KeySet, RSAKey
from joserfc.jwt import ClaimsOption, JWTClaimsRegistry
from starlette.requests import Request

from gateway.sandbox.api.model import ApiError
from gateway.sandbox.api.operations import ApiCall, ApiResponse, Clock, LoggedCall, json_error
from gateway.sandbox.data.accounts import ANONYMOUS, USERS
from gateway.sandbox.faults.registry import ActiveFaults

ISSUER_PATH = "/oidc"
DISCOVERY_PATH = f"{ISSUER_PATH}/.well-known/openid-configuration"
JWKS_PATH = f"{ISSUER_PATH}/jwks"
ALGORITHMS = ("RS256", "ES256")

_RSA_BITS = 2048
_MAX_SUBJECT_CHARACTERS = 255
_REQUIRED: Mapping[str, ClaimsOption] = {
    name: {"essential": True} for name in ("iss", "sub", "aud", "exp", "iat")
}


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A request for an ID token.

    `claims` replace the default ones; a claim that is None is left out.
    """

    subject: str
    audience: str = "audience-gateway"
    algorithm: str = "RS256"
    seconds: int = 3600
    claims: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WebIdentity:
    """The identity in a verified ID token."""

    subject: str
    issuer: str
    audience: str


class TokenIssuer:
    """Issues and verifies ID tokens, with one RSA and one EC key."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._keys: KeySet | None = None

    def rotate_keys(self) -> None:
        """Replace the keys, so that tokens signed with the old ones become invalid."""
        self._keys = None

    def public_keys(self) -> list[dict[str, str | list[str]]]:
        """Return the JSON Web Keys."""
        return self._current_keys().as_dict(private=False)["keys"]

    def issue(self, request: TokenRequest, issuer: str) -> tuple[str, object]:
        """Return a token and its `exp` claim."""
        now = int(self._clock().timestamp())
        user = USERS.get(request.subject)
        claims = {
            "iss": issuer,
            "sub": request.subject,
            "aud": request.audience,
            "iat": now,
            "exp": now + request.seconds,
            **(user.claims if user else {}),
            **request.claims,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        key = next(key for key in self._current_keys() if key.alg == request.algorithm)
        header = {"alg": request.algorithm, "kid": key.kid}
        return jwt.encode(header, claims, key, [request.algorithm]), claims.get("exp")

    def verify(self, token: str) -> WebIdentity:
        """Return the identity in a token.

        Raises ApiError with the code and message of STS if the token is invalid.
        """
        now = self._clock()
        # Any: claims are JSON values.
        claims: dict[str, Any] = {}
        try:
            claims = jwt.decode(token, self._current_keys(), list(ALGORITHMS)).claims
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

    def _current_keys(self) -> KeySet:
        if self._keys is None:
            # Key ids are thumbprints of the keys, so no two keys share one.
            rsa = RSAKey.generate_key(_RSA_BITS, {"use": "sig", "alg": "RS256"}, auto_kid=True)
            curve = ECKey.generate_key("P-256", {"use": "sig", "alg": "ES256"}, auto_kid=True)
            self._keys = KeySet([rsa, curve])
        return self._keys


def _identity(subject: str, issuer: str, audience: str | list[str]) -> WebIdentity:
    # Any host is accepted, because the sandbox has several names in a container network.
    if not issuer.startswith(("http://", "https://")) or not issuer.endswith(ISSUER_PATH):
        raise _invalid(f"No OpenIDConnect provider found in your account for {issuer}")
    if len(subject) > _MAX_SUBJECT_CHARACTERS:
        raise _invalid(f"The subject is longer than {_MAX_SUBJECT_CHARACTERS} characters")
    return WebIdentity(subject, issuer, audience if isinstance(audience, str) else audience[0])


def _invalid(message: str) -> ApiError:
    return ApiError(HTTPStatus.BAD_REQUEST, "InvalidIdentityToken", message)


def _expired(now: datetime, expiration: float) -> ApiError:
    message = (
        f"Token expired: current date/time {now.timestamp():.0f} "
        f"must be before the expiration date/time {expiration:.0f}"
    )
    return ApiError(HTTPStatus.BAD_REQUEST, "ExpiredTokenException", message)


class IssuerDocument:
    """Serves one document of the issuer, whose content depends on the URL of the issuer."""

    def __init__(
        self, operation: str, content: Callable[[str], object], faults: ActiveFaults
    ) -> None:
        self._operation = operation
        self._content = content
        self._faults = faults

    async def handle(self, request: Request, call: LoggedCall) -> ApiResponse:
        call.operation = self._operation

        async def respond(_call: ApiCall) -> ApiResponse:
            return ApiResponse(orjson.dumps(self._content(issuer_url(request))))

        api_call = ApiCall(self._operation, {}, ANONYMOUS, "", request.receive)
        return await self._faults.handle(api_call, respond)

    def error_response(self, error: ApiError, _call: LoggedCall) -> ApiResponse:
        return json_error(error)


def issuer_documents(issuer: TokenIssuer, faults: ActiveFaults) -> dict[str, IssuerDocument]:
    """Return the documents by path."""

    def key_set(_url: str) -> object:
        return {"keys": issuer.public_keys()}

    return {
        DISCOVERY_PATH: IssuerDocument("GetOpenIdConfiguration", _configuration, faults),
        JWKS_PATH: IssuerDocument("GetJwks", key_set, faults),
    }


def issuer_url(request: Request) -> str:
    """Return the URL of the issuer under the host name of the request."""
    return f"{request.scope['scheme']}://{request.headers.get('host') or 'localhost'}{ISSUER_PATH}"


def _configuration(url: str) -> object:
    return {
        "issuer": url,
        "jwks_uri": url.removesuffix(ISSUER_PATH) + JWKS_PATH,
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": list(ALGORITHMS),
        "claims_supported": ["iss", "sub", "aud", "iat", "exp", "email", "groups"],
    }
