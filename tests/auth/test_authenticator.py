"""The authenticator: a caller, the error that data fields fail with, or a 401."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gateway.auth.authenticator import CHALLENGES, Authenticator, Identity, Oidc
from gateway.auth.credentials import Caller
from gateway.auth.oidc import TokenVerifier
from gateway.auth.oidc_file import Role, read_oidc_file
from gateway.auth.sts import OPERATION, SessionCache, StsClient
from gateway.errors import GatewayError, UnauthenticatedError
from gateway.sandbox import ROLE_ARNS
from gateway.upstream.cache.cached_client import CachedClient
from gateway.upstream.cache.memory import ResponseCache
from gateway.upstream.resilience.rate_limit import CallerRateLimiter
from gateway.upstream.values import RequestCost
from tests.auth.issuers import curve, identify, sandbox_file, token
from tests.clock import Clock
from tests.gateways import Sandbox
from tests.sandbox.identities import id_token
from tests.upstream.clients import FIRST_PAGE, PROJECTIONS, FakeClient

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
    return b"authorization", value


BEARER = authorization(b"Bearer canary.jwt.value")
SIGNED = authorization(b"AWS4-HMAC-SHA256 Credential=CANARY/20260102")

REFUSED: dict[str, Headers] = {
    "incomplete keys": KEYS[:2],
    "malformed keys": [(ID, b"canary"), *KEYS[1:]],
    "long-term keys": [(ID, LONG_TERM.encode()), *KEYS[1:]],
    "duplicate key id": [*KEYS, KEYS[0]],
    "two key ids": [*KEYS, (ID, b"ASIACANARY9999999999")],
    "duplicate secret": [*KEYS, KEYS[1]],
    "duplicate token": [*KEYS, KEYS[2]],
    "empty second token": [*KEYS, (TOKEN_NAME, b"")],
    "bearer and keys": [*KEYS, BEARER],
    "bearer before keys": [BEARER, *KEYS],
    "bearer and an empty key id": [BEARER, (ID, b"")],
    "bearer and one key header": [BEARER, KEYS[2]],
    "signature and keys": [*KEYS, SIGNED],
    "empty authorization and keys": [*KEYS, authorization(b"")],
    "empty authorization": [authorization(b"")],
    "two authorizations": [BEARER, SIGNED],
    "duplicate authorization": [BEARER, BEARER],
    "bearer and an empty authorization": [BEARER, authorization(b"")],
    "signature alone": [SIGNED],
    "basic": [authorization(b"Basic Y2FuYXJ5OmNhbmFyeQ==")],
    "bearer without a token": [authorization(b"Bearer")],
    "bearer and a space": [authorization(b"Bearer ")],
    "bearer and spaces": [authorization(b"Bearer     ")],
    "a token without a scheme": [authorization(b"canary.jwt.value")],
    "a tab for the space": [authorization(b"Bearer\tcanary.jwt.value")],
    "another scheme": [authorization(b"Bearers canary.jwt.value")],
    "not ASCII": [authorization("Bearer \xa0canary\xff".encode("latin-1"))],
    "a colon": [authorization(b"Bearer: canary.jwt.value")],
    "two tokens": [authorization(b"Bearer canary.jwt.value, Bearer canary.jwt.value")],
    "garbage": [BEARER],
}

NO_CREDENTIALS: list[Headers] = [
    [],
    [(b"host", b"x"), (b"cookie", b"x-aws-access-key-id=ASIA")],
    [(b"x-amz-security-token", TOKEN.encode())],
    [(b"x-aws-access-key", KEY_ID.encode())],
    [(b"x_aws_access_key_id", KEY_ID.encode())],
    [(b"proxy-authorization", b"Basic x")],
    [(b"x-authorization", b"Bearer x"), (b"x-forwarded-access-token", b"x")],
]


def aws_headers_only(*, allow_long_term_keys: bool = False) -> Authenticator:
    return Authenticator(frozenset({"aws-headers"}), allow_long_term_keys)


@asynccontextmanager
async def both_schemes(
    sandbox: Sandbox, folder: Path, roles: Mapping[str, str] = ROLE_ARNS, **file: Any
) -> AsyncIterator[Authenticator]:
    """Open an authenticator that trusts the sandbox's issuer."""
    issuers = read_oidc_file(sandbox_file(folder, sandbox.url, roles, **file))
    async with StsClient.open(REGION, sandbox.url) as sts:
        sessions = SessionCache(sts, CallerRateLimiter(0))
        oidc = Oidc(TokenVerifier(issuers), sessions)
        yield Authenticator(
            frozenset({"aws-headers", "oidc"}), allow_long_term_keys=False, oidc=oidc
        )
        await sessions.close()


@pytest.fixture
async def authenticator(sandbox: Sandbox, tmp_path: Path) -> AsyncIterator[Authenticator]:
    async with both_schemes(sandbox, tmp_path) as authenticator:
        yield authenticator


async def identify_token(authenticator: Authenticator, text: str) -> Identity:
    return await identify(authenticator, [authorization(f"Bearer {text}".encode())])


async def caller_of(authenticator: Authenticator, text: str) -> Caller:
    identity = await identify_token(authenticator, text)
    assert isinstance(identity, Caller), identity
    return identity


def check_error(error: UnauthenticatedError) -> None:
    """Check that the error repeats nothing of the request."""
    assert error.message.endswith(".")
    assert "canary" not in f"{error} {error!r}".lower()


@pytest.mark.parametrize("headers", REFUSED.values(), ids=REFUSED)
async def test_malformed_and_conflicting_credentials_are_refused(
    headers: Headers, authenticator: Authenticator, sandbox: Sandbox
) -> None:
    """They are refused whichever schemes are enabled, and cause no call."""
    for each in (aws_headers_only(), authenticator):
        with pytest.raises(UnauthenticatedError) as caught:
            await identify(each, [(b"host", b"canary-host"), *headers])
        check_error(caught.value)

    assert sandbox.calls == []


@pytest.mark.parametrize("headers", NO_CREDENTIALS)
async def test_without_credentials_only_data_fields_fail(
    headers: Headers, authenticator: Authenticator
) -> None:
    """Introspection needs none. The error names the enabled schemes."""
    for each, named in (
        (aws_headers_only(), ["X-Aws-Access-Key-Id"]),
        (authenticator, ["X-Aws-Access-Key-Id", "Bearer"]),
    ):
        identity = await identify(each, headers)
        assert isinstance(identity, UnauthenticatedError)
        assert all(name in identity.message for name in named)


@pytest.mark.parametrize("headers", [[(b"host", b"x"), *KEYS], KEYS[::-1]])
@pytest.mark.parametrize("allowed", [True, False])
async def test_temporary_credentials_are_a_caller(*, headers: Headers, allowed: bool) -> None:
    authenticator = aws_headers_only(allow_long_term_keys=allowed)

    assert await identify(authenticator, headers) == Caller.from_keys(KEY_ID, SECRET, TOKEN)


async def test_long_term_keys_are_a_caller_if_they_are_allowed() -> None:
    headers = [(ID, LONG_TERM.encode()), KEYS[1]]
    identity = await identify(aws_headers_only(allow_long_term_keys=True), headers)

    assert identity == Caller.from_keys(LONG_TERM, SECRET, None)


@pytest.mark.parametrize("scheme", CHALLENGES)
async def test_a_scheme_that_is_not_enabled_is_refused(
    scheme: str, authenticator: Authenticator, sandbox: Sandbox
) -> None:
    """Valid credentials do not help; the error names the enabled scheme."""
    other = next(name for name in CHALLENGES if name != scheme)
    only = Authenticator(frozenset({other}), allow_long_term_keys=False, oidc=authenticator.oidc)
    bearer = authorization(f"Bearer {id_token(sandbox.url)}".encode())
    with pytest.raises(UnauthenticatedError, match="not enabled") as caught:
        await identify(only, KEYS if scheme == "aws-headers" else [bearer])

    check_error(caught.value)
    assert only.challenge == {"WWW-Authenticate": CHALLENGES[other]}
    named = {"aws-headers": "X-Aws-Access-Key-Id", "oidc": "Authorization: Bearer"}
    assert named[other] in caught.value.message
    assert named[scheme] not in caught.value.message


async def test_the_challenge_has_all_enabled_schemes(authenticator: Authenticator) -> None:
    both = 'Aws-Headers realm="audience-gateway", Bearer'

    assert authenticator.challenge == {"WWW-Authenticate": both}


@pytest.mark.parametrize("form", ["Bearer {}", "bearer {}", "BEARER {}", "Bearer    {}  "])
async def test_a_valid_token_is_a_caller_with_the_session_of_its_role(
    authenticator: Authenticator, sandbox: Sandbox, form: str
) -> None:
    value = form.format(id_token(sandbox.url)).encode()
    identity = await identify(authenticator, [authorization(value)])
    (call,) = [call for call in sandbox.calls if call["operation"] == OPERATION]

    assert isinstance(identity, Caller)
    assert identity.credentials.access_key == call["access_key_id"]
    assert call["parameters"]["RoleArn"] == ROLE_ARNS["ada"]


async def test_token_and_role_identify_a_caller_and_its_session_does_not(
    authenticator: Authenticator, sandbox: Sandbox, tmp_path: Path
) -> None:
    ada, grace = id_token(sandbox.url), id_token(sandbox.url, "grace")
    other_token = id_token(sandbox.url, claims={"x": 1})
    first = await caller_of(authenticator, ada)
    others = [await caller_of(authenticator, text) for text in (grace, other_token)]
    async with both_schemes(sandbox, tmp_path) as with_new_session:
        same = await caller_of(with_new_session, ada)
    async with both_schemes(sandbox, tmp_path, {"ada": ROLE_ARNS["grace"]}) as with_other_role:
        others.append(await caller_of(with_other_role, ada))

    assert await caller_of(authenticator, ada) == first
    assert same.credentials != first.credentials
    assert (same.fingerprint, same.encryption_key) == (first.fingerprint, first.encryption_key)
    assert len({each.fingerprint for each in [first, *others]}) == 4
    assert len({each.encryption_key for each in [first, *others]}) == 4


async def test_the_claims_of_a_token_are_matched_once(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With 200 groups and 50 roles it takes a millisecond."""
    matched = []
    matches = Role.matches

    def counted(role: Role, claims: Mapping[str, Any]) -> bool:
        matched.append(role)
        return matches(role, claims)

    monkeypatch.setattr(Role, "matches", counted)
    text = id_token(sandbox.url)
    async with both_schemes(sandbox, tmp_path) as authenticator:
        first = await caller_of(authenticator, text)
        at_first = len(matched)
        assert (await caller_of(authenticator, text)).limit_key == first.limit_key

    assert at_first
    assert len(matched) == at_first


@pytest.mark.parametrize(("token_seconds", "session_seconds"), [(1200, 3600), (7200, 900)])
async def test_a_caller_expires_with_the_first_of_token_and_session(
    sandbox: Sandbox, tmp_path: Path, token_seconds: int, session_seconds: int
) -> None:
    text = id_token(sandbox.url, seconds=token_seconds)
    async with both_schemes(sandbox, tmp_path, seconds=session_seconds) as authenticator:
        found = await caller_of(authenticator, text)
        assert authenticator.oidc is not None
        verified = await authenticator.oidc.verifier.verify(text)
        assert verified.role is not None
        session = await authenticator.oidc.sessions.session_for(verified, verified.role)

    assert found.expires_at == min(verified.expires_at, session.expires_at)
    assert (found.expires_at == verified.expires_at) is (token_seconds < session_seconds)


async def test_nothing_is_cached_beyond_the_expiry_of_a_token(
    authenticator: Authenticator, sandbox: Sandbox
) -> None:
    caller = await caller_of(authenticator, id_token(sandbox.url, seconds=900))
    expires_at = caller.expires_at
    assert expires_at is not None
    lifetimes: list[float] = []

    class RecordingCache(ResponseCache):
        async def get(self, *_: Any) -> Any:
            return None

        async def set(self, *arguments: Any) -> None:
            lifetimes.append(arguments[-1])

        async def delete(self, *_: Any) -> None:
            raise AssertionError

        async def close(self) -> None:
            pass

    for left in (900, 60, 0.5, 0, -10):
        client = CachedClient(
            FakeClient(), RecordingCache(), 3600, PROJECTIONS, clock=Clock(expires_at - left)
        )
        await client.fetch(caller, FIRST_PAGE, cost=RequestCost(), before_call=lambda: None)

    assert lifetimes[:3] == pytest.approx([900, 60, 0.5])
    assert all(seconds <= 0 for seconds in lifetimes[3:])


async def test_claims_that_match_no_role_are_forbidden(
    authenticator: Authenticator, sandbox: Sandbox
) -> None:
    """The data fields fail, without a 401 and without a call to STS."""
    identity = await identify_token(authenticator, id_token(sandbox.url, "somebody"))

    assert isinstance(identity, GatewayError)
    assert identity.code == "FORBIDDEN"
    assert "somebody" not in identity.message
    assert OPERATION not in [call["operation"] for call in sandbox.calls]


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ({"name": "sts-error", "code": "AccessDenied"}, "FORBIDDEN"),
        ({"name": "sts-error", "code": "InvalidIdentityToken"}, "UNAUTHENTICATED"),
        ({"name": "sts-error", "code": "ServiceUnavailable"}, "UPSTREAM_UNAVAILABLE"),
        ({"name": "unavailable", "operation": "GetJwks"}, "UPSTREAM_UNAVAILABLE"),
    ],
)
async def test_a_failure_of_sts_or_issuer_is_an_error_of_the_data_fields(
    authenticator: Authenticator, sandbox: Sandbox, fault: dict[str, Any], code: str
) -> None:
    """There is no 401. The next request tries the exchange again, unless STS has denied it."""
    text = id_token(sandbox.url)
    sandbox.fault(**fault, times=1)
    identity = await identify_token(authenticator, text)

    assert isinstance(identity, GatewayError)
    assert identity.code == code
    again = await identify_token(authenticator, text)
    if code in {"FORBIDDEN", "UNAUTHENTICATED"}:
        assert isinstance(again, GatewayError)
        assert again.code == code
    elif fault["name"] == "sts-error":
        assert isinstance(again, Caller)


async def test_a_forged_token_is_refused_before_any_call(
    authenticator: Authenticator, sandbox: Sandbox
) -> None:
    """A cached session of the token that it imitates is not used."""
    text = id_token(sandbox.url)
    await caller_of(authenticator, text)
    before = len(sandbox.calls)
    header, claims, signature = text.split(".")
    forged = token({"iss": f"{sandbox.url}/oidc", "sub": "ada"}, curve())
    for wrong in (f"{header}.{claims}.{signature[::-1]}", f"{header}.{claims}.", forged):
        with pytest.raises(UnauthenticatedError) as caught:
            await identify_token(authenticator, wrong)
        check_error(caught.value)

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
@example(sent=KEYS, allowed=False)
async def test_any_headers_are_the_caller_they_name_or_an_error(
    authenticator: Authenticator, *, sent: Headers, allowed: bool
) -> None:
    both = Authenticator(authenticator.schemes, allowed, authenticator.oidc)
    try:
        identity = await identify(both, sent)
    except UnauthenticatedError as error:
        check_error(error)
        return
    sent_names = [name for name, _ in sent]
    if isinstance(identity, GatewayError):
        assert set(sent_names) <= {b"host"}
        return
    assert b"authorization" not in sent_names
    assert all(sent_names.count(name) <= 1 for name in (ID, SECRET_NAME, TOKEN_NAME))
    assert identity.credentials.access_key.encode() == dict(sent)[ID]
    assert identity.credentials.secret_key.encode() == dict(sent)[SECRET_NAME]
    assert identity.credentials.token is not None or allowed
