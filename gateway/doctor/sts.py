"""STS: a token that is none must be refused in the words of AWS."""

import asyncio

from gateway.auth.oidc import Role
from gateway.auth.sts import StsClient
from gateway.doctor.clock import Clock
from gateway.doctor.obstacle import SECONDS
from gateway.doctor.row import Row, fail, ok, warn
from gateway.doctor.verdict import code_of, not_reached
from gateway.errors import ForbiddenError, GatewayError, UpstreamTimeoutError

WHAT = "STS"
SETTING = "GATEWAY_STS_URL"

EXPECTED = "InvalidIdentityToken"
NO_TOKEN = "not.a.token"  # noqa: S105  as it says


async def check_sts(sts: StsClient, role: Role, clock: Clock) -> Row:
    """Try to exchange a token that is none."""
    error = await _refusal(sts, role)
    if error is None:
        why = f"{sts.address} takes a token that is none: it is not AWS."
        return warn(WHAT, why, f"If that is not meant, check {SETTING}.")
    clock.saw_error(error)
    code = code_of(error)
    if code == EXPECTED:
        return ok(WHAT, f"{sts.address} answers, and refuses a token that is none ({code}).")
    if code is not None and isinstance(error, ForbiddenError):
        why = f"{sts.address} answers {code}: {error.message}"
        return fail(WHAT, why, "Enable STS and its region in the account; see policies on the way.")
    why, remedy = not_reached(error, SETTING)
    return fail(WHAT, f"{sts.address}: {why}.", remedy)


async def _refusal(sts: StsClient, role: Role) -> GatewayError | None:
    try:
        async with asyncio.timeout(SECONDS):
            await sts.assume_role(NO_TOKEN, role, "gateway-check")
    except TimeoutError as error:
        late = UpstreamTimeoutError("")
        late.__cause__ = error
        return late
    except GatewayError as error:
        return error
    return None
