"""Everything we may tell a caller went wrong: one tree, one public code for each leaf."""

import re
from collections.abc import Iterator

import pytest

import gateway.errors
import gateway.graph.execution.engine
import gateway.upstream.loader
from gateway.errors import (
    AwsErrorDetails,
    BadUserInputError,
    GatewayError,
    OverloadedError,
    ThrottledError,
    UpstreamError,
)

DOCUMENTED = {
    "GRAPHQL_PARSE_FAILED",
    "GRAPHQL_VALIDATION_FAILED",
    "UNAUTHENTICATED",
    "FORBIDDEN",
    "BAD_USER_INPUT",
    "INVALID_CURSOR",
    "NOT_FOUND",
    "THROTTLED",
    "LIMIT_EXCEEDED",
    "UPSTREAM_TIMEOUT",
    "UPSTREAM_UNAVAILABLE",
    "UPSTREAM_INVALID_RESPONSE",
    "OVERLOADED",
    "INTERNAL",
}


def below(kind: type[GatewayError]) -> Iterator[type[GatewayError]]:
    """Give every error derived from this one."""
    for derive_key in kind.__subclasses__():
        yield derive_key
        yield from below(derive_key)


ALL = sorted(set(below(GatewayError)), key=lambda kind: kind.__qualname__)
OWN = [kind for kind in ALL if kind.__module__ == "gateway.errors"]
BRANCHES: set[type[GatewayError]] = {UpstreamError}
"""Not raised by themselves."""


def test_every_code_is_documented() -> None:
    """Codes are public: one that is not in the list is a promise nobody knows of."""
    assert {kind.code for kind in ALL if kind not in BRANCHES} <= DOCUMENTED


def test_no_two_errors_share_a_code_by_accident() -> None:
    """A code is said in one place; a finer error either keeps its parent's or has its own."""
    said = [kind.code for kind in ALL if "code" in vars(kind)]

    assert sorted(said) == sorted(set(said))
    assert [kind for kind in OWN if kind not in BRANCHES and "code" not in vars(kind)] == []


def test_a_branch_has_no_code() -> None:
    """Nobody can raise it by mistake and have it shown as something."""
    assert [kind for kind in BRANCHES if hasattr(kind, "code")] == []


def test_the_tree_that_is_drawn_is_the_tree_there_is() -> None:
    """Every name in the drawing exists at its depth, and every error is drawn."""
    drawn: dict[str, int] = {}
    for line in (gateway.errors.__doc__ or "").splitlines():
        found = re.match(r"([│├└─ ]*)(\w+Error)\b", line)
        if found and (found[1] or found[2] == "GatewayError") and not line.startswith("What"):
            drawn[found[2]] = len(found[1]) // 4
    tree: list[type[GatewayError]] = [GatewayError, *OWN]
    real = {kind.__name__: kind.__mro__.index(GatewayError) for kind in tree}

    assert drawn == real


@pytest.mark.parametrize("kind", [kind for kind in OWN if kind not in BRANCHES])
def test_an_error_shows_its_code_and_where_aws_answered(kind: type[GatewayError]) -> None:
    """And nothing else, if there is nothing else; who is full says when to come back."""
    answer = AwsErrorDetails("ListThings", "SomeException", "r-1")
    always = {"retryAfter": 2} if kind is OverloadedError else {}

    assert kind("It is so.").extensions() == {"code": kind.code, **always}
    assert str(kind("It is so.")) == kind("It is so.").message == "It is so."
    assert kind("It is so.", aws=answer).extensions() == {
        "code": kind.code,
        "aws": {"operation": "ListThings", "code": "SomeException", "requestId": "r-1"},
        **always,
    }


@pytest.mark.parametrize(
    ("hint", "shown"), [(None, {}), (0, {"retryAfter": 0}), (1.5, {"retryAfter": 1.5})]
)
def test_a_throttle_says_when_to_come_back(hint: float | None, shown: dict[str, float]) -> None:
    """In seconds, where AWS gave a hint; zero is a hint."""
    error = ThrottledError("Wait.", retry_after=hint)

    assert error.extensions() == {"code": "THROTTLED", **shown}


def test_an_invalid_cursor_is_bad_input() -> None:
    """Who catches the wider kind catches both."""
    assert issubclass(gateway.errors.InvalidCursorError, BadUserInputError)
