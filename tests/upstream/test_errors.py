"""One table says what each failure of AWS, or of the way there, means to a caller."""

import asyncio
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest
from botocore import exceptions as aws
from botocore.parsers import ResponseParserError
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import (
    BadUserInputError,
    ForbiddenError,
    GatewayError,
    NotFoundError,
    ThrottledError,
    UnauthenticatedError,
    UpstreamInvalidResponseError,
    UpstreamTimeoutError,
    UpstreamUnavailableError,
)
from gateway.upstream.errors import CODES, translate_errors
from gateway.upstream.model import service_model

OPERATION = "ListAudienceGenerationJobs"


def answered(
    code: str, status: int = 400, message: str = "no", headers: dict[str, str] | None = None
) -> aws.ClientError:
    """Make what botocore raises for an error answer."""
    metadata: Any = {"HTTPStatusCode": status, "RequestId": "r-1", "HTTPHeaders": headers or {}}
    return aws.ClientError(
        {"Error": {"Code": code, "Message": message}, "ResponseMetadata": metadata}, OPERATION
    )


def told(failure: BaseException) -> GatewayError:
    """Give what a caller is told when this happens."""
    with pytest.raises(GatewayError) as caught, translate_errors(OPERATION):
        raise failure
    assert caught.value.__cause__ is failure
    return caught.value


def below(*roots: type[BaseException]) -> Iterator[type[BaseException]]:
    """Give these exceptions and all that are derived from them."""
    for root in roots:
        yield root
        yield from below(*root.__subclasses__())


def test_every_error_the_service_declares_has_a_row() -> None:
    """A new version of botocore that declares another one fails here first."""
    model = service_model()
    declared = {
        shape.name
        for name in model.operation_names
        for shape in model.operation_model(name).error_shapes
    }

    assert len(declared) >= 5
    assert declared - CODES.keys() == set()


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("ExpiredToken", UnauthenticatedError),
        ("ExpiredTokenException", UnauthenticatedError),
        ("UnrecognizedClientException", UnauthenticatedError),
        ("InvalidSignatureException", UnauthenticatedError),
        ("SignatureDoesNotMatch", UnauthenticatedError),
        ("MissingAuthenticationTokenException", UnauthenticatedError),
        ("IncompleteSignatureException", UnauthenticatedError),
        ("AccessDeniedException", ForbiddenError),
        ("AccessDenied", ForbiddenError),
        ("ValidationException", BadUserInputError),
        ("ResourceNotFoundException", NotFoundError),
        ("ThrottlingException", ThrottledError),
        ("TooManyRequestsException", ThrottledError),
        ("InternalServiceException", UpstreamUnavailableError),
        ("InternalServerException", UpstreamUnavailableError),
        ("ServiceUnavailableException", UpstreamUnavailableError),
        ("RequestTimeoutException", UpstreamTimeoutError),
    ],
)
def test_aws_s_codes_mean_what_is_documented(code: str, kind: type[GatewayError]) -> None:
    """The code decides, whatever the HTTP status is."""
    assert {type(told(answered(code, status))) for status in (200, 400, 403, 500)} == {kind}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, BadUserInputError),
        (403, ForbiddenError),
        (429, ThrottledError),
        (500, UpstreamUnavailableError),
        (502, UpstreamUnavailableError),
        (503, UpstreamUnavailableError),
        (504, UpstreamUnavailableError),
        (599, UpstreamUnavailableError),
        (302, UpstreamInvalidResponseError),
        (0, UpstreamInvalidResponseError),
    ],
)
@pytest.mark.parametrize("code", ["BrandNewException", "", "302", "None"])
def test_an_unknown_code_is_judged_by_its_status(
    code: str, status: int, kind: type[GatewayError]
) -> None:
    """What AWS adds tomorrow lands in the right branch of the tree."""
    assert type(told(answered(code, status))) is kind


def test_an_answer_without_anything_in_it_is_still_told() -> None:
    """The record that botocore makes may lack every part."""
    assert isinstance(told(aws.ClientError({}, OPERATION)), UpstreamInvalidResponseError)


@pytest.mark.parametrize("code", [*CODES, "BrandNewException"])
def test_aws_s_own_words_are_never_shown(code: str) -> None:
    """They name ARNs and accounts; ours do not, and say where AWS answered instead."""
    words = "User: arn:aws:sts::111122223333:assumed-role/x is not authorized"
    error = told(answered(code, message=words))
    shown = f"{error} {error.extensions()}"

    assert "arn:" not in shown
    assert "111122223333" not in shown
    assert error.message.endswith(".")
    assert error.extensions() == {
        "code": error.code,
        "aws": {"operation": OPERATION, "code": code, "requestId": "r-1"},
    }


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": "1.5", "x-amz-retry-after": "9000"}, 1.5),
        ({"x-amz-retry-after": "1500"}, 1.5),
        ({"retry-after": "soon", "x-amz-retry-after": "1500"}, 1.5),
        ({"retry-after": "0"}, 0),
        ({}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "1e999"}, None),
        ({"retry-after": "-1"}, None),
    ],
)
def test_the_hint_when_to_come_back_is_in_seconds(
    headers: dict[str, str], seconds: float | None
) -> None:
    """What is no length of time is no hint: nobody can wait for infinity or less than nothing."""
    error = told(answered("ThrottlingException", 429, headers=headers))

    assert error.extensions().get("retryAfter") == seconds


@pytest.mark.parametrize(
    "kind", sorted(set(below(aws.HTTPClientError, aws.ConnectionError)), key=str)
)
def test_every_way_botocore_fails_to_get_through_has_a_row(kind: type[Exception]) -> None:
    """A timeout is a timeout and everything else is unavailable."""
    error = told(kind.__new__(kind))

    late = "Timeout" in kind.__name__
    assert type(error) is (UpstreamTimeoutError if late else UpstreamUnavailableError)
    assert error.aws is None


@pytest.mark.parametrize("kind", sorted(set(below(aiohttp.ClientError)), key=str))
def test_every_way_aiohttp_fails_has_a_row(kind: type[Exception]) -> None:
    """Also where aiobotocore lets one through as it is."""
    expected = (
        UpstreamTimeoutError if issubclass(kind, asyncio.TimeoutError) else UpstreamUnavailableError
    )

    assert type(told(kind.__new__(kind))) is expected


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (TimeoutError(), UpstreamTimeoutError),
        (ConnectionResetError(), UpstreamUnavailableError),
        (OSError(113, "No route to host"), UpstreamUnavailableError),
        (ResponseParserError("x"), UpstreamInvalidResponseError),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "x"), UpstreamInvalidResponseError),
    ],
)
def test_what_python_itself_raises_on_the_way_has_a_row(
    failure: Exception, kind: type[GatewayError]
) -> None:
    """Sockets and decoders fail with exceptions of their own."""
    assert type(told(failure)) is kind


@pytest.mark.parametrize("passing", [asyncio.CancelledError(), KeyboardInterrupt(), SystemExit()])
def test_an_end_from_outside_passes_through(passing: BaseException) -> None:
    """Who cancels must see that it was cancelled."""
    with pytest.raises(type(passing)) as caught, translate_errors(OPERATION):
        raise passing

    assert caught.value is passing


def test_our_own_errors_pass_through() -> None:
    """What is in the tree already is not wrapped again."""
    ours = BadUserInputError("It is wrong.")
    with pytest.raises(BadUserInputError) as caught, translate_errors(OPERATION):
        raise ours

    assert caught.value is ours


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2)
    ),
    max_leaves=4,
)


@given(code=json_values, status=st.integers(0, 999), request_id=json_values)
def test_no_error_answer_is_too_odd(code: Any, status: int, request_id: Any) -> None:
    """Parts of any type come to an error of the tree."""
    metadata: Any = {"HTTPStatusCode": status, "RequestId": request_id}
    response: Any = {"Error": {"Code": code}, "ResponseMetadata": metadata}

    assert told(aws.ClientError(response, OPERATION)).extensions()["code"]
