"""Faults that refuse a call with an AWS error."""

from http import HTTPStatus

from gateway.sandbox.callers import SandboxCaller
from gateway.sandbox.dose import Dose
from gateway.sandbox.problems import (
    RefusalError,
    expired_token,
    forbidden,
    invalid,
    not_authorized,
)
from gateway.sandbox.questions import Answer, Proceed, Question
from gateway.sandbox.verification import NOBODY


async def throttle(_question: Question, _proceed: Proceed, dose: Dose) -> Answer:
    """Ask the caller to slow down, with a hint when to come back if `retry_after` is over 0."""
    hint = dose.number("retry_after")
    headers = (
        {"Retry-After": f"{hint:g}", "x-amz-retry-after": f"{hint * 1000:.0f}"} if hint else {}
    )
    message = "Rate exceeded"
    raise RefusalError(HTTPStatus.TOO_MANY_REQUESTS, "ThrottlingException", message, headers)


async def internal_error(_question: Question, _proceed: Proceed, _dose: Dose) -> Answer:
    """Fail inside AWS."""
    message = "An internal error occurred. Try again."
    raise RefusalError(HTTPStatus.INTERNAL_SERVER_ERROR, "InternalServerException", message)


async def unavailable(_question: Question, _proceed: Proceed, _dose: Dose) -> Answer:
    """Be down."""
    message = "Service is unavailable."
    raise RefusalError(HTTPStatus.SERVICE_UNAVAILABLE, "ServiceUnavailableException", message)


async def denied(question: Question, _proceed: Proceed, _dose: Dose) -> Answer:
    """Refuse for want of a permission."""
    if question.identity is NOBODY:
        raise not_authorized(question.operation)
    raise access_denied(question.identity.caller, question.operation)


async def expired_credentials(_question: Question, _proceed: Proceed, _dose: Dose) -> Answer:
    """Refuse because the session is over."""
    raise expired_token()


async def sts_error(_question: Question, _proceed: Proceed, dose: Dose) -> Answer:
    """Refuse to exchange a token, for a reason that does not arise here by itself."""
    code = dose.text("code")
    forbidding = {"IDPRejectedClaim", "RegionDisabledException", "AccessDenied"}
    status = HTTPStatus.FORBIDDEN if code in forbidding else HTTPStatus.BAD_REQUEST
    raise RefusalError(status, code, "The sandbox was told to refuse this.")


async def expired_next_token(question: Question, proceed: Proceed, _dose: Dose) -> Answer:
    """Refuse every `nextToken`, as AWS does with one that is too old."""
    if question.next_token is not None:
        raise invalid("Invalid nextToken: the token has expired")
    return await proceed(question)


def access_denied(caller: SandboxCaller, operation: str) -> RefusalError:
    """Word the refusal as IAM does."""
    action = f"cleanrooms-ml:{operation}"
    message = f"User: {caller.user_arn} is not authorized to perform: {action}"
    return forbidden("AccessDeniedException", message)
