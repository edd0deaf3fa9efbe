"""The clock: AWS refuses signatures, and issuers' tokens end, by clocks that are not ours."""

import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime

from gateway.doctor.row import Row, fail, ok, skipped, warn
from gateway.errors import GatewayError

WARN_SECONDS = 60
FAIL_SECONDS = 300
"""From when AWS refuses signatures as expired."""

WHAT = "clock"
REMEDY = "Set this machine's clock by NTP."


class Clock:
    """Compares our clock with the Date of each answer."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        """`clock` is the wall's."""
        self._clock = clock
        self._skews: list[float] = []

    def saw_error(self, error: GatewayError) -> None:
        """Take note of the answer that an error was read from, if there was one."""
        self.saw_answer(getattr(error.__cause__, "response", None))

    def saw_answer(self, answer: object) -> None:
        """Take note of an answer as botocore gives it."""
        metadata = answer.get("ResponseMetadata", {}) if isinstance(answer, dict) else {}
        try:
            theirs = parsedate_to_datetime(metadata["HTTPHeaders"]["date"]).timestamp()
        except (KeyError, TypeError, ValueError, OverflowError):
            return  # it does not tell the time
        self._skews.append(self._clock() - theirs)

    def row(self) -> Row:
        """Say how far off we are, at worst."""
        if not self._skews:
            return skipped(WHAT, "No answer told the time.")
        skew = max(self._skews, key=abs)
        way = "ahead of" if skew > 0 else "behind"
        words = f"Ours is {abs(skew):.0f} s {way} that of AWS."
        if abs(skew) >= FAIL_SECONDS:
            return fail(WHAT, f"{words} AWS refuses signatures that are so far off.", REMEDY)
        if abs(skew) > WARN_SECONDS:
            return warn(WHAT, words, REMEDY)
        return ok(WHAT, f"Within {WARN_SECONDS} s of that of AWS.")
