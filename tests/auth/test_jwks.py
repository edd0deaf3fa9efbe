"""Keys of an issuer: few fetches, kept through failures, dropped when they are withdrawn."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import OctKey, OKPKey
from starlette.responses import (
    HTMLResponse,
    JSONResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from structlog.testing import capture_logs

from gateway import outgoing
from gateway.auth import jwks
from gateway.auth.authenticator import Authenticator, Oidc
from gateway.auth.jwks import (
    FAILURES,
    FIRST_GAP_SECONDS,
    MAX_AGE_SECONDS,
    MAX_KEYS,
    MAX_RESPONSE_BYTES,
    MIN_GAP_SECONDS,
    SOFT_AGE_SECONDS,
    IssuerKeys,
    KeysUnavailableError,
)
from gateway.auth.oidc import TokenVerifier
from gateway.auth.sts import SessionCache, StsClient
from gateway.errors import GatewayError, UnauthenticatedError, UpstreamUnavailableError
from gateway.upstream.resilience.circuit_breaker import RESET_SECONDS
from gateway.upstream.resilience.rate_limit import CallerRateLimiter
from tests.auth.issuers import (
    DISCOVERY,
    JWKS,
    LiveIssuer,
    claims_of,
    curve,
    identify,
    keys_at,
    live_issuer,
    public,
    rsa,
    token,
    trusted,
)
from tests.clock import Clock

UNREACHABLE = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def shared_issuer() -> Iterator[LiveIssuer]:
    with live_issuer() as issuer:
        yield issuer


@pytest.fixture
def issuer(shared_issuer: LiveIssuer) -> Iterator[LiveIssuer]:
    shared_issuer.reset()
    yield shared_issuer
    shared_issuer.reset()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keys(issuer: LiveIssuer, clock: Clock) -> IssuerKeys:
    return keys_at(issuer.url, clock)


async def current_fetch(keys: IssuerKeys) -> None:
    assert keys._fetching is not None
    await keys._fetching


async def give_up_lookup(issuer: LiveIssuer, keys: IssuerKeys) -> None:
    """Cancel a lookup as soon as its fetch has reached the issuer."""
    issuer.arrived.clear()
    lookup = asyncio.create_task(keys.find("rsa"))
    await asyncio.to_thread(issuer.arrived.wait)
    lookup.cancel()
    await asyncio.gather(lookup, return_exceptions=True)


async def test_keys_are_found_by_discovery(issuer: LiveIssuer, keys: IssuerKeys) -> None:
    """One fetch returns both kinds of key."""
    found = await keys.find("rsa"), await keys.find("curve")

    assert [key and key.key_type for key in found] == ["RSA", "EC"]
    assert [key and key.is_private for key in found] == [False, False]
    assert issuer.requested_paths == [DISCOVERY, JWKS]


async def test_a_configured_jwks_url_needs_no_discovery(issuer: LiveIssuer) -> None:
    keys = IssuerKeys(UNREACHABLE, jwks_url=issuer.url + JWKS)

    assert await keys.find("rsa")
    assert issuer.requested_paths == [JWKS]


@pytest.mark.parametrize("query", ["appid=1", "a=%2F&b=c+d"])
async def test_the_address_of_the_keys_may_have_a_query(issuer: LiveIssuer, query: str) -> None:
    """It may be the configured one, or the one in the discovery document."""
    address = f"{issuer.url}{JWKS}?{query}"
    page = {"issuer": issuer.url, "jwks_uri": address}
    issuer.answer = lambda path: JSONResponse(page) if path == DISCOVERY else None

    assert await keys_at(issuer.url, jwks_url=address).find("rsa")
    assert await keys_at(issuer.url).find("rsa")
    assert issuer.queries == [query, "", query]


async def test_discovery_keeps_the_path_of_an_issuer(issuer: LiveIssuer) -> None:
    """A trailing slash belongs to the issuer's name, but is not repeated in the URL."""
    for name in (f"{issuer.url}/realms/x", f"{issuer.url}/realms/y/"):
        page = {"issuer": name, "jwks_uri": issuer.url + JWKS}
        issuer.answer = lambda path, page=page: (  # type: ignore[misc]  # a default binds it
            JSONResponse(page) if path.endswith(DISCOVERY) else None
        )

        assert await keys_at(name).find("rsa")
    assert [p for p in issuer.requested_paths if p != JWKS] == [
        f"/realms/{name}{DISCOVERY}" for name in ("x", "y")
    ]


async def test_concurrent_lookups_are_one_fetch(issuer: LiveIssuer, keys: IssuerKeys) -> None:
    found = await asyncio.gather(*(keys.find("rsa" if n % 2 else "curve") for n in range(200)))

    assert all(found)
    assert issuer.requested_paths == [DISCOVERY, JWKS]


async def test_a_lookup_joins_a_fetch_in_progress(issuer: LiveIssuer, keys: IssuerKeys) -> None:
    """It joins one even when it is too soon for another fetch."""
    issuer.gate.clear()
    first = asyncio.create_task(keys.find("rsa"))
    await asyncio.to_thread(issuer.arrived.wait)
    second = asyncio.create_task(keys.find("curve"))
    await asyncio.sleep(0)  # it has started
    issuer.gate.set()

    assert all(await asyncio.gather(first, second))
    assert issuer.fetches == 1


async def test_a_compressed_response_is_read(issuer: LiveIssuer, keys: IssuerKeys) -> None:
    packed = Response(
        gzip.compress(orjson.dumps({"keys": [public(curve())]})),
        headers={"Content-Encoding": "gzip"},
    )
    issuer.answer = lambda path: packed if path == JWKS else None

    assert await keys.find("curve")


async def test_unknown_key_ids_cause_no_fetch(issuer: LiveIssuer, keys: IssuerKeys) -> None:
    """A thousand at once and a thousand in turn cause none; known keys stay valid."""
    at_once = await asyncio.gather(*(keys.find(f"canary {number}") for number in range(1000)))
    in_turn = [await keys.find(f"other {number}") for number in range(1000)]

    assert set(at_once) | set(in_turn) == {None}
    assert issuer.fetches == 1
    assert await keys.find("rsa")
    assert issuer.fetches == 1


async def test_tokens_with_unknown_key_ids_cause_one_fetch(issuer: LiveIssuer) -> None:
    verifier = TokenVerifier({issuer.url: trusted(issuer.url)}, clock=Clock())
    claims = claims_of(issuer.url)
    await verifier.verify(token(claims, curve()))
    for number in range(1000):
        with pytest.raises(UnauthenticatedError):
            await verifier.verify(token(claims, curve(), {"alg": "ES256", "kid": f"{number}"}))

    assert issuer.fetches <= 2


async def test_a_rotated_key_is_found_after_the_gap(
    issuer: LiveIssuer, keys: IssuerKeys, clock: Clock
) -> None:
    await keys.find("rsa")
    issuer.keys = [public(rsa("new"))]
    clock.now += MIN_GAP_SECONDS - 1
    assert await keys.find("new") is None

    clock.now += 1
    assert await keys.find("new")
    assert await keys.find("rsa") is None
    assert issuer.fetches == 2


async def test_known_keys_stay_valid_while_the_issuer_is_down(
    issuer: LiveIssuer, keys: IssuerKeys, clock: Clock
) -> None:
    """Unknown ids cause one attempt per gap."""
    await keys.find("rsa")
    issuer.go_down()
    for _ in range(200):
        clock.now += MIN_GAP_SECONDS
        assert await keys.find("unknown") is None
        assert await keys.find("unknown") is None
        assert await keys.find("rsa")

    assert clock.now > SOFT_AGE_SECONDS + MAX_AGE_SECONDS
    assert len(issuer.requested_paths) == 2 + 200


async def test_a_first_fetch_that_failed_is_retried_after_the_first_gap(
    issuer: LiveIssuer, keys: IssuerKeys, clock: Clock
) -> None:
    issuer.go_down()
    for _ in range(3):
        with pytest.raises(KeysUnavailableError):
            await keys.find("rsa")
    assert len(issuer.requested_paths) == 1

    issuer.come_up()
    with pytest.raises(KeysUnavailableError):
        await keys.find("rsa")
    clock.now += FIRST_GAP_SECONDS
    assert await keys.find("rsa")


async def test_lookups_do_not_wait_for_an_issuer_that_keeps_failing(
    issuer: LiveIssuer, keys: IssuerKeys, clock: Clock
) -> None:
    """One probe at a time waits for it, and a success closes the circuit."""
    issuer.go_down()
    for _ in range(FAILURES):
        with pytest.raises(KeysUnavailableError):
            await keys.find("rsa")
        clock.now += FIRST_GAP_SECONDS
    clock.now += RESET_SECONDS
    issuer.gate.clear()
    issuer.arrived.clear()
    probe = asyncio.create_task(keys.find("rsa"))
    await asyncio.to_thread(issuer.arrived.wait)
    for _ in range(100):
        with pytest.raises(KeysUnavailableError):
            await keys.find("rsa")
    waited = not probe.done()
    issuer.come_up()
    issuer.gate.set()

    assert await probe
    assert waited
    assert await keys.find("curve")


async def test_an_issuer_that_hangs_opens_the_circuit_too(
    issuer: LiveIssuer, keys: IssuerKeys, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests may give up before a fetch does."""
    monkeypatch.setattr(outgoing, "RESPONSE_SECONDS", 0.2)
    issuer.gate.clear()
    for _ in range(FAILURES):
        await give_up_lookup(issuer, keys)
        await current_fetch(keys)
        clock.now += FIRST_GAP_SECONDS
    fetches = len(issuer.requested_paths)
    with pytest.raises(KeysUnavailableError):
        await keys.find("rsa")

    assert len(issuer.requested_paths) == fetches == FAILURES


async def test_a_fetch_goes_on_without_the_request_that_started_it(
    issuer: LiveIssuer, keys: IssuerKeys, clock: Clock
) -> None:
    """Otherwise a client that disconnects could go on with a key that was withdrawn."""
    await keys.find("rsa")
    issuer.keys = [public(curve())]
    clock.now += MAX_AGE_SECONDS + 1
    issuer.gate.clear()
    await give_up_lookup(issuer, keys)
    issuer.gate.set()

    assert await keys.find("rsa") is None


async def test_without_keys_the_error_is_not_a_401() -> None:
    verifier = TokenVerifier({UNREACHABLE: trusted(UNREACHABLE)}, clock=Clock())
    text = token(claims_of(UNREACHABLE), curve())
    with pytest.raises(UpstreamUnavailableError):
        await verifier.verify(text)

    sessions = SessionCache(StsClient(None, "us-east-1"), CallerRateLimiter(0))
    oidc = Oidc(verifier, sessions)
    authenticator = Authenticator(frozenset({"oidc"}), allow_long_term_keys=False, oidc=oidc)
    identity = await identify(authenticator, [(b"authorization", f"Bearer {text}".encode())])
    assert isinstance(identity, GatewayError)
    assert identity.code == "UPSTREAM_UNAVAILABLE"


async def test_keys_are_refreshed_in_the_background_after_the_soft_age(
    issuer: LiveIssuer, keys: IssuerKeys, clock: Clock
) -> None:
    await keys.find("rsa")
    issuer.keys = [public(curve())]
    clock.now += SOFT_AGE_SECONDS + 1
    issuer.gate.clear()
    assert all([await keys.find("rsa") for _ in range(100)])

    issuer.gate.set()
    await current_fetch(keys)
    assert await keys.find("rsa") is None
    assert await keys.find("curve")
    assert issuer.fetches == 2


async def test_keys_beyond_their_maximum_age_are_refreshed_first(
    issuer: LiveIssuer, keys: IssuerKeys, clock: Clock
) -> None:
    """A key may have been withdrawn in the meantime."""
    await keys.find("rsa")
    issuer.keys = [public(curve())]
    clock.now += MAX_AGE_SECONDS + 1

    assert await asyncio.gather(*(keys.find("rsa") for _ in range(100))) == [None] * 100
    assert issuer.fetches == 2


async def test_a_withdrawn_key_is_not_trusted_beyond_the_maximum_age(
    issuer: LiveIssuer, keys: IssuerKeys, clock: Clock
) -> None:
    await keys.find("rsa")
    issuer.keys = [public(curve())]
    ends = clock.now + MAX_AGE_SECONDS
    while clock.now <= ends:
        await keys.find("rsa")
        clock.now += 700

    assert await keys.find("rsa") is None


async def test_a_withdrawn_key_invalidates_verified_tokens(
    issuer: LiveIssuer, clock: Clock
) -> None:
    verifier = TokenVerifier(
        {issuer.url: trusted(issuer.url)},
        clock=Clock(),
        keys_of=lambda trust: keys_at(trust.issuer, clock),
    )
    text = token(claims_of(issuer.url, exp=1e12), rsa())
    await verifier.verify(text)
    issuer.keys = [public(curve())]
    clock.now += MAX_AGE_SECONDS - 1
    await verifier.verify(text)
    clock.now += 2

    with pytest.raises(UnauthenticatedError, match="does not publish"):
        await verifier.verify(text)


async def test_old_keys_are_used_after_a_failed_refresh(
    issuer: LiveIssuer, keys: IssuerKeys, clock: Clock
) -> None:
    """There is one more attempt per gap, in the background, until the issuer returns new keys."""
    await keys.find("rsa")
    issuer.go_down()
    clock.now += MAX_AGE_SECONDS + 1
    assert await keys.find("rsa")
    assert len(issuer.requested_paths) == 3

    issuer.come_up()
    issuer.keys = [public(curve())]
    issuer.gate.clear()
    assert all([await keys.find("rsa") for _ in range(100)])
    clock.now += MIN_GAP_SECONDS
    assert all([await keys.find("rsa") for _ in range(100)])
    issuer.gate.set()
    await current_fetch(keys)
    assert await keys.find("rsa") is None
    assert issuer.fetches == 2


async def test_a_fetch_has_a_timeout(
    issuer: LiveIssuer, keys: IssuerKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outgoing, "RESPONSE_SECONDS", 0.1)
    issuer.gate.clear()

    with pytest.raises(KeysUnavailableError):
        await keys.find("rsa")


async def test_an_unreachable_issuer_has_no_keys() -> None:
    with pytest.raises(KeysUnavailableError):
        await keys_at(UNREACHABLE).find("rsa")


INVALID_RESPONSES: dict[str, Response] = {
    "HTML": HTMLResponse("<!doctype html><title>Sign in</title>"),
    "empty": Response(b""),
    "a list": JSONResponse([]),
    "a text": JSONResponse("x"),
    "null": JSONResponse(None),
    "truncated": Response(b'{"keys": [', media_type="application/json"),
    "not UTF-8": Response(b'{"keys": "\xff"}'),
    "NaN": Response(b'{"keys": NaN}'),
    "a deep document": Response(b"[" * 100_000),
    "404": Response(b"{}", 404),
    "500": Response(b"{}", 500),
    "204": Response(status_code=204),
    "too large": Response(b" " * (MAX_RESPONSE_BYTES + 1) + b"{}"),
    "no keys": JSONResponse({}),
    "keys that are null": JSONResponse({"keys": None}),
    "keys that are an object": JSONResponse({"keys": {"rsa": public(rsa())}}),
    "an empty list of keys": JSONResponse({"keys": []}),
    "decompression bomb": Response(
        gzip.compress(b'{"keys": []}' + b" " * 100_000_000),
        headers={"Content-Encoding": "gzip"},
    ),
}


@pytest.mark.parametrize("bad", INVALID_RESPONSES.values(), ids=INVALID_RESPONSES)
@pytest.mark.parametrize("path", [DISCOVERY, JWKS], ids=["discovery", "keys"])
async def test_an_invalid_response_leaves_the_keys_unchanged(
    issuer: LiveIssuer, clock: Clock, bad: Response, path: str
) -> None:
    """Before the first good fetch there are none; after it, the last good ones remain."""
    keys = keys_at(issuer.url, clock)
    issuer.answer = lambda requested: bad if requested == path else None
    with pytest.raises(KeysUnavailableError):
        await keys.find("rsa")

    issuer.come_up()
    clock.now += MIN_GAP_SECONDS
    assert await keys.find("rsa")
    issuer.answer = lambda requested: bad if requested == path else None
    clock.now += MAX_AGE_SECONDS + 1
    assert await keys.find("rsa")


async def test_an_endless_response_is_aborted(issuer: LiveIssuer) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 65536
            await asyncio.sleep(0)  # lets the server notice the disconnect

    issuer.answer = lambda path: StreamingResponse(endless()) if path == JWKS else None
    with capture_logs() as logs, pytest.raises(KeysUnavailableError):
        await keys_at(issuer.url).find("rsa")

    assert [line["cause"] for line in logs] == ["ValueError"]


@pytest.mark.parametrize("path", [DISCOVERY, JWKS])
@pytest.mark.parametrize("status", [302, 308])
async def test_a_redirect_is_not_followed(issuer: LiveIssuer, path: str, status: int) -> None:
    with live_issuer() as other:
        issuer.answer = lambda requested: (
            RedirectResponse(other.url + path, status) if requested == path else None
        )
        with pytest.raises(KeysUnavailableError):
            await keys_at(issuer.url).find("rsa")

        assert other.requested_paths == []


@pytest.mark.parametrize(
    "changed",
    [
        {"issuer": "https://other.example"},
        {"issuer": None},
        {"issuer": ["http"]},
        {"jwks_uri": None},
        {"jwks_uri": 7},
        {"jwks_uri": ""},
        {"jwks_uri": "/jwks"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": "ftp://127.0.0.1/jwks"},
        {"jwks_uri": "http://169.254.169.254/jwks"},
        {"jwks_uri": "http://issuer.example/jwks"},
        {"jwks_uri": "https://["},
        {"jwks_uri": "https://user:pass@issuer.example/"},
        {"jwks_uri": "https://127.0.0.1:9/\n"},
        {"jwks_uri": "http://127.1:{port}/jwks"},
        {"jwks_uri": "http://0.0.0.0:{port}/jwks"},
        {"jwks_uri": "http://canary@127.0.0.1:{port}/jwks"},
        {"jwks_uri": "HTTP://127.0.0.1:{port}/jwks"},
    ],
)
async def test_a_discovery_document_with_an_untrusted_issuer_or_url_is_refused(
    issuer: LiveIssuer, changed: dict[str, Any]
) -> None:
    document = {"issuer": issuer.url, "jwks_uri": issuer.url + JWKS, **changed}
    if isinstance(document["jwks_uri"], str):
        document["jwks_uri"] = document["jwks_uri"].replace("{port}", issuer.url.rpartition(":")[2])
    issuer.answer = lambda path: JSONResponse(document) if path == DISCOVERY else None
    with pytest.raises(KeysUnavailableError):
        await keys_at(issuer.url).find("rsa")

    assert issuer.requested_paths == [DISCOVERY]


async def test_no_cookies_and_no_netrc_credentials_are_sent(
    issuer: LiveIssuer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home = tmp_path / ".netrc"
    home.write_text("machine 127.0.0.1 login canary password canary\n", encoding="utf-8")
    home.chmod(0o600)
    monkeypatch.setenv("NETRC", str(home))
    monkeypatch.setenv("HOME", str(tmp_path))
    document = {"issuer": issuer.url, "jwks_uri": issuer.url + JWKS, "keys": [public(curve())]}
    issuer.answer = lambda _: JSONResponse(document, headers={"Set-Cookie": "canary=1"})

    assert await keys_at(issuer.url).find("curve")
    assert len(issuer.headers) == 2
    assert not [sent for sent in issuer.headers if {b"cookie", b"authorization"} & sent.keys()]


UNUSABLE: dict[str, Any] = {
    "no object": "rsa",
    "nothing": {},
    "without an id": {n: v for n, v in public(rsa()).items() if n != "kid"},
    "with an empty id": {**public(rsa()), "kid": ""},
    "with a number as id": {**public(rsa()), "kid": 7},
    "for encryption": {**public(rsa()), "use": "enc"},
    "for both": {**public(rsa()), "use": ["sig", "enc"]},
    "for nothing": {**public(rsa()), "use": None},
    "a secret": OctKey.generate_key(256, {"kid": "rsa"}).as_dict(private=True),
    "a secret called RSA": {"kty": "RSA", "kid": "rsa", "k": "c2VjcmV0"},
    "of an unknown kind": {"kty": "AKP", "kid": "rsa", "pub": "x"},
    "of a list of kinds": {**public(rsa()), "kty": ["RSA"]},
    "of a kind that STS does not support": OKPKey.generate_key("Ed25519", {"kid": "rsa"}).as_dict(
        private=False
    ),
    "without a modulus": {"kty": "RSA", "kid": "rsa", "e": "AQAB"},
    "without an exponent": {**public(rsa()), "e": None},
    "with a modulus that is a number": {**public(rsa()), "n": 7},
    "with a modulus that is no base64": {**public(rsa()), "n": "é" * 400},
    "with an exponent of 1": {**public(rsa()), "e": "AQ"},
    "with an even exponent": {**public(rsa()), "e": "Ag"},
    "with an exponent as long": {**public(rsa()), "e": public(rsa())["n"]},
    "too short": {**public(rsa()), "n": public(rsa())["n"][:300]},
    "too short, written long": {**public(rsa()), "n": "A" * 100 + public(rsa())["n"][:300]},
    "too long": {**public(rsa()), "n": "_" * 1400},
    "a point off the curve": {**public(curve()), "kid": "rsa", "x": "AAAA"},
    "on no curve": {**public(curve()), "kid": "rsa", "crv": "P-1"},
}


@pytest.mark.parametrize("listed", UNUSABLE.values(), ids=UNUSABLE)
async def test_an_unusable_key_is_ignored(issuer: LiveIssuer, listed: Any) -> None:
    """The other keys of the document are used."""
    issuer.keys = [listed, public(curve())]
    keys = keys_at(issuer.url)

    assert await keys.find("curve")
    assert list(keys._keys) == ["curve"]


async def test_the_private_part_of_a_key_is_ignored(issuer: LiveIssuer) -> None:
    """Its certificates and URLs are ignored, too."""
    issuer.keys = [{**rsa().as_dict(private=True), "x5u": 7, "x5c": "x", "oth": []}]
    key = await keys_at(issuer.url).find("rsa")

    assert key is not None
    assert not key.is_private


async def test_the_number_of_keys_is_limited(issuer: LiveIssuer) -> None:
    issuer.keys = [{**public(curve()), "kid": f"{number}"} for number in range(MAX_KEYS + 50)]
    keys = keys_at(issuer.url)

    assert await keys.find(f"{MAX_KEYS - 1}")
    assert await keys.find(f"{MAX_KEYS}") is None
    assert len(keys._keys) == MAX_KEYS


members = st.sampled_from(
    ["kty", "kid", "use", "key_ops", "alg", "n", "e", "crv", "x", "y", "d", "p", "x5c", "x5u"]
)
values = (
    st.sampled_from(["RSA", "EC", "sig", "RS256", "P-256", "AQAB", "AA", "", "é", "verify"])
    | st.sampled_from([*public(rsa()).values(), *public(curve()).values()])
    | st.none()
    | st.booleans()
    | st.integers(-1, 2**40)
    | st.lists(st.sampled_from(["verify", "sign", "x", 1, None]), max_size=2)
    | st.dictionaries(st.text(max_size=2), st.text(max_size=2), max_size=1)
)


@given(
    base=st.sampled_from([{}, public(rsa()), public(curve())]),
    changed=st.dictionaries(members, values, max_size=4),
)
def test_any_jwk_is_a_public_key_or_none(base: dict[str, Any], changed: dict[str, Any]) -> None:
    key = jwks._parse_key({**base, **changed})

    assert key is None or (key.key_type in {"RSA", "EC"} and not key.is_private)
