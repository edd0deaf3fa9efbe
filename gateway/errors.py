"""Everything we may tell a caller went wrong, as one tree.

GatewayError
├── BadUserInputError             an argument, variable or header value is wrong
│   └── InvalidCursorError        a cursor is damaged, of another list, or no longer good
├── UnauthenticatedError          no, malformed, expired or unknown credentials
├── ForbiddenError                the caller is known and not allowed
├── NotFoundError                 the object asked for by name does not exist
├── LimitExceededError            a limit or a budget of the gateway is spent
├── OverloadedError           the gateway has more to do than it can
├── InternalError             the gateway failed; the text is always the same
└── UpstreamError                 the upstream did not do its part
    ├── ThrottledError            it asked for patience
    ├── UpstreamTimeoutError      it did not answer in time
    ├── UpstreamUnavailableError  it could not be reached, or failed
    └── UpstreamInvalidResponseError  its answer made no sense

What is not in this tree is never shown: it reaches the caller as InternalError, without its text.
"""

from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class AwsErrorDetails:
    """Where and how AWS answered; shown as `extensions.aws`."""

    operation: str
    code: str
    request_id: str | None

    def extensions(self) -> dict[str, Any]:
        """Give the public form."""
        return {"operation": self.operation, "code": self.code, "requestId": self.request_id}


class GatewayError(Exception):
    """Something we tell the caller. The code is public and never renamed."""

    code: ClassVar[str]

    def __init__(self, message: str, *, aws: AwsErrorDetails | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.aws = aws

    def extensions(self) -> dict[str, Any]:
        """Give what stands in `extensions` of the error in an answer."""
        shown: dict[str, Any] = {"code": self.code}
        if self.aws is not None:
            shown["aws"] = self.aws.extensions()
        return shown


class BadUserInputError(GatewayError):
    """An argument, a variable or a parameter is not what it must be."""

    code = "BAD_USER_INPUT"


class InvalidCursorError(BadUserInputError):
    """A cursor names no place in the list that was asked for."""

    code = "INVALID_CURSOR"


class UnauthenticatedError(GatewayError):
    """Nobody we know is asking."""

    code = "UNAUTHENTICATED"


class ForbiddenError(GatewayError):
    """The caller is known and not allowed."""

    code = "FORBIDDEN"


class NotFoundError(GatewayError):
    """The object that was asked for does not exist."""

    code = "NOT_FOUND"


class LimitExceededError(GatewayError):
    """A limit or a budget of the gateway is spent."""

    code = "LIMIT_EXCEEDED"


class OverloadedError(GatewayError):
    """The gateway has more to do than it can; `retry_after` in seconds."""

    code = "OVERLOADED"
    retry_after = 2

    def extensions(self) -> dict[str, Any]:
        """Give what stands in `extensions`, with `retryAfter`."""
        return {**super().extensions(), "retryAfter": self.retry_after}


class InternalError(GatewayError):
    """The gateway itself failed. Its message never says how; the log does."""

    code = "INTERNAL"


class UpstreamError(GatewayError):
    """The upstream did not do its part."""


class ThrottledError(UpstreamError):
    """The upstream asks for patience; `retry_after` in seconds if it said for how long."""

    code = "THROTTLED"

    def __init__(
        self, message: str, *, aws: AwsErrorDetails | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message, aws=aws)
        self.retry_after = retry_after

    def extensions(self) -> dict[str, Any]:
        """Give what stands in `extensions`, with `retryAfter` in seconds where it is known."""
        shown = super().extensions()
        if self.retry_after is not None:
            shown["retryAfter"] = self.retry_after
        return shown


class UpstreamTimeoutError(UpstreamError):
    """The upstream did not answer in time."""

    code = "UPSTREAM_TIMEOUT"


class UpstreamUnavailableError(UpstreamError):
    """The upstream could not be reached, or failed."""

    code = "UPSTREAM_UNAVAILABLE"


class UpstreamInvalidResponseError(UpstreamError):
    """The upstream's answer made no sense."""

    code = "UPSTREAM_INVALID_RESPONSE"
