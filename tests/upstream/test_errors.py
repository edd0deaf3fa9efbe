"""What errors of AWS, and of the connection to it, mean to a caller."""

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


def client_error(
    code: str, status: int = 400, message: str = "no", headers: dict[str, str] | None = None
) -> aws.ClientError:
    """Return what botocore raises for an error response."""
    metadata: Any = {"HTTPStatusCode": status, "RequestId": "r-1", "HTTPHeaders": headers or {}}
    return aws.ClientError(
        {"Error": {"Code": code, "Message": message}, "ResponseMetadata": metadata}, OPERATION
    )


def translate(failure: BaseException) -> GatewayError:
    with pytest.raises(GatewayError) as caught, translate_errors(OPERATION):
        raise failure
    assert caught.value.__cause__ is failure
    return caught.value


def subclasses(*roots: type[BaseException]) -> Iterator[type[BaseException]]:
    for root in roots:
        yield root
        yield from subclasses(*root.__subclasses__())


def test_every_error_that_the_service_declares_has_a_meaning() -> None:
    model = service_model()
    declared = {
        shape.name
        for name in model.operation_names
        for shape in model.operation_model(name).error_shapes
    }

    assert len(declared) >= 5
    assert declared - CODES.keys() == set()


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("ExpiredToken", UnauthenticatedError),
        ("ExpiredTokenException", UnauthenticatedError),
        ("UnrecognizedClientException", UnauthenticatedError),
        ("InvalidSignatureException", UnauthenticatedError),
        ("SignatureDoesNotMatch", UnauthenticatedError),
        ("MissingAuthenticationTokenException", UnauthenticatedError),
        ("IncompleteSignatureException", UnauthenticatedError),
        ("AccessDenied", ForbiddenError),
        ("AccessDeniedException", ForbiddenError),
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
def test_the_code_decides_whatever_the_status(code: str, expected: type[GatewayError]) -> None:
    errors = {type(translate(client_error(code, status))) for status in (200, 400, 403, 500)}

    assert errors == {expected}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, BadUserInputError),
        (401, UnauthenticatedError),
        (403, ForbiddenError),
        (429, ThrottledError),
        (500, UpstreamUnavailableError),
        (599, UpstreamUnavailableError),
        (302, UpstreamInvalidResponseError),
        (0, UpstreamInvalidResponseError),
    ],
)
def test_the_status_decides_for_an_unknown_code(status: int, expected: type[GatewayError]) -> None:
    codes = ("BrandNewException", "", "302", "None")

    assert {type(translate(client_error(code, status))) for code in codes} == {expected}


def test_an_empty_error_response_is_invalid() -> None:
    assert isinstance(translate(aws.ClientError({}, OPERATION)), UpstreamInvalidResponseError)


def test_messages_of_aws_are_never_shown() -> None:
    """They name ARNs and accounts; `extensions.aws` has operation, code and request id."""
    message = "User: arn:aws:sts::111122223333:assumed-role/x is not authorized"
    for code in [*CODES, "BrandNewException"]:
        error = translate(client_error(code, message=message))
        shown = f"{error} {error.extensions()}"

        assert "arn:" not in shown
        assert "111122223333" not in shown
        assert "{" not in error.message
        assert error.message.endswith(".")
        assert error.extensions() == {
            "code": error.code,
            "aws": {"operation": OPERATION, "code": code, "requestId": "r-1"},
        }


def test_messages_name_the_service() -> None:
    with pytest.raises(UpstreamTimeoutError) as caught, translate_errors(OPERATION, "STS"):
        raise TimeoutError

    assert caught.value.message == "STS did not respond in time."
    assert translate(TimeoutError()).message == "Clean Rooms ML did not respond in time."


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
def test_retry_after_is_in_seconds_or_absent(
    headers: dict[str, str], seconds: float | None
) -> None:
    error = translate(client_error("ThrottlingException", 429, headers=headers))

    assert error.extensions().get("retryAfter") == seconds


def test_every_connection_error_is_a_timeout_or_unavailable() -> None:
    """They are those of botocore and of aiohttp, but for responses that are not HTTP.

    ClientHttpProxyError is one of them; connections raise ProxyRefusedError instead.
    """
    timeouts = 0
    known = set(subclasses(aws.HTTPClientError, aws.ConnectionError, aiohttp.ClientError))
    invalid = set(subclasses(aiohttp.ClientResponseError))
    for exception in known - invalid:
        error = translate(exception.__new__(exception))
        is_timeout = "Timeout" in exception.__name__ or issubclass(exception, TimeoutError)
        timeouts += is_timeout

        assert type(error) is (UpstreamTimeoutError if is_timeout else UpstreamUnavailableError)
        assert error.aws is None
    assert timeouts >= 4
    for exception in invalid:
        assert type(translate(exception.__new__(exception))) is UpstreamInvalidResponseError


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (TimeoutError(), UpstreamTimeoutError),
        (ConnectionResetError(), UpstreamUnavailableError),
        (OSError(113, "No route to host"), UpstreamUnavailableError),
        (ResponseParserError("x"), UpstreamInvalidResponseError),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "x"), UpstreamInvalidResponseError),
    ],
)
def test_errors_of_sockets_and_decoders_have_a_meaning(
    failure: Exception, expected: type[GatewayError]
) -> None:
    assert type(translate(failure)) is expected


@pytest.mark.parametrize(
    "passing",
    [
        asyncio.CancelledError(),
        KeyboardInterrupt(),
        SystemExit(),
        BadUserInputError("It is wrong."),
    ],
    ids=lambda error: type(error).__name__,
)
def test_cancellations_and_gateway_errors_pass_through(passing: BaseException) -> None:
    with pytest.raises(type(passing)) as caught, translate_errors(OPERATION):
        raise passing

    assert caught.value is passing


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2)
    ),
    max_leaves=4,
)


@given(code=json_values, status=st.integers(0, 999), request_id=json_values)
def test_any_error_response_becomes_a_gateway_error(
    code: Any, status: int, request_id: Any
) -> None:
    metadata: Any = {"HTTPStatusCode": status, "RequestId": request_id}
    response: Any = {"Error": {"Code": code}, "ResponseMetadata": metadata}

    assert translate(aws.ClientError(response, OPERATION)).extensions()["code"]
