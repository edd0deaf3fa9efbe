"""The `aws-headers` scheme: the caller's own AWS credentials, in three headers."""

import re
from collections.abc import Mapping

from gateway.auth.credentials import Caller
from gateway.errors import UnauthenticatedError

ACCESS_KEY_ID = "x-aws-access-key-id"
SECRET_ACCESS_KEY = "x-aws-secret-access-key"  # noqa: S105  a name, not a secret
SESSION_TOKEN = "x-aws-session-token"  # noqa: S105  likewise
AWS_HEADERS = frozenset(name.encode() for name in (ACCESS_KEY_ID, SECRET_ACCESS_KEY, SESSION_TOKEN))

LONG_TERM_PREFIX = "AKIA"

_ACCESS_KEY_ID = re.compile(r"[A-Z0-9]{16,128}")
_VISIBLE = re.compile(r"[\x21-\x7e]{1,8192}")


def caller_from_aws_headers(headers: Mapping[str, str], *, allow_long_term_keys: bool) -> Caller:
    """Return the caller with the credentials in these headers.

    Raises UnauthenticatedError if they are incomplete or malformed; its message does not repeat
    their values.
    """
    key_id, secret, token = (
        headers.get(name) for name in (ACCESS_KEY_ID, SECRET_ACCESS_KEY, SESSION_TOKEN)
    )
    if key_id is None or secret is None:
        raise _incomplete()
    if not _ACCESS_KEY_ID.fullmatch(key_id):
        raise UnauthenticatedError("X-Aws-Access-Key-Id is not an access key id.")
    if key_id.startswith(LONG_TERM_PREFIX):
        if not allow_long_term_keys:
            raise UnauthenticatedError(
                "Long-term keys (AKIA…) are not accepted, because they never expire. Accepted: "
                "temporary credentials with their session token."
            )
    elif token is None:
        raise _incomplete()
    for name, value in (("X-Aws-Secret-Access-Key", secret), ("X-Aws-Session-Token", token)):
        if value is not None and not _VISIBLE.fullmatch(value):
            raise UnauthenticatedError(
                f"{name} is empty, too long, or contains invalid characters."
            )
    return Caller.from_keys(key_id, secret, token)


def _incomplete() -> UnauthenticatedError:
    return UnauthenticatedError(
        "The AWS credentials are incomplete. Accepted: X-Aws-Access-Key-Id, "
        "X-Aws-Secret-Access-Key and X-Aws-Session-Token together."
    )
