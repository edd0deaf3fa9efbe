"""A real issuer over HTTP with real keys, which counts who asks it and does as it is told."""

import contextlib
import json
import threading
from asyncio import to_thread
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from time import monotonic
from typing import Any

from joserfc.jwk import ECKey, Key, RSAKey
from joserfc.jws import JWSRegistry
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from gateway.auth.jwks import IssuerKeys
from gateway.auth.oidc import Issuer, VerifiedToken, read_oidc_file
from gateway.sandbox import ROLE_ARNS
from tests.serving import serve

NOW = 1_800_000_000.0
AUDIENCE = "gateway"
ROLE = "arn:aws:iam::111122223333:role/reader"
MISSING = object()
"""Stands for a claim that is not there."""

DISCOVERY = "/.well-known/openid-configuration"
JWKS = "/jwks"


@cache
def rsa(key_id: str = "rsa", bits: int = 2048) -> RSAKey:
    """Give the RSA key of this name."""
    return RSAKey.generate_key(bits, {"kid": key_id, "use": "sig"})


@cache
def curve(key_id: str = "curve", name: str = "P-256") -> ECKey:
    """Give the elliptic curve key of this name."""
    return ECKey.generate_key(name, {"kid": key_id, "use": "sig"})


def public(key: Key) -> dict[str, Any]:
    """Give what an issuer publishes of a key."""
    return dict(key.as_dict(private=False))


def segment(value: object) -> str:
    """Encode one part of a token; bytes are taken as they are."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def token(claims: object, key: Key, header: object | None = None, *, sign: str = "") -> str:
    """Sign what the header and the claims say, however odd.

    `sign` is the algorithm that is really used, if it is not the one that the header says.
    """
    said = {"alg": _usual(key), "kid": key.kid} if header is None else header
    algorithm = JWSRegistry.algorithms[sign or _usual(key)]
    text = f"{segment(said)}.{segment(claims)}"
    return f"{text}.{segment(algorithm.sign(text.encode(), key))}"


def _usual(key: Key) -> str:
    return {"RSA": "RS256", "EC": "ES256"}[key.key_type]


def claims_of(issuer: str, **changed: object) -> dict[str, Any]:
    """Give the claims of a good token, changed; those that are MISSING are left out."""
    usual = {"iss": issuer, "sub": "ada", "aud": AUDIENCE, "iat": NOW, "exp": NOW + 3600}
    return {name: value for name, value in {**usual, **changed}.items() if value is not MISSING}


def trusted(url: str, **more: Any) -> Issuer:
    """Trust an issuer for our audience, with a role for everybody."""
    given = {"audiences": [AUDIENCE], "role": [{"match": {}, "role_arn": ROLE}], **more}
    return Issuer(issuer=url, **given)


def keys_at(url: str, clock: Callable[[], float] = monotonic, **more: Any) -> IssuerKeys:
    """Give the keys of an issuer, none of them fetched."""
    issuer = trusted(url, **more)
    return IssuerKeys(issuer.issuer, issuer.jwks_url, clock=clock)


def verified(subject: str = "ada", text: str = "a.b.c", **claims: Any) -> VerifiedToken:
    """Make a token that has been verified already."""
    issuer = trusted("https://issuer.example")
    told = claims_of(issuer.issuer, sub=subject, **claims)
    return VerifiedToken(issuer, told, told["exp"], text)


class LiveIssuer:
    """An ASGI application: an issuer's discovery document and its keys.

    `answer`, if set, is asked first, with the path; None from it means the usual page. While
    `gate` is clear, nobody is answered.
    """

    def __init__(self) -> None:
        self.url = ""
        self.gate = threading.Event()
        self.arrived = threading.Event()
        self.reset()

    def reset(self) -> None:
        """Be as at first."""
        self.keys: list[Mapping[str, Any]] = [public(rsa()), public(curve())]
        self.asked: list[str] = []
        self.headers: list[Mapping[bytes, bytes]] = []
        self.answer: Callable[[str], Response | None] = lambda _path: None
        self.gate.set()
        self.arrived.clear()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, when the gate is open."""
        assert scope["type"] == "http"
        path = scope["path"]
        self.asked.append(path)
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
        """How often its keys were asked for."""
        return self.asked.count(JWKS)

    def go_down(self) -> None:
        """Fail from now on."""
        self.answer = lambda _path: Response(status_code=503)

    def come_up(self) -> None:
        """Answer again."""
        self.answer = lambda _path: None


@contextlib.contextmanager
def live_issuer() -> Iterator[LiveIssuer]:
    """Serve an issuer of one's own."""
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
    """Write an OIDC file that trusts a sandbox, with a role for each of these subjects."""
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
