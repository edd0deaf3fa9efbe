"""The one door of identity: a caller, nobody, why there is none, or a refusal."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gateway.auth.authenticator import CHALLENGES, Authenticator, Identity, Oidc
from gateway.auth.credentials import Caller
from gateway.auth.oidc_file import read_oidc_file
from gateway.auth.sessions import Sessions
from gateway.auth.sts import OPERATION, Sts
from gateway.auth.tokens import TokenVerifier
from gateway.errors import UnauthenticatedError
from gateway.sandbox import ROLE_ARNS
from gateway.upstream.cache.backend import AnswerCache
from gateway.upstream.cache.cached_client import CachedClient, FetchOptions
from tests.auth.issuers import Clock, curve, sandbox_file, token
from tests.gateways import Sandbox
from tests.sandbox.identities import id_token
from tests.upstream.asking import FIRST_PAGE
from tests.upstream.fakes import FakeAws

REGION = "us-east-1"
KEY_ID = "ASIACANARY0123456789"
LONG_TERM = "AKIACANARY0123456789"
SECRET = "canary/secret+access/key"
TOKEN = "canary//session+token=="
ID, SECRET_NAME, TOKEN_NAME = (
    b"x-aws-access-key-id",
    b"x-aws-secret-access-key",
    b"x-aws-session-token",
)
KEYS = [(ID, KEY_ID.encode()), (SECRET_NAME, SECRET.encode()), (TOKEN_NAME, TOKEN.encode())]

Headers = list[tuple[bytes, bytes]]


def authorization(value: bytes) -> tuple[bytes, bytes]:
    """Give the header."""
    return b"authorization", value


BEARER = authorization(b"Bearer canary.jwt.value")
SIGNED = authorization(b"AWS4-HMAC-SHA256 Credential=CANARY/20260102")

REFUSED: dict[str, Headers] = {
    "half-given keys": KEYS[:2],
    "malformed keys": [(ID, b"canary"), *KEYS[1:]],
    "long-term keys": [(ID, LONG_TERM.encode()), *KEYS[1:]],
    "key id twice": [*KEYS, KEYS[0]],
    "other key id": [*KEYS, (ID, b"ASIACANARY9999999999")],
    "secret twice": [*KEYS, KEYS[1]],
    "token twice": [*KEYS, KEYS[2]],
    "empty second token": [*KEYS, (TOKEN_NAME, b"")],
    "bearer and keys": [*KEYS, BEARER],
    "bearer before keys": [BEARER, *KEYS],
    "bearer and an empty key id": [BEARER, (ID, b"")],
    "bearer and one key header": [BEARER, KEYS[2]],
    "signature and keys": [*KEYS, SIGNED],
    "empty authorization and keys": [*KEYS, authorization(b"")],
    "empty authorization": [authorization(b"")],
    "two authorizations": [BEARER, SIGNED],
    "the same authorization twice": [BEARER, BEARER],
    "a good and an empty authorization": [BEARER, authorization(b"")],
    "signature alone": [SIGNED],
    "basic": [authorization(b"Basic Y2FuYXJ5OmNhbmFyeQ==")],
    "bearer without a token": [authorization(b"Bearer")],
    "bearer and a space": [authorization(b"Bearer ")],
    "bearer and spaces": [authorization(b"Bearer     ")],
    "a token without a scheme": [authorization(b"canary.jwt.value")],
    "a tab for the space": [authorization(b"Bearer\tcanary.jwt.value")],
    "another scheme": [authorization(b"Bearers canary.jwt.value")],
    "beyond ASCII": [authorization("Bearer \xa0canary\xff".encode("latin-1"))],
    "a colon": [authorization(b"Bearer: canary.jwt.value")],
    "two tokens": [authorization(b"Bearer canary.jwt.value, Bearer canary.jwt.value")],
    "garbage": [BEARER],
}

NOBODY: list[Headers] = [
    [],
    [(b"host", b"x"), (b"cookie", b"x-aws-access-key-id=ASIA")],
    [(b"x-amz-security-token", TOKEN.encode())],
    [(b"x-aws-access-key", KEY_ID.encode())],
    [(b"x_aws_access_key_id", KEY_ID.encode())],
    [(b"proxy-authorization", b"Basic x")],
    [(b"x-authorization", b"Bearer x"), (b"x-forwarded-access-token", b"x")],
]


def keys_door(*, allow_long_term_keys: bool = False) -> Authenticator:
    """Give the door that knows keys alone."""
    return Authenticator(frozenset({"aws-headers"}), allow_long_term_keys)


@asynccontextmanager
async def both_doors(
    sandbox: Sandbox,
    folder: Path,
    roles: Mapping[str, str] = ROLE_ARNS,
    **file: Any,
) -> AsyncIterator[Authenticator]:
    """Give the door that knows keys, and tokens of the sandbox's issuer."""
    issuers = read_oidc_file(sandbox_file(folder, sandbox.url, roles, **file))
    async with Sts.open(REGION, sandbox.url) as sts:
        sessions = Sessions(sts, REGION)
        oidc = Oidc(TokenVerifier(issuers), sessions, REGION)
        yield Authenticator(
            frozenset({"aws-headers", "oidc"}), allow_long_term_keys=False, oidc=oidc
        )
        await sessions.close()


@pytest.fixture
async def door(sandbox: Sandbox, tmp_path: Path) -> AsyncIterator[Authenticator]:
    """Give the door that knows both."""
    async with both_doors(sandbox, tmp_path) as door:
        yield door


async def enter(door: Authenticator, text: str) -> Identity:
    """Come with a token."""
    return await door.identify([authorization(f"Bearer {text}".encode())])


async def caller(door: Authenticator, text: str) -> Caller:
    """Come with a good token."""
    identity = await enter(door, text)
    assert identity.caller is not None, identity.problem
    return identity.caller


def check_refusal(error: UnauthenticatedError) -> None:
    """Check that the error repeats nothing of what was sent."""
    assert error.message.endswith(".")
    assert "canary" not in f"{error} {error!r}".lower()


@pytest.mark.parametrize("sent", REFUSED.values(), ids=REFUSED)
async def test_credentials_are_whole_single_and_of_one_kind(
    sent: Headers, door: Authenticator, sandbox: Sandbox
) -> None:
    """Anything else is 401 with a challenge, whatever is served, and nobody else is asked."""
    for each in (keys_door(), door):
        with pytest.raises(UnauthenticatedError) as caught:
            await each.identify([(b"host", b"canary-host"), *sent])
        check_refusal(caught.value)

    assert sandbox.calls == []


@pytest.mark.parametrize("sent", NOBODY)
async def test_no_credentials_are_nobody(sent: Headers, door: Authenticator) -> None:
    """That is no error yet: introspection needs none. A field that needs one says what is taken."""
    for each in (keys_door(), door):
        identity = await each.identify(sent)
        assert identity.caller is None
        assert identity.problem.code == "UNAUTHENTICATED"
        assert "X-Aws-Access-Key-Id" in identity.problem.message
    assert "Bearer" in identity.problem.message


@pytest.mark.parametrize("allowed", [True, False])
async def test_keys_are_somebody(allowed: bool) -> None:  # noqa: FBT001 - a case
    """In any order, among any other headers."""
    door = keys_door(allow_long_term_keys=allowed)
    expected = Caller.from_keys(KEY_ID, SECRET, TOKEN)

    assert (await door.identify([(b"host", b"x"), *KEYS])).caller == expected
    assert (await door.identify(KEYS[::-1])).caller == expected


async def test_long_term_keys_are_somebody_where_they_are_allowed() -> None:
    """They need no session token."""
    identity = await keys_door(allow_long_term_keys=True).identify(
        [(ID, LONG_TERM.encode()), KEYS[1]]
    )

    assert identity.caller == Caller.from_keys(LONG_TERM, SECRET, None)


@pytest.mark.parametrize("scheme", CHALLENGES)
async def test_a_kind_that_is_not_served_is_refused(
    scheme: str, door: Authenticator, sandbox: Sandbox
) -> None:
    """Even if it is good; and the refusal says which is."""
    other = next(name for name in CHALLENGES if name != scheme)
    only = Authenticator(frozenset({other}), allow_long_term_keys=False, oidc=door.oidc)
    bearer = authorization(f"Bearer {id_token(sandbox.url)}".encode())
    with pytest.raises(UnauthenticatedError, match="not served") as caught:
        await only.identify(KEYS if scheme == "aws-headers" else [bearer])

    check_refusal(caught.value)
    assert only.challenge == {"WWW-Authenticate": CHALLENGES[other]}
    named = {"aws-headers": "X-Aws-Access-Key-Id", "oidc": "Authorization: Bearer"}
    assert named[other] in caught.value.message
    assert named[scheme] not in caught.value.message


async def test_a_refusal_challenges_by_every_kind_that_is_served(door: Authenticator) -> None:
    """One header, as RFC 9110 has it."""
    assert door.challenge == {
        "WWW-Authenticate": 'Aws-Headers realm="audience-gateway", Bearer',
    }
    assert keys_door().challenge == {"WWW-Authenticate": 'Aws-Headers realm="audience-gateway"'}


@pytest.mark.parametrize("form", ["Bearer {}", "bearer {}", "BEARER {}", "Bearer    {}  "])
async def test_a_good_token_is_somebody(door: Authenticator, sandbox: Sandbox, form: str) -> None:
    """Who signs with the keys of the session that STS gave for it."""
    sent = form.format(id_token(sandbox.url)).encode()
    identity = await door.identify([authorization(sent)])
    (call,) = [call for call in sandbox.calls if call["operation"] == OPERATION]

    assert identity.caller is not None
    assert identity.caller.keys.access_key == call["access_key_id"]
    assert call["parameters"]["RoleArn"] == ROLE_ARNS["ada"]


async def test_a_caller_is_who_the_token_is(
    door: Authenticator, sandbox: Sandbox, tmp_path: Path
) -> None:
    """The same token in the same role is one caller, its keys apart; any other is another."""
    ada, grace = id_token(sandbox.url), id_token(sandbox.url, "grace")
    first, again = await caller(door, ada), await caller(door, ada)
    others = [await caller(door, grace), await caller(door, id_token(sandbox.url, claims={"x": 1}))]
    async with both_doors(sandbox, tmp_path) as renewed:
        same = await caller(renewed, ada)
    async with both_doors(sandbox, tmp_path, {"ada": ROLE_ARNS["grace"]}) as elsewhere:
        others.append(await caller(elsewhere, ada))

    assert first == again
    assert same.keys != first.keys
    assert (same.fingerprint, same.encryption_key) == (first.fingerprint, first.encryption_key)
    everybody = [first, *others]
    assert len({each.fingerprint for each in everybody}) == len(everybody)
    assert len({each.encryption_key for each in everybody}) == len(everybody)


@pytest.mark.parametrize(("token_seconds", "session_seconds"), [(1200, 3600), (7200, 900)])
async def test_a_caller_s_right_ends_with_the_first_of_token_and_session(
    sandbox: Sandbox, tmp_path: Path, token_seconds: int, session_seconds: int
) -> None:
    """Whichever that is."""
    text = id_token(sandbox.url, seconds=token_seconds)
    async with both_doors(sandbox, tmp_path, seconds=session_seconds) as door:
        found = await caller(door, text)
        assert door.oidc is not None
        verified = await door.oidc.verifier.verify(text)
        role = verified.issuer.role_for(verified.claims)
        assert role is not None
        session = await door.oidc.sessions.session_for(verified, role)

    assert found.expires_at == min(verified.expires_at, session.expires_at)
    assert (found.expires_at == verified.expires_at) is (token_seconds < session_seconds)


async def test_what_was_read_is_not_kept_beyond_the_token(
    door: Authenticator, sandbox: Sandbox
) -> None:
    """A page that may be cached for an hour is kept for what is left of the token's life."""
    text = id_token(sandbox.url, seconds=900)
    reader = await caller(door, text)
    ends = reader.expires_at
    assert ends is not None
    kept: list[float] = []

    class Noted(AnswerCache):
        """Keeps nothing, and notes for how long it should have."""

        async def get(self, caller: Caller, key: str) -> bytes | None:  # noqa: ARG002
            return None

        async def set(self, caller: Caller, key: str, value: bytes, seconds: float) -> None:  # noqa: ARG002
            kept.append(seconds)

        async def close(self) -> None:
            pass

    for left in (900, 60, 0.5, 0, -10):
        clock = Clock(ends - left)
        answers = CachedClient(FakeAws(), Noted(), 3600, clock=clock)
        await answers.page(reader, FIRST_PAGE, FetchOptions(fresh=False, before_call=lambda: None))

    assert kept[:3] == pytest.approx([900, 60, 0.5])
    assert all(seconds <= 0 for seconds in kept[3:])


async def test_claims_that_lead_to_no_role_are_no_401(
    door: Authenticator, sandbox: Sandbox
) -> None:
    """The person is known, and not allowed; STS is not asked."""
    identity = await enter(door, id_token(sandbox.url, "somebody"))

    assert identity.caller is None
    assert identity.problem.code == "FORBIDDEN"
    assert "somebody" not in identity.problem.message
    assert OPERATION not in [call["operation"] for call in sandbox.calls]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("AccessDenied", "FORBIDDEN"),
        ("InvalidIdentityToken", "UNAUTHENTICATED"),
        ("ServiceUnavailable", "UPSTREAM_UNAVAILABLE"),
    ],
)
async def test_a_refusal_of_sts_is_why_there_is_nobody(
    door: Authenticator, sandbox: Sandbox, code: str, expected: str
) -> None:
    """It is told by the field that needs somebody, and the next request is asked for anew."""
    text = id_token(sandbox.url)
    sandbox.fault("sts-error", code=code, times=1)
    identity = await enter(door, text)

    assert identity.caller is None
    assert identity.problem.code == expected
    assert (await enter(door, text)).caller is not None


async def test_an_unreachable_issuer_is_why_there_is_nobody(
    door: Authenticator, sandbox: Sandbox
) -> None:
    """Not the caller's fault."""
    text = id_token(sandbox.url)
    sandbox.fault("unavailable", operation="GetJwks")
    identity = await enter(door, text)

    assert identity.caller is None
    assert identity.problem.code == "UPSTREAM_UNAVAILABLE"


async def test_a_forged_token_is_judged_before_anything_else(
    door: Authenticator, sandbox: Sandbox
) -> None:
    """Who knows what ada's token says gets nothing of what she is served, and reaches no STS."""
    text = id_token(sandbox.url)
    await caller(door, text)
    before = len(sandbox.calls)
    header, claims, signature = text.split(".")
    forged = token({"iss": f"{sandbox.url}/oidc", "sub": "ada"}, curve())
    for wrong in (f"{header}.{claims}.{signature[::-1]}", f"{header}.{claims}.", forged):
        with pytest.raises(UnauthenticatedError) as caught:
            await enter(door, wrong)
        check_refusal(caught.value)

    assert len(sandbox.calls) == before


names = st.sampled_from([ID, SECRET_NAME, TOKEN_NAME, b"authorization", b"host"])
values = st.binary(max_size=30) | st.sampled_from(
    [
        *(value for _, value in KEYS),
        LONG_TERM.encode(),
        b"",
        b"\xff\xfe",
        b"Bearer",
        b"Bearer x",
        b"Bearer a.b.c",
        BEARER[1],
    ]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sent=st.lists(st.tuples(names, values), max_size=6), allowed=st.booleans())
@example(KEYS, False)  # noqa: FBT003 - a case
async def test_any_headers_are_somebody_nobody_or_a_401(
    door: Authenticator,
    sent: Headers,
    allowed: bool,  # noqa: FBT001 - a case
) -> None:
    """Nothing else comes out, and whoever comes out is who the headers say."""
    both = Authenticator(door.schemes, allowed, door.oidc)
    try:
        identity = await both.identify(sent)
    except UnauthenticatedError as error:
        check_refusal(error)
        return
    sent_names, somebody = [name for name, _ in sent], identity.caller
    if somebody is None:
        assert set(sent_names) <= {b"host"}
        return
    found = dict(sent)
    assert b"authorization" not in sent_names
    assert all(sent_names.count(name) <= 1 for name in (ID, SECRET_NAME, TOKEN_NAME))
    assert somebody.keys.access_key.encode() == found[ID]
    assert somebody.keys.secret_key.encode() == found[SECRET_NAME]
    assert somebody.keys.token is not None or allowed
