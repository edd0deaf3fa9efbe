"""The upstream: one list call in each region, as nobody or as the person who runs the check."""

import asyncio

from gateway.auth.credentials import Caller
from gateway.doctor.clock import Clock
from gateway.doctor.obstacle import SECONDS
from gateway.doctor.row import Row, State, fail, ok, skipped, warn
from gateway.doctor.verdict import code_of, judged, not_reached, refused
from gateway.errors import (
    GatewayError,
    ThrottledError,
    UpstreamInvalidResponseError,
    UpstreamTimeoutError,
)
from gateway.upstream.client import CleanRoomsClient

OPERATION = "ListAudienceGenerationJobs"
SETTING = "GATEWAY_UPSTREAM_URL"

NOBODY = Caller.from_keys("ASIAGATEWAYCHECK0000", "nobody", "nobody")
"""Whom AWS cannot know: that it says so proves that it was reached."""


class Upstream:
    """Tries the upstream, with what it says of the time noted."""

    def __init__(self, aws: CleanRoomsClient, clock: Clock) -> None:
        self._aws = aws
        self._clock = clock

    async def region(self, region: str, caller: Caller | None) -> list[Row]:
        """Try one region: whether it is reached, and what the caller may do there."""
        error = await self._ask(region, caller or NOBODY)
        rows = [self._reached(region, error, anonymous=caller is None)]
        if caller is not None:
            what = f"credentials {region}"
            wrong = rows[0].state is State.FAIL
            rows.append(
                skipped(what, "The upstream is not reached.") if wrong else allowed(what, error)
            )
        return rows

    async def list_as(self, what: str, region: str, caller: Caller) -> Row:
        """Make one list call as a caller."""
        error = await self._ask(region, caller)
        if error is not None and not judged(error):
            return fail(what, *_sentences(self._aws.address(region), error))
        return allowed(what, error)

    async def _ask(self, region: str, caller: Caller) -> GatewayError | None:
        """Make one list call; return what it failed with."""
        try:
            async with asyncio.timeout(SECONDS):
                answer = await self._aws.call(caller, region, OPERATION, {"maxResults": 1})
        except TimeoutError as error:
            late = UpstreamTimeoutError("")
            late.__cause__ = error
            return late
        except GatewayError as error:
            self._clock.saw_error(error)
            return error
        self._clock.saw_answer(answer)
        known = isinstance(answer.get("audienceGenerationJobs"), list)
        return None if known else UpstreamInvalidResponseError("")

    def _reached(self, region: str, error: GatewayError | None, *, anonymous: bool) -> Row:
        what, address = f"upstream {region}", self._aws.address(region)
        if error is None:
            if not anonymous:
                return ok(what, f"{address} answers.")
            return warn(
                what,
                f"{address} answers whoever asks: it judges no signature, so it is not AWS.",
                f"If that is not meant, check {SETTING}.",
            )
        if not judged(error):
            return fail(what, *_sentences(address, error))
        if anonymous:
            return ok(what, f"{address} answers, and refuses made-up keys ({code_of(error)}).")
        return ok(what, f"{address} answers.")


def allowed(what: str, error: GatewayError | None) -> Row:
    """Say what AWS has judged."""
    if error is None:
        return ok(what, f"AWS allows {OPERATION}.")
    return (warn if isinstance(error, ThrottledError) else fail)(what, *refused(error))


def _sentences(address: str, error: GatewayError) -> tuple[str, str]:
    why, remedy = not_reached(error, SETTING)
    return f"{address}: {why}.", remedy
