"""Translation of errors of AWS, and of connections to it, to the gateway's own."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

import aiohttp
from botocore import exceptions as aws
from botocore.parsers import ResponseParserError

from gateway.errors import (
    AwsErrorDetails,
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
from gateway.outgoing import ProxyRefusedError

MAX_CODE_CHARACTERS = 100

MAX_RETRY_AFTER_SECONDS = 86400

Meaning = tuple[type[GatewayError], str]
"""The class of the error and its message: not AWS's own, which names ARNs and account ids."""

_BAD_PARAMETER = BadUserInputError, "AWS rejected a parameter of the request."
_CONFLICT = BadUserInputError, "AWS does not allow this in the object's current state."
_DENIED = ForbiddenError, "AWS does not allow the caller this operation."
_NO_QUOTA = ForbiddenError, "The AWS account has reached a service quota."
_NO_OPT_IN = ForbiddenError, "The AWS account is not signed up for {service}."
_NO_REGION = ForbiddenError, "STS is disabled for the AWS account in this region."
_NO_SESSION = (
    ForbiddenError,
    "AWS issues no session for the role. The gateway's session_seconds may exceed its maximum.",
)
_NOT_FOUND = NotFoundError, "AWS has no such object."
_THROTTLED = ThrottledError, "AWS throttles this caller. Try again later."
_EXPIRED = UnauthenticatedError, "The AWS credentials have expired. Use new ones."
_UNKNOWN = (
    UnauthenticatedError,
    "AWS does not recognize these credentials, or the session token does not belong to them.",
)
_BAD_SIGNATURE = (
    UnauthenticatedError,
    "AWS rejected the signature: the secret access key or a clock is wrong.",
)
_BAD_TOKEN = UnauthenticatedError, "AWS does not accept the token."
_TOKEN_REJECTED = UnauthenticatedError, "The token's issuer rejected it."
_ISSUER_UNREACHABLE = (
    UpstreamUnavailableError,
    "AWS could not reach the token's issuer. Try again later.",
)
_FAILED = UpstreamUnavailableError, "{service} failed. Try again later."
_UNREACHABLE = UpstreamUnavailableError, "{service} could not be reached."
_REFUSED_BY_PROXY = UpstreamUnavailableError, "{service} could not be reached: {error}."
_UNKNOWN_TO_PROXY = (
    UpstreamUnavailableError,
    "{service} could not be reached: the proxy refused the connection (HTTP 407).",
)
_TIMEOUT = UpstreamTimeoutError, "{service} did not respond in time."
_CONNECT_TIMEOUT = UpstreamTimeoutError, "{service} could not be reached in time."
_INVALID = UpstreamInvalidResponseError, "{service} returned an invalid response."

CODES: dict[str, Meaning] = {
    # What the service model declares for its operations.
    "ValidationException": _BAD_PARAMETER,
    "AccessDeniedException": _DENIED,
    "ResourceNotFoundException": _NOT_FOUND,
    "ConflictException": _CONFLICT,
    "ServiceQuotaExceededException": _NO_QUOTA,
    "ThrottlingException": _THROTTLED,
    "InternalServiceException": _FAILED,
    # What any service may return: common errors of the AWS API reference.
    "Throttling": _THROTTLED,
    "ThrottledException": _THROTTLED,
    "TooManyRequestsException": _THROTTLED,
    "RequestLimitExceeded": _THROTTLED,
    "SlowDown": _THROTTLED,
    "AccessDenied": _DENIED,
    "NotAuthorized": _DENIED,
    "OptInRequired": _NO_OPT_IN,
    "ExpiredToken": _EXPIRED,
    "ExpiredTokenException": _EXPIRED,
    "RequestExpired": _BAD_SIGNATURE,
    "UnrecognizedClientException": _UNKNOWN,
    "InvalidClientTokenId": _UNKNOWN,
    "InvalidAccessKeyId": _UNKNOWN,
    "MissingAuthenticationToken": _UNKNOWN,
    "MissingAuthenticationTokenException": _UNKNOWN,
    "IncompleteSignature": _BAD_SIGNATURE,
    "IncompleteSignatureException": _BAD_SIGNATURE,
    "InvalidSignatureException": _BAD_SIGNATURE,
    "SignatureDoesNotMatch": _BAD_SIGNATURE,
    "InternalFailure": _FAILED,
    "InternalServerException": _FAILED,
    "ServiceUnavailable": _FAILED,
    "ServiceUnavailableException": _FAILED,
    "RequestTimeout": _TIMEOUT,
    "RequestTimeoutException": _TIMEOUT,
    # What STS also returns when a token is exchanged.
    "InvalidIdentityToken": _BAD_TOKEN,
    "IDPRejectedClaim": _TOKEN_REJECTED,
    "IDPCommunicationError": _ISSUER_UNREACHABLE,
    "RegionDisabledException": _NO_REGION,
    "ValidationError": _NO_SESSION,
    "MalformedPolicyDocument": _NO_SESSION,
    "PackedPolicyTooLarge": _NO_SESSION,
}

PROVING_CODES = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "ConflictException",
        "ResourceNotFoundException",
        "ServiceQuotaExceededException",
        "ValidationException",
    }
)
"""AWS returns these only after it has accepted a call's signature."""

CODES_OF_FAILURES_BEHIND = frozenset({"IDPCommunicationError"})
"""The service works, and another one that it needs, such as a token's issuer, does not."""

STATUSES: dict[int, Meaning] = {
    HTTPStatus.BAD_REQUEST: _BAD_PARAMETER,
    HTTPStatus.UNAUTHORIZED: _UNKNOWN,
    HTTPStatus.FORBIDDEN: _DENIED,
    HTTPStatus.PROXY_AUTHENTICATION_REQUIRED: _UNKNOWN_TO_PROXY,
    HTTPStatus.REQUEST_TIMEOUT: _TIMEOUT,
    HTTPStatus.TOO_MANY_REQUESTS: _THROTTLED,
}
"""For error codes that CODES does not have. From 500 on, any status is _FAILED."""


class ResponseTooLargeError(Exception):
    """The body of a response exceeds the limit."""


EXCEPTIONS: dict[type[BaseException], Meaning] = {
    # Most specific first.
    ProxyRefusedError: _REFUSED_BY_PROXY,
    aws.ConnectTimeoutError: _CONNECT_TIMEOUT,
    aiohttp.ConnectionTimeoutError: _CONNECT_TIMEOUT,
    aws.ReadTimeoutError: _TIMEOUT,
    asyncio.TimeoutError: _TIMEOUT,
    aws.HTTPClientError: _UNREACHABLE,
    aws.ConnectionError: _UNREACHABLE,
    aiohttp.ClientResponseError: _INVALID,
    aiohttp.ClientError: _UNREACHABLE,
    OSError: _UNREACHABLE,
    UnicodeDecodeError: _INVALID,
    ResponseParserError: _INVALID,
    ResponseTooLargeError: _INVALID,
}


MORE_SPECIFIC = (ProxyRefusedError, ResponseTooLargeError, aiohttp.ClientResponseError)
"""botocore has no errors for them: it says that the endpoint could not be reached."""


@contextmanager
def translate_errors(operation: str, service: str = "Clean Rooms ML") -> Iterator[None]:
    """Turn any error of AWS, or of the connection to it, into a GatewayError."""
    try:
        yield
    except aws.ClientError as error:
        raise _from_response(operation, service, error) from error
    except tuple(EXCEPTIONS) as error:
        cause = _unwrapped(error)
        error_type, message = _from_exception(cause)
        raise error_type(message.format(service=service, error=cause)) from error


def proves_credentials(error: GatewayError) -> bool:
    """Return whether the error of a signed call shows that AWS has accepted its credentials."""
    return error.aws is not None and error.aws.code in PROVING_CODES


def is_failure_behind_service(error: GatewayError) -> bool:
    """Return whether the error says that another service failed than the one called."""
    return error.aws is not None and error.aws.code in CODES_OF_FAILURES_BEHIND


def _from_exception(error: BaseException) -> Meaning:
    return next(meaning for known, meaning in EXCEPTIONS.items() if isinstance(error, known))


def _unwrapped(error: BaseException) -> BaseException:
    """Return the error of the HTTP client that botocore's own error is for, if its kind matters."""
    cause = getattr(error, "kwargs", {}).get("error")
    return cause if isinstance(cause, MORE_SPECIFIC) else error


def _from_response(operation: str, service: str, error: aws.ClientError) -> GatewayError:
    response: dict[str, Any] = dict(error.response)
    metadata = response.get("ResponseMetadata", {})
    code = str(response.get("Error", {}).get("Code", ""))[:MAX_CODE_CHARACTERS]
    details = AwsErrorDetails(operation, code, metadata.get("RequestId"))
    error_type, message = CODES.get(code) or _from_status(metadata.get("HTTPStatusCode", 0))
    message = message.format(service=service)
    if error_type is ThrottledError:
        return ThrottledError(message, aws=details, retry_after=_retry_after(metadata))
    make: Callable[..., GatewayError] = error_type
    return make(message, aws=details)


def _from_status(status: int) -> Meaning:
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _FAILED
    return STATUSES.get(status, _INVALID)


def _retry_after(metadata: dict[str, Any]) -> float | None:
    """Return the hint in seconds: `Retry-After` is in seconds, AWS's own header in milliseconds."""
    headers = metadata.get("HTTPHeaders", {})
    for name, scale in (("retry-after", 1.0), ("x-amz-retry-after", 0.001)):
        try:
            seconds = float(headers[name]) * scale
        except (KeyError, ValueError):
            continue
        if 0 <= seconds <= MAX_RETRY_AFTER_SECONDS:  # excludes NaN as well
            return seconds
    return None
