"""Token verification: signature, issuer, audience, times, and the cache of valid tokens."""

import asyncio
import hmac
import json
import string
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from joserfc.jwk import Key, RSAKey

from gateway.auth import oidc
from gateway.auth.authenticator import Authenticator, Oidc
from gateway.auth.jwks import IssuerKeys
from gateway.auth.oidc import LEEWAY_SECONDS, TokenVerifier
from gateway.auth.oidc_file import Issuer
from gateway.auth.sts import SessionCache, StsClient
from gateway.errors import UnauthenticatedError
from gateway.upstream.resilience.rate_limit import CallerRateLimiter
from tests.auth.issuers import (
    AUDIENCE,
    MISSING,
    NOW,
    ROLE,
    claims_of,
    curve,
    identify,
    public,
    rsa,
    segment,
    token,
    trusted,
)
from tests.clock import Clock

ISSUER = "https://issuer.example"
ATTACKER = curve("attacker")


class CountedKey(RSAKey):
    """Counts the signature checks."""

    checked = 0

    def get_op_key(self, operation: Any) -> Any:
        self.checked += 1
        return super().get_op_key(operation)


def counted_key() -> CountedKey:
    return CountedKey.import_key(public(rsa()))


class KnownKeys(IssuerKeys):
    """Keys without an issuer; counts the lookups."""

    def __init__(self, issuer: Issuer, *keys: Key) -> None:
        super().__init__(issuer.issuer, issuer.jwks_url)
        self.known = {str(key.kid): key for key in keys or (counted_key(), curve())}
        self.lookups = 0

    def outdated_for(self, key_id: str) -> bool:  # noqa: ARG002  none are fetched
        return False

    def find_known(self, key_id: str) -> Key | None:
        self.lookups += 1
        return self.known.get(key_id)


class Harness:
    """A verifier of one issuer's tokens, with its keys and its clock."""

    def __init__(self, *keys: Key, **trust: Any) -> None:
        self.issuer = trusted(ISSUER, **trust)
        self.keys = KnownKeys(self.issuer, *keys)
        self.clock = Clock()
        self.verifier = TokenVerifier(
            {ISSUER: self.issuer}, clock=self.clock, keys_of=lambda _: self.keys
        )
        sessions = SessionCache(StsClient(None, "us-east-1"), CallerRateLimiter(0))
        self.authenticator = Authenticator(
            frozenset({"oidc"}), allow_long_term_keys=False, oidc=Oidc(self.verifier, sessions)
        )

    async def error(self, text: str) -> str:
        """Return the message of the error of an invalid token."""
        with pytest.raises(UnauthenticatedError) as caught:
            await self.verifier.verify(text)
        return caught.value.message


def good(key: Key | None = None, header: object | None = None, **claims: object) -> str:
    return token(claims_of(ISSUER, **claims), key or rsa(), header)


def with_header(key: Key | None = None, *, sign: str = "", **header: object) -> str:
    """Return a token with these header parameters; those that are MISSING are left out."""
    chosen = key or rsa()
    usual = {"alg": "RS256" if chosen.key_type == "RSA" else "ES256", "kid": chosen.kid}
    present = {name: value for name, value in {**usual, **header}.items() if value is not MISSING}
    return token(claims_of(ISSUER), chosen, present, sign=sign)


def signed_by_secret(secret: bytes, alg: str = "HS256") -> str:
    """Sign with a public value, as if it were a shared secret."""
    text = f"{segment({'alg': alg, 'kid': 'rsa'})}.{segment(claims_of(ISSUER))}"
    return f"{text}.{segment(hmac.digest(secret, text.encode(), 'sha256'))}"


def with_claims_text(text: str) -> str:
    return token(text.encode(), rsa())


def expiring(text: str) -> str:
    claims = json.dumps(claims_of(ISSUER, exp=MISSING))
    return with_claims_text(f'{claims[:-1]}, "exp": {text}}}')


GOOD = good()
HEADER, CLAIMS, SIGNATURE = GOOD.split(".")
PEM = rsa().as_pem(private=False)
DER = rsa().as_der(private=False)
NONE = segment({"alg": "none"})

FORMS: dict[str, str] = {
    "nothing": "",
    "a dot": ".",
    "two dots": "..",
    "four dots": "....",
    "garbage": "canary garbage canary",
    "no token": "canarycanary",
    "not ASCII": f"{HEADER}.{CLAIMS}.{SIGNATURE[:-1]}é",
    "two parts": f"{HEADER}.{CLAIMS}",
    "four parts": f"{GOOD}.{SIGNATURE}",
    "five parts, as an encrypted token": f"{HEADER}.{CLAIMS}.{SIGNATURE}.{CLAIMS}.{SIGNATURE}",
    "an empty header": f".{CLAIMS}.{SIGNATURE}",
    "empty claims": f"{HEADER}..{SIGNATURE}",
    "no signature": f"{HEADER}.{CLAIMS}.",
    "a dot before": f".{GOOD}",
    "a dot after": f"{GOOD}.",
    "a dot doubled": GOOD.replace(".", "..", 1),
    "a space before": f" {GOOD}",
    "a space after": f"{GOOD} ",
    "a line break after": f"{GOOD}\n",
    "a space within": f"{HEADER} .{CLAIMS}.{SIGNATURE}",
    "a tab within": f"{HEADER}.{CLAIMS}\t.{SIGNATURE}",
    "a null after": f"{GOOD}\0",
    "padding": f"{GOOD}==",
    "two tokens": f"{GOOD},{GOOD}",
    "two tokens and a space": f"{GOOD} {GOOD}",
    "a quoted token": f'"{GOOD}"',
    "1 MB of claims": good(more="x" * 1_000_000),
    "1 MB of letters": "A" * 1_000_000,
    "1 MB of dots": "." * 1_000_000,
    "a character more than the longest": "x" * (oidc.MAX_TOKEN_CHARACTERS + 1),
    "another token's signature": f"{HEADER}.{CLAIMS}.{good(sub='grace').split('.')[2]}",
    "another token's claims": f"{HEADER}.{good(sub='grace').split('.')[1]}.{SIGNATURE}",
    "claims that are a list": with_claims_text("[]"),
    "claims that are a text": with_claims_text('"canary"'),
    "claims that are null": with_claims_text("null"),
    "claims that are no JSON": with_claims_text("{canary}"),
    "claims that are not UTF-8": token(b'{"iss":"\xff"}', rsa()),
    "claims that are deep": with_claims_text("[" * 5000),
    "a header that is a list": token(claims_of(ISSUER), rsa(), ["alg", "kid"]),
    "a header that is a text": token(claims_of(ISSUER), rsa(), "alg kid crit b64"),
    "a header that is null": token(claims_of(ISSUER), rsa(), b"null"),
    "a header that is no JSON": token(claims_of(ISSUER), rsa(), b"{canary}"),
    "a deep header": token(claims_of(ISSUER), rsa(), b"[" * 380),
    "a long header": with_header(more="x" * 600),
}

HEADERS: dict[str, str] = {
    "alg none and no signature": f"{NONE}.{CLAIMS}.",
    "alg none and the old signature": f"{NONE}.{CLAIMS}.{SIGNATURE}",
    "alg NONE": f"{segment({'alg': 'NONE', 'kid': 'rsa'})}.{CLAIMS}.",
    "alg nOnE": f"{segment({'alg': 'nOnE', 'kid': 'rsa'})}.{CLAIMS}.",
    "the PEM of the public key as a secret": signed_by_secret(PEM),
    "the PEM without its last line break": signed_by_secret(PEM.rstrip()),
    "the DER of the public key as a secret": signed_by_secret(DER),
    "the JWK of the public key as a secret": signed_by_secret(json.dumps(public(rsa())).encode()),
    "the modulus as a secret": signed_by_secret(public(rsa())["n"].encode()),
    "a secret under RS256": signed_by_secret(PEM, "RS256"),
    "RS384": with_header(alg="RS384", sign="RS384"),
    "PS256": with_header(alg="PS256", sign="PS256"),
    "RS256 made as PS256": with_header(sign="PS256"),
    "RS256 made as RS512": with_header(sign="RS512"),
    "ES256 by the RSA key": with_header(alg="ES256", sign="RS256"),
    "RS256 by the curve's key": with_header(curve(), alg="RS256", sign="ES256"),
    "ES256 under the RSA key's id": with_header(curve(), kid="rsa"),
    "RS256 under the curve's id": with_header(kid="curve"),
    "lower-case alg": with_header(alg="rs256"),
    "alg that is a list": with_header(alg=["RS256"]),
    "alg that is an object": with_header(alg={"RS256": True}),
    "alg that is null": with_header(alg=None),
    "alg that is a number": with_header(alg=256),
    "no alg": with_header(alg=MISSING),
    "no key id": with_header(kid=MISSING),
    "a key id that is null": with_header(kid=None),
    "an empty key id": with_header(kid=""),
    "an unknown key id": with_header(kid="canary"),
    "a key id that is a number": with_header(kid=1),
    "a key id that is a list": with_header(kid=["rsa"]),
    "a key id that is an object": with_header(kid={}),
    "an unknown extension": with_header(crit=["canary"], canary=1),
    "a known extension": with_header(crit=["b64"], b64=True),
    "an unencoded payload": with_header(crit=["b64"], b64=False),
    "no extension": with_header(crit=[]),
    "crit that is no list": with_header(crit="exp"),
    "crit that is null": with_header(crit=None),
    "a key of its own": with_header(ATTACKER, jwk=public(ATTACKER)),
    "a key of its own under a known id": with_header(ATTACKER, kid="curve", jwk=public(ATTACKER)),
    "a private key of its own": with_header(ATTACKER, kid="curve", jwk={"kty": "RSA"}),
    "keys elsewhere": with_header(ATTACKER, jku="https://canary.example/jwks"),
    "keys elsewhere under a known id": with_header(
        ATTACKER, kid="curve", jku="https://canary.example"
    ),
    "a certificate elsewhere": with_header(ATTACKER, kid="curve", x5u="https://canary.example/x"),
    "a certificate of its own": with_header(ATTACKER, kid="curve", x5c=["canary"]),
    "another key under a known id": with_header(ATTACKER, kid="curve"),
}

CLAIM_ERRORS: dict[str, str] = {
    "another issuer": good(iss="https://canary.example"),
    "the issuer and a slash": good(iss=f"{ISSUER}/"),
    "the issuer in capitals": good(iss=ISSUER.upper()),
    "the issuer and a space": good(iss=f"{ISSUER} "),
    "a list of issuers": good(iss=[ISSUER]),
    "an issuer that is null": good(iss=None),
    "an issuer that is an object": good(iss={"iss": ISSUER}),
    "no issuer": good(iss=MISSING),
    "another audience": good(aud="canary"),
    "the audience in capitals": good(aud=AUDIENCE.upper()),
    "the audience as a part": good(aud=f"{AUDIENCE}-canary"),
    "the audience among others in one text": good(aud=f"canary {AUDIENCE}"),
    "other audiences": good(aud=["canary", "other"]),
    "no audience": good(aud=MISSING),
    "an empty list of audiences": good(aud=[]),
    "an empty audience": good(aud=""),
    "an audience that is null": good(aud=None),
    "an audience that is an object": good(aud={AUDIENCE: True}),
    "an audience in a list in a list": good(aud=[[AUDIENCE]]),
    "nobody": good(sub=MISSING),
    "an empty subject": good(sub=""),
    "a subject that is null": good(sub=None),
    "a subject that is a number": good(sub=7),
    "subjects": good(sub=["ada"]),
    "a subject that is an object": good(sub={"sub": "ada"}),
    "expired": good(exp=NOW - 1),
    "expired long ago": good(exp=0),
    "expires now": good(exp=NOW),
    "expired within the leeway": good(exp=NOW - LEEWAY_SECONDS / 2),
    "expires before the beginning of time": good(exp=-1e300),
    "never expires": good(exp=MISSING),
    "expires as a text": good(exp=str(NOW + 60)),
    "expires never, as null": good(exp=None),
    "expires true": good(exp=True),
    "expires in a list": good(exp=[NOW + 60]),
    "expires in an object": good(exp={}),
    "expires NaN": expiring("NaN"),
    "expires at infinity": expiring("Infinity"),
    "expires beyond numbers": expiring("1e999"),
    "begins beyond the leeway": good(nbf=NOW + LEEWAY_SECONDS + 1),
    "begins as a text": good(nbf=str(NOW)),
    "begins true": good(nbf=True),
    "begins at null": good(nbf=None),
    "issued beyond the leeway": good(iat=NOW + LEEWAY_SECONDS + 1),
    "issued as a text": good(iat="now"),
    "issued true": good(iat=True),
    "issued in a list": good(iat=[NOW]),
}

INVALID = {**FORMS, **HEADERS, **CLAIM_ERRORS}


@pytest.mark.parametrize("text", INVALID.values(), ids=INVALID)
async def test_an_invalid_token_is_refused(text: str) -> None:
    """The error repeats nothing of it, and the token is not cached."""
    harness = Harness()
    words = await harness.error(text)

    assert words.startswith("The bearer token ")
    assert ("too long" in words) == (len(text) > oidc.MAX_TOKEN_CHARACTERS)
    assert words.endswith(".")
    assert "canary" not in words
    assert not [part for part in text.split(".") if len(part) > 8 and part in words]
    assert await harness.error(text) == words
    assert harness.verifier._verified == {}
    if text.strip(" ") != GOOD:  # HTTP strips the spaces around a token
        headers = [(b"authorization", f"Bearer {text}".encode("latin-1"))]
        with pytest.raises(UnauthenticatedError) as caught:
            await identify(harness.authenticator, headers)
        assert "canary" not in f"{caught.value} {caught.value!r}"


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        *((rsa(), name) for name in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")),
        (curve(), "ES256"),
        (curve("p384", "P-384"), "ES384"),
        (curve("p521", "P-521"), "ES512"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_each_supported_algorithm_is_verified_if_the_issuer_may_use_it(
    key: Key, algorithm: str
) -> None:
    text = with_header(key, alg=algorithm, sign=algorithm)

    assert (await Harness(key, algorithms=[algorithm]).verifier.verify(text)).subject == "ada"
    other = "ES256" if algorithm == "RS256" else "RS256"
    assert "algorithm" in await Harness(key, algorithms=[other]).error(text)


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        good(exp=NOW + 1),
        good(exp=NOW + 0.5),
        good(exp=int(NOW) + 1),
        good(exp=1e30),
        good(nbf=NOW + LEEWAY_SECONDS),
        good(iat=NOW + LEEWAY_SECONDS),
        good(iat=MISSING, nbf=MISSING),
        good(nbf=-1e300),
        good(aud=[AUDIENCE]),
        good(aud=["other", AUDIENCE, 7, None]),
        good(sub="ada", email="ada@example.com", groups=["eu"], deep={"a": [1]}),
        with_header(typ="at+jwt", cty="x"),
        with_header(cat="of this provider's own", tid=7),
        with_header(
            jku="https://canary.example", x5u="https://canary.example", jwk=public(ATTACKER)
        ),
        good(curve()),
    ],
)
async def test_a_valid_token_is_verified(text: str) -> None:
    """Times may be at their limits, and claims and headers that are not used may have any value."""
    token_ = await Harness().verifier.verify(text)

    assert token_.subject == "ada"
    assert AUDIENCE in token_.audiences
    assert token_.text == text
    assert token_.issuer.issuer == ISSUER


async def test_a_verified_token_cannot_be_printed() -> None:
    shown = repr(await Harness().verifier.verify(good(email="canary@example.com")))

    assert "canary" not in shown
    assert SIGNATURE not in shown


@pytest.mark.parametrize(
    "text", [good(nbf=NOW + 60), good(iat=NOW + 60)], ids=["begins later", "issued later"]
)
async def test_a_token_is_valid_from_the_leeway_before_its_time(text: str) -> None:
    harness = Harness()
    await harness.error(text)
    harness.clock.now += 60 - LEEWAY_SECONDS

    assert (await harness.verifier.verify(text)).subject == "ada"


LETTERS = string.ascii_letters + string.digits + "-_"
REAL = (good(), good(curve()))


@pytest.mark.parametrize("text", REAL, ids=["RS256", "ES256"])
async def test_each_character_of_a_token_counts(text: str) -> None:
    """Each is replaced in turn by one that differs in its last bit, which may be an unused bit."""
    harness = Harness()
    await harness.verifier.verify(text)
    for place, letter in enumerate(text):
        other = "A" if letter == "." else LETTERS[LETTERS.index(letter) ^ 1]
        await harness.error(f"{text[:place]}{other}{text[place + 1 :]}")


@given(
    text=st.sampled_from(REAL),
    place=st.integers(0, 2000),
    length=st.integers(0, 3),
    other=st.text(st.sampled_from(f"{LETTERS}.=+/ \n"), max_size=3) | st.text(max_size=2),
)
@example(REAL[0], len(REAL[0]), 0, "=")
@example(REAL[0], len(REAL[0]) - 1, 1, "B")
async def test_any_change_of_a_token_is_refused(
    text: str, place: int, length: int, other: str
) -> None:
    place %= len(text) + 1
    changed = f"{text[:place]}{other}{text[place + length :]}"
    if changed != text:
        await Harness().error(changed)


claim_values = st.sampled_from(
    [MISSING, None, True, 0, 7, -1, 1e300, NOW, NOW + 1, "", "ada", AUDIENCE, ISSUER, [], {}]
) | st.lists(st.sampled_from([AUDIENCE, ISSUER, "", 1, None]), max_size=2)


@given(
    changes=st.fixed_dictionaries(
        {}, optional=dict.fromkeys(claims_of(ISSUER, nbf=0), claim_values)
    )
)
async def test_signed_claims_must_be_valid(changes: dict[str, object]) -> None:
    claims = claims_of(ISSUER, **changes)
    try:
        found = await Harness(curve()).verifier.verify(token(claims, curve()))
    except UnauthenticatedError:
        return
    audience = claims["aud"]
    assert found.issuer.issuer == claims["iss"]
    assert claims["sub"] in {"ada", AUDIENCE, ISSUER}
    assert AUDIENCE in (audience if isinstance(audience, list) else [audience])
    assert type(claims["exp"]) in {int, float}
    assert claims["exp"] > NOW


@given(
    header=st.dictionaries(
        st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk", "jku", "x5c", "x5u", "zip"]),
        claim_values.filter(lambda value: value is not MISSING)
        | st.sampled_from(["RS256", "rsa", "none"]),
    )
)
async def test_a_header_must_name_algorithm_and_key_without_crit(header: dict[str, object]) -> None:
    try:
        await Harness().verifier.verify(token(claims_of(ISSUER), rsa(), header))
    except UnauthenticatedError:
        return
    assert (header["alg"], header["kid"]) == ("RS256", "rsa")
    assert "crit" not in header


async def test_a_verified_token_is_cached() -> None:
    """It costs no second signature check."""
    key = counted_key()
    harness = Harness(key)
    first = await harness.verifier.verify(GOOD)
    assert key.checked == 1

    assert all([await harness.verifier.verify(GOOD) is first for _ in range(10)])
    assert key.checked == 1
    await harness.verifier.verify(good(sub="grace"))
    assert key.checked == 2


async def test_a_cached_token_expires_without_leeway() -> None:
    key = counted_key()
    harness = Harness(key)
    await harness.verifier.verify(GOOD)
    harness.clock.now += 3599.9
    await harness.verifier.verify(GOOD)
    harness.clock.now += 0.1

    assert "expired" in await harness.error(GOOD)
    assert key.checked == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dict[str, Key], "a key that its issuer does not publish"),
        (lambda: {"rsa": rsa("attacker")}, "an invalid signature"),
    ],
    ids=["withdrawn", "replaced"],
)
async def test_a_cached_token_is_refused_without_its_key(
    change: Callable[[], dict[str, Key]], words: str
) -> None:
    harness = Harness()
    await harness.verifier.verify(GOOD)
    harness.keys.known = change()

    assert words in await harness.error(GOOD)


async def test_a_refreshed_key_verifies_a_cached_token_once_more() -> None:
    harness = Harness()
    await harness.verifier.verify(GOOD)
    again = counted_key()
    harness.keys.known = {"rsa": again}

    await harness.verifier.verify(GOOD)
    await harness.verifier.verify(GOOD)
    assert again.checked == 1


@pytest.mark.parametrize(
    ("limit", "of_each"),
    [("MAX_VERIFIED", lambda _: 1), ("MAX_VERIFIED_CHARACTERS", len)],
)
async def test_the_cache_of_verified_tokens_is_bounded(
    limit: str, of_each: Callable[[str], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = counted_key()
    harness = Harness(key)
    texts = [good(sub=f"subject {number}") for number in range(10)]
    monkeypatch.setattr(oidc, limit, 3 * of_each(texts[0]))
    for text in texts:
        await harness.verifier.verify(text)
        assert len(harness.verifier._verified) <= 3

    await harness.verifier.verify(texts[-1])
    assert key.checked == 10
    await harness.verifier.verify(texts[0])
    assert key.checked == 11
    assert len(harness.verifier._verified) == 3


MALFORMED = [
    *(name for name in INVALID if "JSON" in name or " issuer" in name or "1 MB" in name),
    *(name for name in HEADERS if "alg" in name or "HS" in name or "secret" in name),
    *(name for name in HEADERS if "extension" in name or "crit" in name),
]


@pytest.mark.parametrize("name", MALFORMED)
async def test_a_malformed_token_causes_no_lookup_of_keys(name: str) -> None:
    """A client cannot use one to make the gateway call an issuer."""
    harness = Harness()
    await harness.error(INVALID[name])

    assert harness.keys.lookups == (name == "a secret under RS256")


async def test_an_issuer_cannot_sign_for_another() -> None:
    issuers = {name: trusted(name) for name in (ISSUER, "https://other.example")}
    keys: dict[str, Key] = {ISSUER: rsa(), "https://other.example": ATTACKER}
    verifier = TokenVerifier(
        issuers,
        clock=Clock(),
        keys_of=lambda issuer: KnownKeys(issuer, keys[issuer.issuer]),
    )

    assert (await verifier.verify(GOOD)).issuer is issuers[ISSUER]
    for key_id in ("attacker", "rsa"):
        with pytest.raises(UnauthenticatedError):
            await verifier.verify(good(ATTACKER, {"alg": "ES256", "kid": key_id}))


def replaced(harness: Harness, **trust: Any) -> Issuer:
    """Replace the trusted issuer by one that is configured in another way."""
    issuer = trusted(ISSUER, **trust)
    harness.verifier.replace_issuers({ISSUER: issuer})
    return issuer


async def test_a_withdrawn_issuer_is_not_trusted_again_by_what_was_verified() -> None:
    harness = Harness()
    await harness.verifier.verify(GOOD)
    harness.verifier.replace_issuers({"https://other.example": trusted("https://other.example")})

    assert "issuer that is not trusted" in await harness.error(GOOD)
    with pytest.raises(UnauthenticatedError, match="issuer that is not trusted"):
        harness.verifier.verify_at_once(GOOD)


@pytest.mark.parametrize(
    ("trust", "message"),
    [
        ({"audiences": ["another"]}, "is for another audience"),
        ({"algorithms": ["ES256"]}, "is signed with an algorithm that is not accepted"),
    ],
)
async def test_what_an_issuer_may_do_changes_for_verified_tokens(
    trust: dict[str, Any], message: str
) -> None:
    harness = Harness()
    await harness.verifier.verify(GOOD)
    replaced(harness, **trust)

    assert message in await harness.error(GOOD)


async def test_new_roles_are_those_of_a_verified_token() -> None:
    harness = Harness()
    before = await harness.verifier.verify(GOOD)
    issuer = replaced(harness, role=[{"match": {"sub": "nobody"}, "role_arn": ROLE}])
    after = await harness.verifier.verify(GOOD)

    assert before.role is not None
    assert after.issuer is issuer
    assert after.role is None


async def test_an_issuer_that_stays_as_it_is_keeps_its_keys_and_tokens() -> None:
    """Keys are fetched again only if they come from elsewhere."""
    fetched = []

    def keys_of(issuer: Issuer) -> IssuerKeys:
        fetched.append(issuer)
        return KnownKeys(issuer)

    verifier = TokenVerifier({ISSUER: trusted(ISSUER)}, clock=Clock(), keys_of=keys_of)
    first = await verifier.verify(GOOD)
    verifier.replace_issuers({ISSUER: trusted(ISSUER)})
    same = await verifier.verify(GOOD)
    verifier.replace_issuers({ISSUER: trusted(ISSUER, audiences=[AUDIENCE, "more"])})
    await verifier.verify(GOOD)
    fetched_once = len(fetched)
    verifier.replace_issuers({ISSUER: trusted(ISSUER, jwks_url="https://issuer.example/keys")})

    assert same is first
    assert (fetched_once, len(fetched)) == (1, 2)


async def test_an_issuer_withdrawn_while_its_keys_are_fetched_is_not_trusted() -> None:
    arrived, gate = asyncio.Event(), asyncio.Event()

    class SlowKeys(KnownKeys):
        async def find(self, key_id: str) -> Key | None:
            arrived.set()
            await gate.wait()
            return self.find_known(key_id)

    verifier = TokenVerifier({ISSUER: trusted(ISSUER)}, clock=Clock(), keys_of=SlowKeys)
    verifying = asyncio.create_task(verifier.verify(GOOD))
    await arrived.wait()
    verifier.replace_issuers({})
    gate.set()

    with pytest.raises(UnauthenticatedError, match="issuer that is not trusted"):
        await verifying
