"""An issuer's keys: asked for seldom, kept through its failures, let go of when it lets go."""

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

from gateway.auth import jwks
from gateway.auth.authenticator import Authenticator, Oidc
from gateway.auth.jwks import (
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
from tests.auth.issuers import (
    DISCOVERY,
    JWKS,
    LiveIssuer,
    claims_of,
    curve,
    keys_at,
    live_issuer,
    public,
    rsa,
    token,
    trusted,
)
from tests.clock import Clock

NOWHERE = "http://127.0.0.1:9"
"""Nobody listens there."""


@pytest.fixture(scope="module")
def served() -> Iterator[LiveIssuer]:
    """Serve one issuer for all these tests."""
    with live_issuer() as issuer:
        yield issuer


@pytest.fixture
def issuer(served: LiveIssuer) -> Iterator[LiveIssuer]:
    """Give the issuer as it is at first."""
    served.reset()
    yield served
    served.reset()


@pytest.fixture
def clock() -> Clock:
    """Give a clock to be moved by hand."""
    return Clock()


@pytest.fixture
def keys(issuer: LiveIssuer, clock: Clock) -> IssuerKeys:
    """Give the issuer's keys, none of them fetched."""
    return keys_at(issuer.url, clock)


async def behind(keys: IssuerKeys) -> None:
    """Wait for the fetch that nobody waits for."""
    assert keys._background is not None
    await keys._background


async def test_keys_are_discovered(issuer: LiveIssuer, keys: IssuerKeys) -> None:
    """The issuer's own document says where they are; both kinds are found in one fetch."""
    found = await keys.find("rsa"), await keys.find("curve")

    assert [key and key.key_type for key in found] == ["RSA", "EC"]
    assert [key and key.is_private for key in found] == [False, False]
    assert issuer.asked == [DISCOVERY, JWKS]


async def test_keys_are_fetched_from_where_the_file_says(issuer: LiveIssuer) -> None:
    """Then nothing is discovered."""
    keys = IssuerKeys(NOWHERE, jwks_url=issuer.url + JWKS)

    assert await keys.find("rsa")
    assert issuer.asked == [JWKS]


async def test_an_issuer_below_a_path_is_discovered_below_it(issuer: LiveIssuer) -> None:
    """With or without a slash at its end, which is a part of its name."""
    for name in (f"{issuer.url}/realms/x", f"{issuer.url}/realms/y/"):
        page = {"issuer": name, "jwks_uri": issuer.url + JWKS}
        issuer.answer = lambda path, page=page: (  # type: ignore[misc]  # a default binds it
            JSONResponse(page) if path.endswith(DISCOVERY) else None
        )

        assert await keys_at(name).find("rsa")
    assert [p for p in issuer.asked if p != JWKS] == [
        f"/realms/{name}{DISCOVERY}" for name in ("x", "y")
    ]


async def test_many_first_requests_are_one_fetch(issuer: LiveIssuer, keys: IssuerKeys) -> None:
    """All get their keys from it."""
    found = await asyncio.gather(*(keys.find("rsa" if n % 2 else "curve") for n in range(200)))

    assert all(found)
    assert issuer.asked == [DISCOVERY, JWKS]


async def test_who_comes_while_keys_are_fetched_waits_for_them(
    issuer: LiveIssuer, keys: IssuerKeys
) -> None:
    """Though it is too soon to ask again."""
    issuer.gate.clear()
    first = asyncio.create_task(keys.find("rsa"))
    await asyncio.to_thread(issuer.arrived.wait)
    second = asyncio.create_task(keys.find("curve"))
    await asyncio.sleep(0)  # it has begun
    issuer.gate.set()

    assert all(await asyncio.gather(first, second))
    assert issuer.fetches == 1


async def test_a_packed_answer_is_read(issuer: LiveIssuer, keys: IssuerKeys) -> None:
    """Servers that hold a packed copy send it to everybody."""
    packed = Response(
        gzip.compress(orjson.dumps({"keys": [public(curve())]})),
        headers={"Content-Encoding": "gzip"},
    )
    issuer.answer = lambda path: packed if path == JWKS else None

    assert await keys.find("curve")


async def test_invented_key_ids_fetch_nothing(issuer: LiveIssuer, keys: IssuerKeys) -> None:
    """A thousand at once and a thousand in turn are one fetch, and known keys stay good."""
    at_once = await asyncio.gather(*(keys.find(f"canary {number}") for number in range(1000)))
    in_turn = [await keys.find(f"other {number}") for number in range(1000)]

    assert set(at_once) | set(in_turn) == {None}
    assert issuer.fetches == 1
    assert await keys.find("rsa")
    assert issuer.fetches == 1


async def test_tokens_with_invented_key_ids_are_refused_for_one_fetch(issuer: LiveIssuer) -> None:
    """The same through the verifier, in which each is another token."""
    verifier = TokenVerifier({issuer.url: trusted(issuer.url)}, clock=Clock())
    claims = claims_of(issuer.url)
    await verifier.verify(token(claims, curve()))
    for number in range(1000):
        with pytest.raises(UnauthenticatedError):
            await verifier.verify(token(claims, curve(), {"alg": "ES256", "kid": f"{number}"}))

    assert issuer.fetches <= 2


async def test_a_new_key_is_found_after_the_gap(
    issuer: LiveIssuer, keys: IssuerKeys, clock: Clock
) -> None:
    """An issuer that rotates is asked anew as soon as a token names a key that is not known."""
    await keys.find("rsa")
    issuer.keys = [public(rsa("new"))]
    clock.now += MIN_GAP_SECONDS - 1
    assert await keys.find("new") is None

    clock.now += 1
    assert await keys.find("new")
    assert await keys.find("rsa") is None
    assert issuer.fetches == 2


async def test_known_keys_serve_while_the_issuer_is_down(
    issuer: LiveIssuer, keys: IssuerKeys, clock: Clock
) -> None:
    """For as long as it is; what is unknown is refused, at one fetch a gap."""
    await keys.find("rsa")
    issuer.go_down()
    for _ in range(200):
        clock.now += MIN_GAP_SECONDS
        assert await keys.find("unknown") is None
        assert await keys.find("unknown") is None
        assert await keys.find("rsa")

    assert clock.now > SOFT_AGE_SECONDS + MAX_AGE_SECONDS
    assert len(issuer.asked) == 2 + 200


async def test_an_issuer_that_was_never_reached_is_asked_again_soon(
    issuer: LiveIssuer, keys: IssuerKeys, clock: Clock
) -> None:
    """Nobody is let in before; within the second it costs nothing to be told so."""
    issuer.go_down()
    for _ in range(3):
        with pytest.raises(KeysUnavailableError):
            await keys.find("rsa")
    assert len(issuer.asked) == 1

    issuer.come_up()
    with pytest.raises(KeysUnavailableError):
        await keys.find("rsa")
    clock.now += FIRST_GAP_SECONDS
    assert await keys.find("rsa")


async def test_without_keys_a_token_is_no_fault_of_the_caller() -> None:
    """The field says that the issuer cannot be asked; the request is no 401."""
    verifier = TokenVerifier({NOWHERE: trusted(NOWHERE)}, clock=Clock())
    text = token(claims_of(NOWHERE), curve())
    with pytest.raises(UpstreamUnavailableError):
        await verifier.verify(text)

    sessions = SessionCache(StsClient(None, "us-east-1"))  # it is never reached
    oidc = Oidc(verifier, sessions)
    authenticator = Authenticator(frozenset({"oidc"}), allow_long_term_keys=False, oidc=oidc)
    identity = await authenticator.identify([(b"authorization", f"Bearer {text}".encode())])
    assert isinstance(identity, GatewayError)
    assert identity.code == "UPSTREAM_UNAVAILABLE"


async def test_keys_are_fetched_anew_before_they_are_too_old(
    issuer: LiveIssuer, keys: IssuerKeys, clock: Clock
) -> None:
    """Nobody waits for it: the known key is given while the issuer has not answered."""
    await keys.find("rsa")
    issuer.keys = [public(curve())]
    clock.now += SOFT_AGE_SECONDS + 1
    issuer.gate.clear()
    assert all([await keys.find("rsa") for _ in range(100)])

    issuer.gate.set()
    await behind(keys)
    assert await keys.find("rsa") is None
    assert await keys.find("curve")
    assert issuer.fetches == 2


async def test_keys_that_nobody_needed_for_long_are_not_believed_unasked(
    issuer: LiveIssuer, keys: IssuerKeys, clock: Clock
) -> None:
    """Beyond their age even the first who comes waits: a key may have been withdrawn since."""
    await keys.find("rsa")
    issuer.keys = [public(curve())]
    clock.now += MAX_AGE_SECONDS + 1

    assert await asyncio.gather(*(keys.find("rsa") for _ in range(100))) == [None] * 100
    assert issuer.fetches == 2


async def test_no_withdrawn_key_is_trusted_beyond_its_age(
    issuer: LiveIssuer, keys: IssuerKeys, clock: Clock
) -> None:
    """Whatever the pace at which requests come."""
    await keys.find("rsa")
    issuer.keys = [public(curve())]
    ends = clock.now + MAX_AGE_SECONDS
    while clock.now <= ends:
        await keys.find("rsa")
        clock.now += 700

    assert await keys.find("rsa") is None


async def test_a_withdrawn_key_takes_its_tokens_with_it(issuer: LiveIssuer, clock: Clock) -> None:
    """Also those that were verified and remembered while it was good."""
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


async def test_nobody_waits_for_an_issuer_that_has_just_failed(
    issuer: LiveIssuer, keys: IssuerKeys, clock: Clock
) -> None:
    """Keys that are too old serve on while it hangs, at one try a gap; then the new ones do."""
    await keys.find("rsa")
    issuer.go_down()
    clock.now += MAX_AGE_SECONDS + 1
    assert await keys.find("rsa")
    assert len(issuer.asked) == 3

    issuer.come_up()
    issuer.keys = [public(curve())]
    issuer.gate.clear()
    assert all([await keys.find("rsa") for _ in range(100)])
    clock.now += MIN_GAP_SECONDS
    assert all([await keys.find("rsa") for _ in range(100)])
    issuer.gate.set()
    await behind(keys)
    assert await keys.find("rsa") is None
    assert issuer.fetches == 2


async def test_an_issuer_that_hangs_is_not_waited_for(
    issuer: LiveIssuer, keys: IssuerKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is a limit to it."""
    monkeypatch.setattr(jwks, "FETCH_SECONDS", 0.1)
    issuer.gate.clear()

    with pytest.raises(KeysUnavailableError):
        await keys.find("rsa")


async def test_an_issuer_that_is_not_there_has_no_keys() -> None:
    """No connection is like no answer."""
    with pytest.raises(KeysUnavailableError):
        await keys_at(NOWHERE).find("rsa")


BAD_ANSWERS: dict[str, Response] = {
    "a web page": HTMLResponse("<!doctype html><title>Sign in</title>"),
    "nothing": Response(b""),
    "a list": JSONResponse([]),
    "a text": JSONResponse("x"),
    "null": JSONResponse(None),
    "half a document": Response(b'{"keys": [', media_type="application/json"),
    "not UTF-8": Response(b'{"keys": "\xff"}'),
    "NaN": Response(b'{"keys": NaN}'),
    "a deep document": Response(b"[" * 100_000),
    "404": Response(b"{}", 404),
    "500": Response(b"{}", 500),
    "204": Response(status_code=204),
    "too much": Response(b" " * (MAX_RESPONSE_BYTES + 1) + b"{}"),
    "no keys": JSONResponse({}),
    "keys that are null": JSONResponse({"keys": None}),
    "keys that are an object": JSONResponse({"keys": {"rsa": public(rsa())}}),
    "an empty list of keys": JSONResponse({"keys": []}),
    "what bursts": Response(
        gzip.compress(b'{"keys": []}' + b" " * 100_000_000),
        headers={"Content-Encoding": "gzip"},
    ),
}


@pytest.mark.parametrize("bad", BAD_ANSWERS.values(), ids=BAD_ANSWERS)
@pytest.mark.parametrize("path", [DISCOVERY, JWKS], ids=["discovery", "keys"])
async def test_an_answer_that_makes_no_sense_changes_nothing(
    issuer: LiveIssuer, clock: Clock, bad: Response, path: str
) -> None:
    """At the first fetch there are no keys; at a later one those of before stay."""
    keys = keys_at(issuer.url, clock)
    issuer.answer = lambda asked: bad if asked == path else None
    with pytest.raises(KeysUnavailableError):
        await keys.find("rsa")

    issuer.come_up()
    clock.now += MIN_GAP_SECONDS
    assert await keys.find("rsa")
    issuer.answer = lambda asked: bad if asked == path else None
    clock.now += MAX_AGE_SECONDS + 1
    assert await keys.find("rsa")


async def test_an_endless_answer_is_left_early(issuer: LiveIssuer) -> None:
    """As soon as it is longer than a key set could be."""

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 65536
            await asyncio.sleep(0)  # to see that nobody listens any more

    issuer.answer = lambda path: StreamingResponse(endless()) if path == JWKS else None
    with capture_logs() as logs, pytest.raises(KeysUnavailableError):
        await keys_at(issuer.url).find("rsa")

    assert [line["cause"] for line in logs] == ["ValueError"]


@pytest.mark.parametrize("path", [DISCOVERY, JWKS])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(issuer: LiveIssuer, path: str, status: int) -> None:
    """Where it leads nobody has asked for, whoever sent it."""
    with live_issuer() as other:
        issuer.answer = lambda asked: (
            RedirectResponse(other.url + path, status) if asked == path else None
        )
        with pytest.raises(KeysUnavailableError):
            await keys_at(issuer.url).find("rsa")

        assert other.asked == []


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
async def test_a_document_of_another_issuer_is_not_believed(
    issuer: LiveIssuer, changed: dict[str, Any]
) -> None:
    """Nor one that leads to an address that could not stand in our own file."""
    told = {"issuer": issuer.url, "jwks_uri": issuer.url + JWKS, **changed}
    if isinstance(told["jwks_uri"], str):
        told["jwks_uri"] = told["jwks_uri"].replace("{port}", issuer.url.rpartition(":")[2])
    issuer.answer = lambda path: JSONResponse(told) if path == DISCOVERY else None
    with pytest.raises(KeysUnavailableError):
        await keys_at(issuer.url).find("rsa")

    assert issuer.asked == [DISCOVERY]


async def test_no_cookie_and_no_password_goes_to_an_issuer(
    issuer: LiveIssuer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Not what it has set itself, and not what somebody's home has for its address."""
    home = tmp_path / ".netrc"
    home.write_text("machine 127.0.0.1 login canary password canary\n", encoding="utf-8")
    home.chmod(0o600)
    monkeypatch.setenv("NETRC", str(home))
    monkeypatch.setenv("HOME", str(tmp_path))
    told = {"issuer": issuer.url, "jwks_uri": issuer.url + JWKS, "keys": [public(curve())]}
    issuer.answer = lambda _: JSONResponse(told, headers={"Set-Cookie": "canary=1"})

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
    "of a kind that STS cannot read": OKPKey.generate_key("Ed25519", {"kid": "rsa"}).as_dict(
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
async def test_a_key_that_cannot_be_used_is_left_out(issuer: LiveIssuer, listed: Any) -> None:
    """Those beside it are good."""
    issuer.keys = [listed, public(curve())]
    keys = keys_at(issuer.url)

    assert await keys.find("curve")
    assert list(keys._keys) == ["curve"]


async def test_a_published_private_key_is_read_as_a_public_one(issuer: LiveIssuer) -> None:
    """With as much as signatures need of it; certificates and addresses in it are not looked at."""
    issuer.keys = [{**rsa().as_dict(private=True), "x5u": 7, "x5c": "x", "oth": []}]
    key = await keys_at(issuer.url).find("rsa")

    assert key is not None
    assert not key.is_private


async def test_so_many_keys_are_read_and_no_more(issuer: LiveIssuer) -> None:
    """An issuer with more than that has lost its way."""
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
def test_no_key_is_too_odd(base: dict[str, Any], changed: dict[str, Any]) -> None:
    """It is a public key to verify with, or none; nothing else comes of it."""
    key = jwks._parse_key({**base, **changed})

    assert key is None or (key.key_type in {"RSA", "EC"} and not key.is_private)
