"""An issuer's public keys: fetched when they are needed, kept when it cannot be reached."""

import asyncio
import time
from base64 import urlsafe_b64decode
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp
import orjson
import structlog
from joserfc.errors import JoseError
from joserfc.jwk import Key, import_key

from gateway.auth.oidc_file import Issuer, trusted_address
from gateway.concurrency import SingleFlight

log = structlog.get_logger()

MIN_GAP_SECONDS = 30.0
"""Between two fetches, whatever tokens claim: unknown key ids are free to invent."""

FIRST_GAP_SECONDS = 1.0
"""While none are known: nobody is let in before, and the issuer may be back in a moment."""

SOFT_AGE_SECONDS = 3000.0
"""From when keys are fetched anew while they still serve: nobody waits for it."""

MAX_AGE_SECONDS = 3600.0
"""From when keys serve only if the issuer has just failed to give new ones, so that one that was
withdrawn is not trusted for long."""

FETCH_SECONDS = 5.0
MAX_ANSWER_BYTES = 512 * 1024
MAX_KEYS = 100
RSA_BITS = range(2048, 8192 + 1)

_PUBLIC = ("kty", "kid", "use", "key_ops", "alg", "n", "e", "crv", "x", "y")
"""What is read of a key. Not what is private, nor where else it says that keys are."""


FETCH_ERRORS = (aiohttp.ClientError, OSError, TimeoutError, ValueError)
"""What goes wrong in a fetch; a ValueError says what was wrong with the answer."""


class KeysUnavailableError(Exception):
    """No keys are known, and the issuer cannot be asked for any."""


class IssuerKeys:
    """The keys of one issuer.

    Concurrent needs are one fetch; a failed one leaves the last good keys in force.
    """

    def __init__(self, issuer: Issuer, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._issuer = issuer
        self._clock = clock
        self._keys: Mapping[str, Key] = {}
        self._fetched = -float("inf")
        self._tried = -float("inf")
        self._failed = -float("inf")
        self._flight: SingleFlight[None] = SingleFlight()
        self._behind: asyncio.Task[None] | None = None

    async def find(self, key_id: str) -> Key | None:
        """Return the key with this id, None if the issuer has none such.

        Raises KeysUnavailableError if it could never be asked.
        """
        now = self._clock()
        too_old = now - self._fetched > MAX_AGE_SECONDS and now - self._failed > MAX_AGE_SECONDS
        if key_id not in self._keys or too_old:
            await self._refresh()
        elif now - self._fetched > SOFT_AGE_SECONDS:
            self._refresh_behind()
        if not self._keys:
            raise KeysUnavailableError
        return self._keys.get(key_id)

    async def _refresh(self) -> None:
        # A refresh under way is joined: its answer may hold the key.
        if self._may_try() or self._flight.busy("keys"):
            await self._flight.run("keys", self._fetch)

    def _refresh_behind(self) -> None:
        if self._may_try() and (self._behind is None or self._behind.done()):
            self._behind = asyncio.create_task(self._refresh())

    def _may_try(self) -> bool:
        gap = MIN_GAP_SECONDS if self._keys else FIRST_GAP_SECONDS
        return self._clock() - self._tried >= gap

    async def _fetch(self) -> None:
        self._tried = self._clock()
        try:
            self._keys = await fetch_keys(self._issuer)
            self._fetched = self._clock()
            self._failed = -float("inf")
        except FETCH_ERRORS as error:
            self._failed = self._clock()
            log.warning(
                "issuer's keys not fetched",
                issuer=self._issuer.issuer,
                cause=type(error).__qualname__,
                known=len(self._keys),
            )


async def fetch_keys(issuer: Issuer) -> Mapping[str, Key]:
    """Ask an issuer for its keys, by their ids. Raises one of FETCH_ERRORS."""
    timeout = aiohttp.ClientTimeout(total=FETCH_SECONDS)
    async with aiohttp.ClientSession(
        timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()
    ) as session:
        url = issuer.jwks_url or await _discover(session, issuer.issuer)
        return _keys_of(await _get_json(session, url))


async def _discover(session: aiohttp.ClientSession, issuer: str) -> str:
    found = await _get_json(session, issuer.rstrip("/") + "/.well-known/openid-configuration")
    address = found.get("jwks_uri")
    if found.get("issuer") != issuer or not isinstance(address, str):
        raise ValueError("the discovery document is another issuer's")
    if issuer.startswith("https://") and not address.startswith("https://"):
        raise ValueError("the keys' address is not https://")
    return trusted_address(address)


async def _get_json(session: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    body = b""
    async with session.get(url, allow_redirects=False) as response:
        if response.status != 200:  # noqa: PLR2004  anything else holds no keys
            raise ValueError(f"{url} answered {response.status}")
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > MAX_ANSWER_BYTES:
                raise ValueError(f"{url} answered too much")
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise ValueError(f"{url} answered no JSON") from None
    if not isinstance(found, dict):
        raise ValueError(f"{url} answered no object")  # noqa: TRY004  all are one to the caller
    return found


def _keys_of(found: dict[str, Any]) -> Mapping[str, Key]:
    """Read a JWK set; what is no key to verify signatures with, or has no id, is left out."""
    listed = found.get("keys")
    if not isinstance(listed, list):
        raise ValueError("the keys' address answered no key set")  # noqa: TRY004  as above
    keys = {key.kid: key for key in map(_key_of, listed[:MAX_KEYS]) if key and key.kid}
    if not keys:
        raise ValueError("the keys' address answered no usable key")
    return keys


def _key_of(listed: object) -> Key | None:
    if not isinstance(listed, dict):
        return None
    given = {name: listed[name] for name in _PUBLIC if name in listed}
    if given.get("kty") not in ("RSA", "EC") or given.get("use", "sig") != "sig":
        return None
    try:
        if given["kty"] == "RSA" and _bits(given["n"]) not in RSA_BITS:
            return None
        return import_key(given)
    except (JoseError, ValueError, TypeError, KeyError):
        return None


def _bits(number: str) -> int:
    return int.from_bytes(urlsafe_b64decode(number + "==")).bit_length()
