"""Keys, tokens, OIDC files, and a live issuer with controlled responses and a log of requests."""

import contextlib
import json
import threading
from asyncio import to_thread
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from time import monotonic
from typing import Any

from joserfc.jwk import ECKey, Key, RSAKey
from joserfc.jws import JWSRegistry
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from gateway.auth.authenticator import Authenticator, BearerClaim, Identity
from gateway.auth.jwks import IssuerKeys
from gateway.auth.oidc import VerifiedToken
from gateway.auth.oidc_file import Issuer, read_oidc_file
from gateway.sandbox import ROLE_ARNS
from tests.gateways import Gateway, Sandbox, gateway_over
from tests.serving import serve

NOW = 1_800_000_000.0
AUDIENCE = "gateway"
ROLE = "arn:aws:iam::111122223333:role/reader"
MISSING = object()
"""Leaves a claim out."""

DISCOVERY = "/.well-known/openid-configuration"
JWKS = "/jwks"


@cache
def rsa(key_id: str = "rsa", bits: int = 2048) -> RSAKey:
    return RSAKey.generate_key(bits, {"kid": key_id, "use": "sig"})


@cache
def curve(key_id: str = "curve", name: str = "P-256") -> ECKey:
    return ECKey.generate_key(name, {"kid": key_id, "use": "sig"})


def public(key: Key) -> dict[str, Any]:
    """Return the key as an issuer publishes it."""
    return dict(key.as_dict(private=False))


def segment(value: object) -> str:
    """Encode one part of a token; bytes are not encoded as JSON first."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def token(claims: object, key: Key, header: object | None = None, *, sign: str = "") -> str:
    """Sign any header and claims, by the algorithm `sign` whatever the header says."""
    chosen = {"alg": _usual(key), "kid": key.kid} if header is None else header
    algorithm = JWSRegistry.algorithms[sign or _usual(key)]
    text = f"{segment(chosen)}.{segment(claims)}"
    return f"{text}.{segment(algorithm.sign(text.encode(), key))}"


def _usual(key: Key) -> str:
    return {"RSA": "RS256", "EC": "ES256"}[key.key_type]


def claims_of(issuer: str, **changed: object) -> dict[str, Any]:
    """Return the claims of a valid token with these changes."""
    usual = {"iss": issuer, "sub": "ada", "aud": AUDIENCE, "iat": NOW, "exp": NOW + 3600}
    return {name: value for name, value in {**usual, **changed}.items() if value is not MISSING}


def trusted(url: str, **more: Any) -> Issuer:
    """Return an issuer with one role that any claims match."""
    given = {"audiences": [AUDIENCE], "role": [{"match": {}, "role_arn": ROLE}], **more}
    return Issuer(issuer=url, **given)


def keys_at(url: str, clock: Callable[[], float] = monotonic, **more: Any) -> IssuerKeys:
    issuer = trusted(url, **more)
    return IssuerKeys(issuer.issuer, issuer.jwks_url, clock=clock)


def verified(subject: str = "ada", text: str = "a.b.c", **claims: Any) -> VerifiedToken:
    issuer = trusted("https://issuer.example")
    all_claims = claims_of(issuer.issuer, sub=subject, **claims)
    return as_verified(issuer, all_claims, text)


def as_verified(issuer: Issuer, claims: Mapping[str, Any], text: str) -> VerifiedToken:
    """Return a token with one audience as if it had been verified."""
    return VerifiedToken(
        issuer=issuer,
        subject=claims["sub"],
        audiences=frozenset({claims["aud"]}),
        role=issuer.role_for(claims),
        expires_at=claims["exp"],
        text=text,
    )


async def identify(
    authenticator: Authenticator, headers: Iterable[tuple[bytes, bytes]]
) -> Identity:
    """Identify a request as the endpoint does, without limits."""

    async def no_limit(_: bytes) -> None:
        pass

    claim = authenticator.read(headers)
    if isinstance(claim, BearerClaim):
        return await authenticator.identify(claim, no_limit)
    return claim


class LiveIssuer:
    """An ASGI application: an issuer's discovery document and its keys.

    `answer` may return the response to a path, or None for the usual one. While `gate` is clear,
    there is no response.
    """

    def __init__(self) -> None:
        self.url = ""
        self.gate = threading.Event()
        self.arrived = threading.Event()
        self.reset()

    def reset(self) -> None:
        self.keys: list[Mapping[str, Any]] = [public(rsa()), public(curve())]
        self.requested_paths: list[str] = []
        self.queries: list[str] = []
        self.headers: list[Mapping[bytes, bytes]] = []
        self.answer: Callable[[str], Response | None] = lambda _path: None
        self.gate.set()
        self.arrived.clear()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        path = scope["path"]
        self.requested_paths.append(path)
        self.queries.append(scope["query_string"].decode())
        self.headers.append(dict(scope["headers"]))
        self.arrived.set()
        if not self.gate.is_set():
            await to_thread(self.gate.wait)
        response = self.answer(path) or JSONResponse(self._page(path))
        await response(scope, receive, send)

    def _page(self, path: str) -> object:
        if path == JWKS:
            return {"keys": self.keys}
        return {"issuer": self.url, "jwks_uri": self.url + JWKS}

    @property
    def fetches(self) -> int:
        return self.requested_paths.count(JWKS)

    def go_down(self) -> None:
        self.answer = lambda _path: Response(status_code=503)

    def come_up(self) -> None:
        self.answer = lambda _path: None


@contextlib.contextmanager
def live_issuer() -> Iterator[LiveIssuer]:
    issuer = LiveIssuer()
    with serve(issuer) as url:
        issuer.url = url
        try:
            yield issuer
        finally:
            issuer.gate.set()


SANDBOX_FILE = """
[[issuer]]
issuer = "{url}/oidc"
audiences = ["audience-gateway", "another-audience"]
"""
SANDBOX_ROLE = """
[[issuer.role]]
match = {{ sub = "{subject}" }}
role_arn = "{arn}"
session_seconds = {seconds}
read_only = {read_only}
"""


def sandbox_file(
    folder: Path,
    url: str,
    roles: Mapping[str, str] = ROLE_ARNS,
    *,
    seconds: int = 3600,
    read_only: bool = True,
) -> Path:
    """Write an OIDC file that trusts the sandbox's issuer, with a role for each subject."""
    path = folder / "oidc.toml"
    listed = "".join(
        SANDBOX_ROLE.format(
            subject=subject, arn=arn, seconds=seconds, read_only=str(read_only).lower()
        )
        for subject, arn in roles.items()
    )
    path.write_text(SANDBOX_FILE.format(url=url) + listed, encoding="utf-8")
    read_oidc_file(path)
    return path


def oidc_gateway(
    sandbox: Sandbox, folder: Path, roles: Mapping[str, str] = ROLE_ARNS, **settings: Any
) -> AbstractContextManager[Gateway]:
    """Give a gateway that accepts the sandbox's tokens, with a role for each subject."""
    given = {
        "callers": {"aws-headers", "oidc"},
        "oidc_file": sandbox_file(folder, sandbox.url, roles),
        "sts_url": sandbox.url,
        "cache_seconds": 60,
        **settings,
    }
    return gateway_over(sandbox, **given)
