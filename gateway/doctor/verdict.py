"""What a failed call says: whether it was AWS that answered, and what to do."""

import re

from gateway.doctor.obstacle import Obstacle, obstacle
from gateway.errors import (
    ForbiddenError,
    GatewayError,
    ThrottledError,
    UnauthenticatedError,
    UpstreamTimeoutError,
    UpstreamUnavailableError,
)

_CODE = re.compile(r"[A-Za-z.]{1,64}")
"""What is shown of a code: whoever answers writes it, and may repeat what they were sent."""

EXPIRED = {"ExpiredToken", "ExpiredTokenException"}
SIGNATURE = {"InvalidSignatureException", "SignatureDoesNotMatch", "RequestExpired"}


def code_of(error: GatewayError) -> str | None:
    """Return AWS's own code; None if what answered does not speak as AWS does."""
    code = error.aws.code if error.aws else ""
    return code if _CODE.fullmatch(code) else None


def judged(error: GatewayError | None) -> bool:
    """Say whether AWS has judged who called, whatever the judgement."""
    if error is None:
        return True
    judgements = (ForbiddenError, UnauthenticatedError, ThrottledError)
    return code_of(error) is not None and isinstance(error, judgements)


def not_reached(error: GatewayError, setting: str) -> Obstacle:
    """Say why a call was not judged; `setting` is what names the address."""
    code = code_of(error)
    if code is None:
        return _on_the_way(error, setting)
    if isinstance(error, (UpstreamTimeoutError, UpstreamUnavailableError)):
        return Obstacle(f"answers {code}", "AWS may have trouble there. Try again in a minute.")
    return Obstacle(
        f"answers {code}: it does not know what it was asked",
        f"It may be another service's address. Check {setting}.",
    )


def _on_the_way(error: GatewayError, setting: str) -> Obstacle:
    check = f"A proxy may be in the way, or the address is another service's. Check {setting}."
    if error.aws is not None:
        status = f" {error.aws.code}" if error.aws.code.isdecimal() else ""
        return Obstacle(f"answers HTTP{status}, but not as AWS does", check)
    return obstacle(error) or Obstacle("what answers there is not AWS", check)


def refused(error: GatewayError) -> Obstacle:
    """Say why AWS refused who called."""
    code = code_of(error)
    why = f"{error.message} ({code})"
    if isinstance(error, ThrottledError):
        return Obstacle(why, "Try again in a minute.")
    if isinstance(error, ForbiddenError):
        return Obstacle(why, "Allow cleanrooms-ml:List* and cleanrooms-ml:Get*, and deny neither.")
    if code in EXPIRED:
        return Obstacle(why, "Get new ones.")
    if code in SIGNATURE:
        return Obstacle(why, "Compare the secret access key, and see the row of the clock.")
    return Obstacle(
        why, "Check that key and session token go together, and the account has the region enabled."
    )
