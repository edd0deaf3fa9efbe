"""The errors that callers see: one tree, one public code per class.

GatewayError
├── ParseFailedError
├── ValidationFailedError
├── BadUserInputError
│   └── InvalidCursorError
├── UnauthenticatedError
├── ForbiddenError
├── NotFoundError
├── LimitExceededError
├── PersistedQueryNotSupportedError
├── PersistedQueryNotFoundError
├── OverloadedError
├── SubscriptionEndedError
├── InternalError
└── UpstreamError
    ├── ThrottledError
    ├── UpstreamTimeoutError
    ├── UpstreamUnavailableError
    └── UpstreamInvalidResponseError

Any other exception reaches the caller as InternalError, without its text. `make docs` writes the
table of error codes in docs/reference.md from these classes.
"""

from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class AwsErrorDetails:
    """The AWS response behind an error; shown as `extensions.aws`."""

    operation: str
    code: str
    request_id: str | None

    def extensions(self) -> dict[str, Any]:
        return {"operation": self.operation, "code": self.code, "requestId": self.request_id}


def drop_tracebacks(error: BaseException | None) -> None:
    """Free the frames of an error and its causes, with all that their variables refer to.

    A frame often refers to the error, too. Such a cycle would keep what a request has read and
    rendered in memory until the next full garbage collection.
    """
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


class GatewayError(Exception):
    """An error that callers see. Its code is public and never renamed."""

    code: ClassVar[str]
    meaning: ClassVar[str]
    remedy: ClassVar[str]
    """What the caller can do."""
    http_status: ClassVar[int | None] = None
    """Status of a response without `data`; None if the code has no fixed one."""

    def __init__(self, message: str, *, aws: AwsErrorDetails | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.aws = aws
        self.retries = 0
        """How many attempts to call AWS preceded the one that failed."""

    def extensions(self) -> dict[str, Any]:
        extensions: dict[str, Any] = {"code": self.code}
        if self.aws is not None:
            extensions["aws"] = self.aws.extensions()
        return extensions


class ParseFailedError(GatewayError):
    code = "GRAPHQL_PARSE_FAILED"
    meaning = "The query is not a GraphQL document."
    remedy = "Fix the query."
    http_status = 400


class ValidationFailedError(GatewayError):
    code = "GRAPHQL_VALIDATION_FAILED"
    meaning = "The document is not valid for the schema."
    remedy = "Fix the query."
    http_status = 400


class BadUserInputError(GatewayError):
    code = "BAD_USER_INPUT"
    meaning = (
        "An argument, a variable, a parameter or a header is invalid; the message names it and "
        "what is accepted."
    )
    remedy = "Fix the input."


class InvalidCursorError(BadUserInputError):
    code = "INVALID_CURSOR"
    meaning = "The cursor is damaged, belongs to another list, or is no longer accepted by AWS."
    remedy = "Start again without a cursor."


class UnauthenticatedError(GatewayError):
    code = "UNAUTHENTICATED"
    meaning = "The credentials are missing, malformed, unknown or expired."
    remedy = "Get new credentials."
    http_status = 401


class ForbiddenError(GatewayError):
    code = "FORBIDDEN"
    meaning = (
        "The caller is authenticated, but lacks the permission. With HTTP 403, a page of another "
        "site sent a GET, or the gateway accepts persisted documents only, and this is none."
    )
    remedy = "Request the permission from the owner of the AWS account or of the gateway."


class NotFoundError(GatewayError):
    code = "NOT_FOUND"
    meaning = "No object has this ARN. With HTTP 404, nothing is served at this path."
    remedy = "Check the ARN, or the path."


class LimitExceededError(GatewayError):
    code = "LIMIT_EXCEEDED"
    meaning = "The request exceeds a limit or budget of the gateway; the message names it."
    remedy = "Request less, as the message says."

    def __init__(
        self, message: str, *, aws: AwsErrorDetails | None = None, limit: str = ""
    ) -> None:
        """`limit` is the name of the limit in metrics; empty if it is counted elsewhere."""
        super().__init__(message, aws=aws)
        self.limit = limit


class PersistedQueryNotSupportedError(GatewayError):
    code = "PERSISTED_QUERY_NOT_SUPPORTED"
    meaning = "The request is for a version of automatic persisted queries other than 1."
    remedy = "Send the text. Clients with automatic persisted queries do so themselves."
    http_status = 200


class PersistedQueryNotFoundError(GatewayError):
    code = "PERSISTED_QUERY_NOT_FOUND"
    meaning = "The gateway does not know the document of this id or hash, or not any longer."
    remedy = (
        "Send the text with its hash. Clients and routers with automatic persisted queries do so "
        "themselves."
    )
    http_status = 200


class OverloadedError(GatewayError):
    code = "OVERLOADED"
    meaning = (
        "The gateway, or the caller's part of it, is at capacity; `retryAfter` and the header "
        "`Retry-After` give the seconds to wait."
    )
    remedy = "Wait, then retry."
    http_status = 503
    retry_after = 2
    """In seconds."""

    def extensions(self) -> dict[str, Any]:
        return {**super().extensions(), "retryAfter": self.retry_after}


class SubscriptionEndedError(GatewayError):
    code = "SUBSCRIPTION_ENDED"
    meaning = "The gateway ended the subscription: it is stopping, or an hour has passed."
    remedy = "Subscribe again. Clients that retry do so themselves."


class InternalError(GatewayError):
    """The gateway itself failed. The message is always the same; the log has the details."""

    code = "INTERNAL"
    meaning = "The gateway failed. Its log has the details under the request id."
    remedy = "Report it to the operators of the gateway."
    http_status = 500


class UpstreamError(GatewayError):
    """The upstream failed or throttled a call. A base class, never raised itself."""


class ThrottledError(UpstreamError):
    code = "THROTTLED"
    meaning = (
        "AWS throttles the caller, or the caller exceeded the gateway's own rate limit; "
        "`retryAfter` gives the seconds to wait, if known."
    )
    remedy = "Wait, then retry."

    def __init__(
        self, message: str, *, aws: AwsErrorDetails | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message, aws=aws)
        self.retry_after = retry_after

    def extensions(self) -> dict[str, Any]:
        extensions = super().extensions()
        if self.retry_after is not None:
            extensions["retryAfter"] = self.retry_after
        return extensions


class UpstreamTimeoutError(UpstreamError):
    code = "UPSTREAM_TIMEOUT"
    meaning = (
        "The upstream did not respond in time. With HTTP 503, the gateway had no CPU time for the "
        "request."
    )
    remedy = "Retry."


class UpstreamUnavailableError(UpstreamError):
    code = "UPSTREAM_UNAVAILABLE"
    meaning = "The upstream failed or could not be reached."
    remedy = "Retry later."


class UpstreamInvalidResponseError(UpstreamError):
    code = "UPSTREAM_INVALID_RESPONSE"
    meaning = "The upstream returned an invalid response."
    remedy = "Report it to the operators of the gateway."


def error_classes(base: type[GatewayError] = GatewayError) -> list[type[GatewayError]]:
    """Return the classes that declare a code, in the order of the tree."""
    declared = [base] if "code" in vars(base) else []
    return declared + [each for child in base.__subclasses__() for each in error_classes(child)]
