"""Who is asking: from a request's headers to a Caller. The one door of identity."""

import re
from collections.abc import Iterable

from gateway.caller import Caller
from gateway.entry.problem import HttpProblem
from gateway.errors import UnauthenticatedError

ACCESS_KEY_ID = b"x-aws-access-key-id"
SECRET_ACCESS_KEY = b"x-aws-secret-access-key"
SESSION_TOKEN = b"x-aws-session-token"
_HEADERS = (ACCESS_KEY_ID, SECRET_ACCESS_KEY, SESSION_TOKEN)
_NAMES = "X-Aws-Access-Key-Id, X-Aws-Secret-Access-Key and X-Aws-Session-Token"

LONG_TERM_PREFIX = "AKIA"

_ACCESS_KEY_ID = re.compile(r"[A-Z0-9]{16,128}")
_VISIBLE = re.compile(r"[\x21-\x7e]{1,8192}")

UNAUTHORIZED = 401
CHALLENGE = {"WWW-Authenticate": 'Aws-Headers realm="audience-gateway"'}
"""RFC 9110 wants a challenge with each 401. The scheme is ours: three headers, no dialogue."""


def caller_of(
    headers: Iterable[tuple[bytes, bytes]], *, allow_long_term_keys: bool
) -> Caller | None:
    """Return who is asking, None if nobody says so.

    `headers` are those of an ASGI scope. Credentials are all or nothing: raises HttpProblem 401
    for any that are half-given, doubled or malformed. Says nothing of their values.
    """
    given = _given(headers)
    if not given:
        return None
    key_id, secret, token = (given.get(name) for name in _HEADERS)
    if key_id is None or secret is None:
        raise _refused(f"The credentials are incomplete. Accepted: {_NAMES} together.")
    if not _ACCESS_KEY_ID.fullmatch(key_id):
        raise _refused("X-Aws-Access-Key-Id is not an access key id.")
    if key_id.startswith(LONG_TERM_PREFIX):
        _check_long_term(allowed=allow_long_term_keys)
    elif token is None:
        raise _refused(f"The credentials are incomplete. Accepted: {_NAMES} together.")
    for name, value in (("X-Aws-Secret-Access-Key", secret), ("X-Aws-Session-Token", token)):
        if value is not None and not _VISIBLE.fullmatch(value):
            raise _refused(f"{name} is empty, too long, or has characters that none has.")
    return Caller.from_keys(key_id, secret, token)


def _given(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, str]:
    given: dict[bytes, str] = {}
    for name, value in headers:
        if name == b"authorization":
            raise _refused(f"Authorization is not served here. Accepted: {_NAMES}.")
        if name in _HEADERS:
            if name in given:
                raise _refused(f"{name.decode()} is there twice. Accepted: each of {_NAMES} once.")
            given[name] = value.decode("latin-1")
    return given


def _check_long_term(*, allowed: bool) -> None:
    if not allowed:
        raise _refused(
            "Long-term keys (AKIA…) are not accepted: they never expire. Accepted: temporary "
            "credentials, with their session token."
        )


def _refused(message: str) -> HttpProblem:
    return HttpProblem(UNAUTHORIZED, UnauthenticatedError(message), CHALLENGE)
