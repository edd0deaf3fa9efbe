"""The public keys of an issuer: fetched on demand, and kept while the issuer is unavailable."""

import asyncio
import re
import time
from base64 import urlsafe_b64decode
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import orjson
import structlog
from joserfc.errors import JoseError
from joserfc.jwk import Key, import_key
from yarl import URL

from gateway.outgoing import HttpSession, ProxyRefusedError, open_http_session
from gateway.upstream.resilience.circuit_breaker import (
    RESET_SECONDS,
    ObservedCircuitBreaker,
)

log = structlog.get_logger()

MIN_GAP_SECONDS = 30.0
"""Between two fetches, even if a token has an unknown key id: a client can invent any number."""

FIRST_GAP_SECONDS = 1.0
"""Between two fetches while no keys are known: until one succeeds, no token can be verified."""

SOFT_AGE_SECONDS = 3000.0
"""Older keys are refreshed in the background."""

MAX_AGE_SECONDS = 3600.0
"""Older keys are used only if the issuer has just failed to return new ones, so that a withdrawn
key is not trusted for long."""

FAILURES = 3
"""Failed fetches in a row after which a token with an unknown key is rejected at once, without
waiting for an issuer that does not respond; one token per RESET_SECONDS still waits."""

MAX_RESPONSE_BYTES = 512 * 1024
MAX_KEYS = 100
RSA_BITS = range(2048, 8192 + 1)

_PUBLIC = ("kty", "kid", "use", "key_ops", "alg", "n", "e", "crv", "x", "y")
"""The members of a JWK that are read: no private ones, and no URLs of other keys."""

_TRUSTED = re.compile(
    r"(https://(\[[0-9A-Fa-f:.]+\]|[^\s\0-\x1f\x7f/?#@:\[\]]+)"
    r"|http://(localhost|127\.0\.0\.1|\[::1\]))(:\d+)?([/?][^\s\0-\x1f\x7f#]*)?"
)

FETCH_ERRORS = (aiohttp.ClientError, OSError, TimeoutError, ValueError)
"""Errors of a fetch. The text of a ValueError describes an invalid response."""


class KeysUnavailableError(Exception):
    """No keys are known, and they cannot be fetched; the text is a clause for callers."""


def trusted_url(value: str) -> str:
    """Return a URL whose responses can be trusted; raises ValueError for any other."""
    with suppress(ValueError):  # of an address or a port that cannot be
        if _TRUSTED.fullmatch(value) and urlsplit(value).port != 0:
            return value
    raise ValueError("not an https:// URL (http:// is accepted for loopback hosts only)")


def without_query(url: str) -> str:
    """Return a URL to show: a query may be a signature that gives access."""
    return re.sub(r"\?.*", "?…", url)


def issuer_url(value: str) -> str:
    """As trusted_url, without a query: the path of the discovery document is appended to it."""
    if "?" in value:
        raise ValueError("not an https:// URL without a query")
    return trusted_url(value)


class IssuerKeys:
    """The keys of one issuer.

    Concurrent lookups share one fetch; if it fails, the last good keys stay in force.
    """

    def __init__(
        self, issuer: str, jwks_url: str | None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Without a `jwks_url`, the one in the issuer's discovery document is used."""
        self._issuer = issuer
        self._jwks_url = jwks_url
        self._clock = clock
        self._keys: Mapping[str, Key] = {}
        self._fetched_at = -float("inf")
        self._tried_at = -float("inf")
        self._failed_at = -float("inf")
        self._breaker = ObservedCircuitBreaker(issuer, FAILURES, RESET_SECONDS, clock=clock)
        self._fetching: asyncio.Task[None] | None = None
        self._refusal: ProxyRefusedError | None = None

    async def find(self, key_id: str) -> Key | None:
        """As `find_known`, after fetching the keys if they are outdated."""
        if self.outdated_for(key_id):
            # It goes on without its waiters: otherwise a client that disconnects could keep the
            # keys outdated.
            await asyncio.shield(self._refresh())
        return self.find_known(key_id)

    def find_known(self, key_id: str) -> Key | None:
        """Return the key with this id, None if the issuer has no such key.

        Raises KeysUnavailableError if no keys could be fetched yet.
        """
        if not self._keys:
            cause = f": {self._refusal}" if self._refusal else ""
            raise KeysUnavailableError(f"The keys of the token's issuer cannot be fetched{cause}")
        if self._clock() - self._fetched_at > SOFT_AGE_SECONDS and self._may_fetch():
            self._refresh()
        return self._keys.get(key_id)

    def outdated_for(self, key_id: str) -> bool:
        """Return whether the keys should be fetched before this one is used."""
        now = self._clock()
        expired = (
            now - self._fetched_at > MAX_AGE_SECONDS and now - self._failed_at > MAX_AGE_SECONDS
        )
        if key_id in self._keys and not expired:
            return False
        if self._fetching is not None and not self._fetching.done():
            # A fetch is joined even within the gap: it may bring the key.
            return not self._breaker.tripped
        return self._may_fetch()

    def _refresh(self) -> asyncio.Task[None]:
        """Return the fetch in progress, or a new one."""
        if self._fetching is None or self._fetching.done():
            self._fetching = asyncio.create_task(self._fetch())
        return self._fetching

    def _may_fetch(self) -> bool:
        gap = MIN_GAP_SECONDS if self._keys else FIRST_GAP_SECONDS
        return self._clock() - self._tried_at >= gap and not self._breaker.open

    async def _fetch(self) -> None:
        self._tried_at = self._clock()
        try:
            self._keys = await fetch_keys(self._issuer, self._jwks_url)
            self._fetched_at = self._clock()
            self._failed_at = -float("inf")
            self._breaker.record_success()
        except FETCH_ERRORS as error:
            self._failed_at = self._clock()
            self._refusal = error if isinstance(error, ProxyRefusedError) else None
            self._breaker.record_failure()
            log.warning(
                "jwks refresh failed",
                issuer=self._issuer,
                cause=type(error).__qualname__,
                known=len(self._keys),
            )


async def fetch_keys(issuer: str, jwks_url: str | None) -> Mapping[str, Key]:
    """Return the keys of an issuer by their ids; raises one of FETCH_ERRORS."""
    async with open_http_session() as session:
        return _parse_keys(await _get_json(session, jwks_url or await _discover(session, issuer)))


async def _discover(session: HttpSession, issuer: str) -> str:
    found = await _get_json(session, issuer.rstrip("/") + "/.well-known/openid-configuration")
    url = found.get("jwks_uri")
    if found.get("issuer") != issuer or not isinstance(url, str):
        raise ValueError("the discovery document belongs to another issuer or has no jwks_uri")
    if issuer.startswith("https://") and not url.startswith("https://"):
        raise ValueError("the jwks_uri is not an https:// URL")
    return trusted_url(url)


async def _get_json(session: HttpSession, url: str) -> dict[str, Any]:
    body, shown = b"", without_query(url)
    # As it is written: a signature in a query is of these very bytes.
    async with session.request("GET", URL(url, encoded=url.isascii())) as response:
        if response.status != 200:  # noqa: PLR2004  no other status has a document
            raise ValueError(f"{shown} returned HTTP {response.status}")
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > MAX_RESPONSE_BYTES:
                raise ValueError(f"{shown} returned more than {MAX_RESPONSE_BYTES} bytes")
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise ValueError(f"{shown} returned invalid JSON") from None
    if not isinstance(found, dict):
        raise ValueError(f"{shown} returned no JSON object")  # noqa: TRY004  one of FETCH_ERRORS
    return found


def _parse_keys(document: dict[str, Any]) -> Mapping[str, Key]:
    """Return the keys of a JWK set that have an id and can verify signatures."""
    listed = document.get("keys")
    if not isinstance(listed, list):
        raise ValueError("the JWKS document has no list of keys")  # noqa: TRY004  one of FETCH_ERRORS
    keys = {key.kid: key for key in map(_parse_key, listed[:MAX_KEYS]) if key and key.kid}
    if not keys:
        raise ValueError("the JWKS document has no usable key")
    return keys


def _parse_key(listed: object) -> Key | None:
    if not isinstance(listed, dict):
        return None
    members = {name: listed[name] for name in _PUBLIC if name in listed}
    if members.get("kty") not in ("RSA", "EC") or members.get("use", "sig") != "sig":
        return None
    try:
        if members["kty"] == "RSA" and _bit_length(members["n"]) not in RSA_BITS:
            return None
        return import_key(members)
    except (JoseError, ValueError, TypeError, KeyError):
        return None


def _bit_length(number: str) -> int:
    return int.from_bytes(urlsafe_b64decode(number + "==")).bit_length()
