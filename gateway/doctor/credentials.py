"""The credentials of the person who runs the check: the one place that reads AWS_* keys."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.auth.aws_headers import (
    ACCESS_KEY_ID,
    SECRET_ACCESS_KEY,
    SESSION_TOKEN,
    caller_from_aws_headers,
)
from gateway.auth.credentials import Caller
from gateway.doctor.row import Row, fail, ok, skipped
from gateway.errors import UnauthenticatedError

WHAT = "credentials"

VARIABLES = {
    "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
    "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
    "AWS_SESSION_TOKEN": SESSION_TOKEN,
}
"""Variable -> the header in which a caller of the gateway would send it."""

_NAMES = ", ".join(VARIABLES)
_ONLY_HERE = "for this check only: the gateway itself never reads them"


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who runs the check, if they say so, and what is to be said of it."""

    caller: Caller | None
    row: Row


def environment_credentials(
    environment: Mapping[str, str] = os.environ,  # noqa: TID251  given by whoever runs the check
) -> Credentials:
    """Read the variables in which AWS's own tools take credentials."""
    given = {
        header: environment[name] for name, header in VARIABLES.items() if environment.get(name)
    }
    if not given:
        return Credentials(None, skipped(WHAT, f"To try yours, set {_NAMES}, {_ONLY_HERE}."))
    try:
        caller = caller_from_aws_headers(given, allow_long_term_keys=True)
    except UnauthenticatedError:
        why = f"{_NAMES} are there in part, or are no credentials."
        remedy = "Set all three, of one session; or the first two alone for long-term keys."
        return Credentials(None, fail(WHAT, why, remedy))
    return Credentials(caller, ok(WHAT, f"Taken from {_NAMES}, {_ONLY_HERE}."))
