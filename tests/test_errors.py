"""The tree of errors: one public code per class, and what each shows in `extensions`."""

import re

import pytest

import gateway.errors
import gateway.graph.execution.engine
import gateway.upstream.loader
from gateway.errors import (
    AwsErrorDetails,
    BadUserInputError,
    GatewayError,
    InvalidCursorError,
    OverloadedError,
    ThrottledError,
    UpstreamError,
    error_classes,
)


def tree(base: type[GatewayError]) -> list[type[GatewayError]]:
    return [base, *(each for child in base.__subclasses__() for each in tree(child))]


OWN = [kind for kind in tree(GatewayError) if kind.__module__ == "gateway.errors"]
CODED = error_classes()


def test_every_error_has_a_code_but_the_abstract_ones() -> None:
    """Subclasses in other modules inherit the code of their parent."""
    assert {kind for kind in tree(GatewayError) if not hasattr(kind, "code")} == {
        GatewayError,
        UpstreamError,
    }
    assert set(CODED) == set(OWN) - {GatewayError, UpstreamError}


def test_codes_are_unique_and_documented() -> None:
    assert len({kind.code for kind in CODED}) == len(CODED)
    for kind in CODED:
        assert {"meaning", "remedy"} <= vars(kind).keys()


def test_the_drawing_matches_the_classes() -> None:
    drawn = {
        name: len(indent) // 4
        for indent, name in re.findall(
            r"^([│├└─ ]*)(\w+Error)$", gateway.errors.__doc__ or "", re.MULTILINE
        )
    }

    assert drawn == {kind.__name__: kind.__mro__.index(GatewayError) for kind in OWN}


@pytest.mark.parametrize("kind", CODED)
def test_extensions_hold_the_code_and_the_response_of_aws(kind: type[GatewayError]) -> None:
    details = AwsErrorDetails("ListThings", "SomeException", "r-1")
    always = {"retryAfter": 2} if kind is OverloadedError else {}

    assert kind("Failed.").extensions() == {"code": kind.code, **always}
    assert str(kind("Failed.")) == kind("Failed.").message == "Failed."
    assert kind("Failed.", aws=details).extensions() == {
        "code": kind.code,
        "aws": {"operation": "ListThings", "code": "SomeException", "requestId": "r-1"},
        **always,
    }


@pytest.mark.parametrize(
    ("hint", "shown"), [(None, {}), (0, {"retryAfter": 0}), (1.5, {"retryAfter": 1.5})]
)
def test_a_throttled_error_shows_the_hint_of_aws(
    hint: float | None, shown: dict[str, float]
) -> None:
    error = ThrottledError("Wait.", retry_after=hint)

    assert error.extensions() == {"code": "THROTTLED", **shown}


def test_an_invalid_cursor_is_bad_input() -> None:
    assert issubclass(InvalidCursorError, BadUserInputError)
