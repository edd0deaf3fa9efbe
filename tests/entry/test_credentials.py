"""The one door of identity: good credentials, none, or a refusal that repeats nothing."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.caller import Caller
from gateway.entry.credentials import caller_of
from gateway.entry.problem import HttpProblem

KEY_ID = "ASIACANARY0123456789"
LONG_TERM = "AKIACANARY0123456789"
SECRET = "canary/secret+access/key"
TOKEN = "canary//session+token=="
ID, SECRET_NAME, TOKEN_NAME = (
    b"x-aws-access-key-id",
    b"x-aws-secret-access-key",
    b"x-aws-session-token",
)

Headers = list[tuple[bytes, bytes]]


def headers(
    key_id: str | bytes | None = KEY_ID,
    secret: str | bytes | None = SECRET,
    token: str | bytes | None = TOKEN,
    *more: tuple[bytes, bytes],
) -> Headers:
    """Give the headers of a request, those that are None left out."""
    given = zip((ID, SECRET_NAME, TOKEN_NAME), (key_id, secret, token), strict=True)
    sent = [
        (name, value.encode("latin-1") if isinstance(value, str) else value)
        for name, value in given
        if value is not None
    ]
    return [(b"host", b"canary-host"), *sent, *more]


BEARER = (b"authorization", b"Bearer canary.jwt.value")
SIGNED = (b"authorization", b"AWS4-HMAC-SHA256 Credential=CANARY/20260102")

REFUSED: dict[str, Headers] = {
    "key id alone": headers(secret=None, token=None),
    "secret alone": headers(key_id=None, token=None),
    "token alone": headers(key_id=None, secret=None),
    "no key id": headers(key_id=None),
    "no secret": headers(secret=None),
    "no token": headers(token=None),
    "all empty": headers("", "", ""),
    "empty key id": headers(key_id=""),
    "empty secret": headers(secret=""),
    "empty token": headers(token=""),
    "key id twice": headers(KEY_ID, SECRET, TOKEN, (ID, KEY_ID.encode())),
    "other key id": headers(KEY_ID, SECRET, TOKEN, (ID, b"ASIACANARY9999999999")),
    "secret twice": headers(KEY_ID, SECRET, TOKEN, (SECRET_NAME, SECRET.encode())),
    "token twice": headers(KEY_ID, SECRET, TOKEN, (TOKEN_NAME, TOKEN.encode())),
    "empty second token": headers(KEY_ID, SECRET, TOKEN, (TOKEN_NAME, b"")),
    "bearer alone": [BEARER],
    "bearer and keys": headers(KEY_ID, SECRET, TOKEN, BEARER),
    "bearer before keys": [BEARER, *headers()],
    "signature and keys": headers(KEY_ID, SECRET, TOKEN, SIGNED),
    "empty authorization": [(b"authorization", b"")],
    "two authorizations": [BEARER, SIGNED],
    "long-term key": headers(key_id=LONG_TERM),
    "long-term key without token": headers(key_id=LONG_TERM, token=None),
    "lower-case key id": headers(key_id=KEY_ID.lower()),
    "short key id": headers(key_id="ASIA"),
    "long key id": headers(key_id="A" * 129),
    "key id with a space": headers(key_id="ASIACANARY 123456789"),
    "key id with a slash": headers(key_id="ASIACANARY/20260102/"),
    "key id with a line break": headers(key_id=f"{KEY_ID}\n"),
    "key id joined by a comma": headers(key_id=f"{KEY_ID},{KEY_ID}"),
    "key id beyond ASCII": headers(key_id=b"ASIACANARY\xc3\x890123456"),
    "secret with a space": headers(secret="canary secret"),
    "secret with a tab": headers(secret="canary\tsecret"),
    "secret with a null": headers(secret="canary\0secret"),
    "secret with a line break": headers(secret="canary\r\nX-Evil: 1"),
    "secret ending in a line break": headers(secret=f"{SECRET}\n"),
    "secret beyond ASCII": headers(secret=b"canary\xc3\xa9"),
    "secret with a delete": headers(secret="canary\x7f"),
    "long secret": headers(secret="canary" * 1366),
    "token with a line break": headers(token="canary\r\nX-Evil: 1"),
    "token with a null": headers(token="canary\0"),
    "token beyond ASCII": headers(token=b"canary\xff"),
    "long token": headers(token="canary" * 1366),
}


@pytest.mark.parametrize("sent", REFUSED.values(), ids=REFUSED)
def test_credentials_are_whole_single_and_well_formed(sent: Headers) -> None:
    """Anything else is 401 with a challenge, in words that repeat none of what was sent."""
    with pytest.raises(HttpProblem) as caught:
        caller_of(sent, allow_long_term_keys=False)

    problem = caught.value
    assert problem.status == 401
    assert problem.error.code == "UNAUTHENTICATED"
    assert problem.headers["WWW-Authenticate"].startswith("Aws-Headers ")
    assert problem.error.message.endswith(".")
    assert "canary" not in f"{problem} {problem!r} {problem.headers}".lower()


@pytest.mark.parametrize(
    "sent",
    [
        [],
        [(b"host", b"x"), (b"cookie", b"x-aws-access-key-id=ASIA")],
        [(b"x-amz-security-token", TOKEN.encode())],
        [(b"x-aws-access-key", KEY_ID.encode())],
        [(b"proxy-authorization", b"Basic x")],
    ],
)
def test_no_credentials_are_nobody(sent: Headers) -> None:
    """That is no error yet: introspection needs none."""
    assert caller_of(sent, allow_long_term_keys=False) is None


@pytest.mark.parametrize("allowed", [True, False])
def test_temporary_credentials_are_somebody(allowed: bool) -> None:  # noqa: FBT001 - a case
    """In any order, among any other headers."""
    expected = Caller.from_keys(KEY_ID, SECRET, TOKEN)

    assert caller_of(headers(), allow_long_term_keys=allowed) == expected
    assert caller_of(headers()[::-1], allow_long_term_keys=allowed) == expected


@pytest.mark.parametrize("token", [None, TOKEN])
def test_long_term_keys_are_somebody_where_they_are_allowed(token: str | None) -> None:
    """Only they may come without a token."""
    sent = headers(LONG_TERM, SECRET, token)

    assert caller_of(sent, allow_long_term_keys=True) == Caller.from_keys(LONG_TERM, SECRET, token)


def test_temporary_keys_need_their_token_even_where_long_term_ones_are_allowed() -> None:
    """The setting is about keys that never expire, not about tokens."""
    with pytest.raises(HttpProblem, match="incomplete"):
        caller_of(headers(token=None), allow_long_term_keys=True)


def test_the_longest_credentials_are_taken() -> None:
    """Session tokens of real roles run to thousands of characters."""
    token = "t" * 8192

    assert caller_of(headers(token=token), allow_long_term_keys=False) == Caller.from_keys(
        KEY_ID, SECRET, token
    )


NAMES = st.sampled_from([ID, SECRET_NAME, TOKEN_NAME, b"authorization", b"host"])
VALUES = st.binary(max_size=30) | st.sampled_from(
    [KEY_ID.encode(), LONG_TERM.encode(), SECRET.encode(), TOKEN.encode(), b"", b"\xff\xfe"]
)


@given(sent=st.lists(st.tuples(NAMES, VALUES), max_size=6), allowed=st.booleans())
@example(headers(), False)  # noqa: FBT003 - a case
def test_any_headers_are_somebody_nobody_or_a_401(sent: Headers, allowed: bool) -> None:  # noqa: FBT001 - a case
    """Nothing else comes out, and whoever comes out is who the headers say."""
    try:
        somebody = caller_of(sent, allow_long_term_keys=allowed)
    except HttpProblem as problem:
        assert problem.status == 401  # noqa: PT017 - one of three ways out
        return
    names = [name for name, _ in sent]
    if somebody is None:
        assert set(names) <= {b"host"}
        return
    values = dict(sent)
    assert b"authorization" not in names
    assert all(names.count(name) <= 1 for name in (ID, SECRET_NAME, TOKEN_NAME))
    assert somebody.keys.access_key.encode() == values[ID]
    assert somebody.keys.secret_key.encode() == values[SECRET_NAME]
    assert somebody.keys.token is not None or allowed
