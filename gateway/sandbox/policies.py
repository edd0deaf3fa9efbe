"""Session policies: what a role's temporary credentials may be narrowed to."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import translate
from http import HTTPStatus

from gateway.sandbox.problems import RefusalError

_EFFECTS = ("Allow", "Deny")
_VERSIONS = (None, "2012-10-17", "2008-10-17")
_ACTION = re.compile(r"\*|[\w-]+:[\w*?]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Statement:
    """Which actions are allowed or denied; resources and conditions are not weighed here."""

    allows: bool
    actions: re.Pattern[str]
    others: bool

    def concerns(self, action: str) -> bool:
        """Say whether the action is one of those meant."""
        return bool(self.actions.fullmatch(action)) != self.others


@dataclass(frozen=True, slots=True)
class SessionPolicy:
    """Some statements; without any, nothing is restricted."""

    statements: tuple[Statement, ...] = ()

    def allows(self, operation: str) -> bool:
        """Say whether a call is left to the session: a denial counts more than a permission."""
        effects = {
            statement.allows
            for statement in self.statements
            if statement.concerns(f"cleanrooms-ml:{operation}")
        }
        return effects == {True} or not self.statements


UNRESTRICTED = SessionPolicy()


def read_policy(text: str) -> SessionPolicy:
    """Read a policy document, or refuse it as STS does."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise _malformed("The policy is not in the valid JSON format.") from None
    if not isinstance(document, dict) or document.get("Version") not in _VERSIONS:
        raise _malformed("Syntax errors in policy.")
    given = document.get("Statement")
    statements = tuple(map(_statement, given if isinstance(given, list) else [given]))
    if not statements:
        raise _malformed("Syntax errors in policy.")
    return SessionPolicy(statements)


def _statement(given: object) -> Statement:
    if not isinstance(given, dict) or given.get("Effect") not in _EFFECTS:
        raise _malformed("Syntax errors in policy.")
    if ("Action" in given) == ("NotAction" in given):
        raise _malformed("Policy statement must contain actions.")
    if ("Resource" in given) == ("NotResource" in given):
        raise _malformed("Policy statement must contain resources.")
    others = "NotAction" in given
    actions = "|".join(_patterns(given["NotAction" if others else "Action"]))
    return Statement(given["Effect"] == "Allow", re.compile(actions, re.IGNORECASE), others)


def _patterns(given: object) -> Iterator[str]:
    for action in given if isinstance(given, list) else [given]:
        if not isinstance(action, str) or not _ACTION.fullmatch(action):
            raise _malformed("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2")
        yield translate(action)


def _malformed(message: str) -> RefusalError:
    return RefusalError(HTTPStatus.BAD_REQUEST, "MalformedPolicyDocument", message)
