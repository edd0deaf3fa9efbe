"""What an error of AWS, or of the way there, means to the caller: one table."""

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

MAX_CODE_CHARACTERS = 100

MAX_RETRY_AFTER_SECONDS = 86400

_EXPIRED = "The AWS credentials have expired. Get new ones and ask again."
_UNKNOWN = "AWS does not know these credentials, or the session token is not theirs."
_SIGNATURE = (
    "AWS refused the signature: the secret access key is not the key id's, or a clock is off."
)
_DENIED = "AWS does not allow the caller this operation."
_PATIENCE = "AWS asks this caller for patience. Ask again later."
_NO_SESSION = (
    "AWS gives no session of the role as it is set up here. Ask who runs the gateway; its "
    "session_seconds may be more than the role allows."
)
_FAILED = "Clean Rooms ML failed to answer. Ask again later."

CODES: dict[str, tuple[type[GatewayError], str]] = {
    # What the service model declares for its operations.
    "ValidationException": (BadUserInputError, "AWS refused a parameter of the request."),
    "AccessDeniedException": (ForbiddenError, _DENIED),
    "ResourceNotFoundException": (NotFoundError, "AWS has no such object."),
    "ConflictException": (BadUserInputError, "AWS says the object's state does not allow this."),
    "ServiceQuotaExceededException": (ForbiddenError, "A quota of the AWS account is used up."),
    "ThrottlingException": (ThrottledError, _PATIENCE),
    "InternalServiceException": (UpstreamUnavailableError, _FAILED),
    # What any service may answer: common errors of the AWS API reference.
    "Throttling": (ThrottledError, _PATIENCE),
    "ThrottledException": (ThrottledError, _PATIENCE),
    "TooManyRequestsException": (ThrottledError, _PATIENCE),
    "RequestLimitExceeded": (ThrottledError, _PATIENCE),
    "SlowDown": (ThrottledError, _PATIENCE),
    "AccessDenied": (ForbiddenError, _DENIED),
    "NotAuthorized": (ForbiddenError, _DENIED),
    "OptInRequired": (ForbiddenError, "The AWS account is not signed up for Clean Rooms ML."),
    "ExpiredToken": (UnauthenticatedError, _EXPIRED),
    "ExpiredTokenException": (UnauthenticatedError, _EXPIRED),
    "RequestExpired": (UnauthenticatedError, _SIGNATURE),
    "UnrecognizedClientException": (UnauthenticatedError, _UNKNOWN),
    "InvalidClientTokenId": (UnauthenticatedError, _UNKNOWN),
    "InvalidAccessKeyId": (UnauthenticatedError, _UNKNOWN),
    "MissingAuthenticationToken": (UnauthenticatedError, _UNKNOWN),
    "MissingAuthenticationTokenException": (UnauthenticatedError, _UNKNOWN),
    "IncompleteSignature": (UnauthenticatedError, _SIGNATURE),
    "IncompleteSignatureException": (UnauthenticatedError, _SIGNATURE),
    "InvalidSignatureException": (UnauthenticatedError, _SIGNATURE),
    "SignatureDoesNotMatch": (UnauthenticatedError, _SIGNATURE),
    "InternalFailure": (UpstreamUnavailableError, _FAILED),
    "InternalServerException": (UpstreamUnavailableError, _FAILED),
    "ServiceUnavailable": (UpstreamUnavailableError, _FAILED),
    "ServiceUnavailableException": (UpstreamUnavailableError, _FAILED),
    "RequestTimeout": (UpstreamTimeoutError, "Clean Rooms ML did not answer in time."),
    "RequestTimeoutException": (UpstreamTimeoutError, "Clean Rooms ML did not answer in time."),
    # What STS answers besides, when a token is exchanged.
    "InvalidIdentityToken": (UnauthenticatedError, "AWS does not accept the token."),
    "IDPRejectedClaim": (UnauthenticatedError, "The token's issuer told AWS to refuse it."),
    "IDPCommunicationError": (
        UpstreamUnavailableError,
        "AWS could not reach the token's issuer. Ask again later.",
    ),
    "RegionDisabledException": (ForbiddenError, "The AWS account has STS off in this region."),
    "ValidationError": (ForbiddenError, _NO_SESSION),
    "MalformedPolicyDocument": (ForbiddenError, _NO_SESSION),
    "PackedPolicyTooLarge": (ForbiddenError, _NO_SESSION),
}
"""Error code of AWS -> what it is here, and what to tell the caller.

The texts are ours: AWS's own name ARNs and account ids.
"""

EXCEPTIONS: dict[type[BaseException], tuple[type[GatewayError], str]] = {
    # Most specific first.
    aws.ConnectTimeoutError: (UpstreamTimeoutError, "Clean Rooms ML could not be reached in time."),
    aws.ReadTimeoutError: (UpstreamTimeoutError, "Clean Rooms ML did not answer in time."),
    asyncio.TimeoutError: (UpstreamTimeoutError, "Clean Rooms ML did not answer in time."),
    aws.HTTPClientError: (UpstreamUnavailableError, "Clean Rooms ML could not be reached."),
    aws.ConnectionError: (UpstreamUnavailableError, "Clean Rooms ML could not be reached."),
    aiohttp.ClientError: (UpstreamUnavailableError, "Clean Rooms ML could not be reached."),
    OSError: (UpstreamUnavailableError, "Clean Rooms ML could not be reached."),
    UnicodeDecodeError: (UpstreamInvalidResponseError, "Clean Rooms ML's answer made no sense."),
    ResponseParserError: (UpstreamInvalidResponseError, "Clean Rooms ML's answer made no sense."),
}
"""Failure on the way -> what it is here, and what to tell the caller."""


class AnswerTooLargeError(Exception):
    """The body of an answer is larger than any there is."""


SENSELESS = (AnswerTooLargeError, aiohttp.ClientResponseError)
"""Answers that cannot be read as HTTP, or not to their end."""


@contextmanager
def translated(operation: str) -> Iterator[None]:
    """Turn whatever AWS, or the way there, raises inside into a GatewayError."""
    try:
        yield
    except aws.ClientError as error:
        raise _from_answer(operation, error) from error
    except tuple(EXCEPTIONS) as error:
        raise _from_the_way(error) from error


def _from_the_way(error: BaseException) -> GatewayError:
    # aiobotocore wraps what it does not expect of its HTTP client; some of its errors tell nothing.
    if isinstance(getattr(error, "kwargs", {}).get("error"), SENSELESS):
        return UpstreamInvalidResponseError("Clean Rooms ML's answer made no sense.")
    kind, message = next(row for known, row in EXCEPTIONS.items() if isinstance(error, known))
    return kind(message)


def _from_answer(operation: str, error: aws.ClientError) -> GatewayError:
    response: dict[str, Any] = dict(error.response)
    metadata = response.get("ResponseMetadata", {})
    code = str(response.get("Error", {}).get("Code", ""))[:MAX_CODE_CHARACTERS]
    answer = AwsErrorDetails(operation, code, metadata.get("RequestId"))
    kind, message = CODES.get(code) or _by_status(metadata.get("HTTPStatusCode", 0))
    if kind is ThrottledError:
        return ThrottledError(message, aws=answer, retry_after=_retry_after(metadata))
    make: Callable[..., GatewayError] = kind
    return make(message, aws=answer)


def _by_status(status: int) -> tuple[type[GatewayError], str]:
    """Judge an error code that no table knows by its HTTP status."""
    known = {
        HTTPStatus.BAD_REQUEST: "ValidationException",
        HTTPStatus.UNAUTHORIZED: "UnrecognizedClientException",
        HTTPStatus.FORBIDDEN: "AccessDenied",
        HTTPStatus.REQUEST_TIMEOUT: "RequestTimeout",
        HTTPStatus.TOO_MANY_REQUESTS: "ThrottlingException",
    }
    if status in known:
        return CODES[known[HTTPStatus(status)]]
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return CODES["ServiceUnavailable"]
    return UpstreamInvalidResponseError, "Clean Rooms ML's answer made no sense."


def _retry_after(metadata: dict[str, Any]) -> float | None:
    """Read the hint in seconds: `Retry-After` as is, AWS's own header in milliseconds."""
    headers = metadata.get("HTTPHeaders", {})
    for name, scale in (("retry-after", 1.0), ("x-amz-retry-after", 0.001)):
        try:
            seconds = float(headers[name]) * scale
        except (KeyError, ValueError):
            continue
        if 0 <= seconds <= MAX_RETRY_AFTER_SECONDS:  # not so for NaN either
            return seconds
    return None
