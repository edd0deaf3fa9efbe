"""AWS credentials in three headers."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.auth.authenticator import (
    ACCESS_KEY_ID,
    MAX_CREDENTIAL_CHARACTERS,
    SECRET_ACCESS_KEY,
    SESSION_TOKEN,
    caller_from_aws_headers,
)
from gateway.auth.credentials import Caller
from gateway.errors import UnauthenticatedError

KEY_ID = "ASIACANARY0123456789"
LONG_TERM = "AKIACANARY0123456789"
SECRET = "canary/secret+access/key"
TOKEN = "canary//session+token=="


def headers(
    key_id: str | None = KEY_ID, secret: str | None = SECRET, token: str | None = TOKEN
) -> dict[str, str]:
    sent = {ACCESS_KEY_ID: key_id, SECRET_ACCESS_KEY: secret, SESSION_TOKEN: token}
    return {name: value for name, value in sent.items() if value is not None}


REFUSED: dict[str, dict[str, str]] = {
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
    "long-term key": headers(key_id=LONG_TERM),
    "long-term key without token": headers(key_id=LONG_TERM, token=None),
    "lower-case key id": headers(key_id=KEY_ID.lower()),
    "short key id": headers(key_id="ASIA"),
    "long key id": headers(key_id="A" * 129),
    "key id with a space": headers(key_id="ASIACANARY 123456789"),
    "key id with a slash": headers(key_id="ASIACANARY/20260102/"),
    "key id with a line break": headers(key_id=f"{KEY_ID}\n"),
    "key id joined by a comma": headers(key_id=f"{KEY_ID},{KEY_ID}"),
    "key id beyond ASCII": headers(key_id="ASIACANARY\xc3\x890123456"),
    "secret with a space": headers(secret="canary secret"),
    "secret with a tab": headers(secret="canary\tsecret"),
    "secret with a null": headers(secret="canary\0secret"),
    "secret with a line break": headers(secret="canary\r\nX-Evil: 1"),
    "secret ending in a line break": headers(secret=f"{SECRET}\n"),
    "secret beyond ASCII": headers(secret="canary\xc3\xa9"),
    "secret with a delete": headers(secret="canary\x7f"),
    "long secret": headers(secret="canary" * 2049),
    "token with a line break": headers(token="canary\r\nX-Evil: 1"),
    "token with a null": headers(token="canary\0"),
    "token beyond ASCII": headers(token="canary\xff"),
    "long token": headers(token="canary" * 2049),
}


@pytest.mark.parametrize("sent", REFUSED.values(), ids=REFUSED)
def test_incomplete_and_malformed_credentials_are_refused(sent: dict[str, str]) -> None:
    """The error does not repeat them."""
    with pytest.raises(UnauthenticatedError) as caught:
        caller_from_aws_headers(sent, allow_long_term_keys=False)

    error = caught.value
    assert error.message.endswith(".")
    assert "canary" not in f"{error} {error!r} {error.extensions()}".lower()


@pytest.mark.parametrize("token", [None, TOKEN])
def test_long_term_keys_are_a_caller_if_they_are_allowed(token: str | None) -> None:
    """They alone need no session token."""
    sent = headers(LONG_TERM, SECRET, token)

    assert caller_from_aws_headers(sent, allow_long_term_keys=True) == Caller.from_keys(
        LONG_TERM, SECRET, token
    )


def test_temporary_keys_always_need_their_session_token() -> None:
    with pytest.raises(UnauthenticatedError, match="incomplete"):
        caller_from_aws_headers(headers(token=None), allow_long_term_keys=True)


def test_long_session_tokens_are_accepted() -> None:
    token = "t" * MAX_CREDENTIAL_CHARACTERS

    assert caller_from_aws_headers(
        headers(token=token), allow_long_term_keys=False
    ) == Caller.from_keys(KEY_ID, SECRET, token)


values = st.none() | st.text(max_size=30) | st.sampled_from([KEY_ID, LONG_TERM, SECRET, TOKEN, ""])


@given(key_id=values, secret=values, token=values, allowed=st.booleans())
@example(KEY_ID, SECRET, TOKEN, False)  # noqa: FBT003 - a case
@example(LONG_TERM, SECRET, None, True)  # noqa: FBT003 - a case
def test_any_values_are_a_caller_with_them_or_an_error(
    key_id: str | None,
    secret: str | None,
    token: str | None,
    allowed: bool,  # noqa: FBT001
) -> None:
    try:
        caller = caller_from_aws_headers(
            headers(key_id, secret, token), allow_long_term_keys=allowed
        )
    except UnauthenticatedError:
        return
    assert caller.credentials.access_key == key_id
    assert caller.credentials.secret_key == secret
    assert caller.credentials.token == token
    assert token is not None or allowed
    assert all(part is None or part.isascii() for part in (key_id, secret, token))
