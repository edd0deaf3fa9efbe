"""The meter of an operation: what it reads, computes and returns, against the limits on each."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import NoReturn

from gateway.cpu_scheduler import pause
from gateway.errors import GatewayError, LimitExceededError, UpstreamTimeoutError
from gateway.settings import Settings, variable

SLICE_SECONDS = 0.002
"""How long an operation computes before it lets others continue."""

COMPUTING_SECONDS = 1.0
"""How long after its deadline an operation may still compute: what was read by then is returned."""


PATH_FRAMING_BYTES = 3
"""Quotes and comma of each name in a path."""


class OperationEndedError(Exception):
    """Ends an operation without data. Not a GatewayError, so that no field is null instead."""

    def __init__(self, error: GatewayError) -> None:
        super().__init__(error.message)
        self.error = error


class Meter:
    """Counts rows, values and bytes while they arise.

    The `charge` methods and `pause` raise OperationEndedError as soon as a limit is exceeded.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        deadline: float,
        pause: Callable[[], Awaitable[None]] = pause,
    ) -> None:
        """`deadline` is a time of the event loop's clock; `pause` lets other work continue."""
        self.rows = 0
        """Of lists, examined for pages, orders, counts and searches."""
        self.values = 0
        self.bytes = 0
        self.representations = 0
        """Of entities, in all fields so far."""
        self._max_rows = settings.limit_rows
        self._max_values = settings.limit_fields
        self._max_bytes = settings.limit_answer_bytes
        self.deadline = deadline
        self._pause = pause
        self._slice_began = time.perf_counter()

    def charge_rows(self, count: int) -> None:
        """Count rows of lists that are examined, from the cache or not."""
        self.rows += count
        if self.rows > self._max_rows:
            _end("examines more than {} rows of lists", self._max_rows, "rows", READ_LESS)

    def charge_values(self, count: int) -> None:
        """Count fields, and scalars in lists, of the response, before they are completed."""
        self.values += count
        if self.values > self._max_values:
            _end("returns more than {} fields", self._max_values, "fields", RETURN_LESS)

    def charge_bytes(self, count: int) -> None:
        """Count bytes of the response."""
        self.bytes += count
        if self.bytes > self._max_bytes:
            _end("returns more than {} bytes", self._max_bytes, "answer_bytes", RETURN_LESS)

    def charge_path(self, path: Sequence[str | int]) -> None:
        """Count the path of an error or a note; its names may be aliases of any length."""
        self.charge_bytes(sum(len(str(key)) + PATH_FRAMING_BYTES for key in path))

    async def pause(self) -> None:
        """Let other work continue if this operation has computed for SLICE_SECONDS."""
        while time.perf_counter() - self._slice_began >= SLICE_SECONDS:
            began = self._slice_began
            await self._pause()
            # The fields of an operation share its slices: the first that continues begins one.
            if self._slice_began == began:
                self._slice_began = time.perf_counter()
                self._check_deadline()

    def _check_deadline(self) -> None:
        if asyncio.get_running_loop().time() > self.deadline + COMPUTING_SECONDS:
            raise OperationEndedError(
                UpstreamTimeoutError(
                    "The operation exceeded its time limit while computing. Request fewer items "
                    "or fields."
                )
            )


READ_LESS = (
    "Request fewer lists at once: filters, `orderBy`, `last` and counts read a list to its end, "
    "however few rows are shown."
)
RETURN_LESS = "Request fewer rows, or fewer fields of each."


def _end(what: str, limit: int, name: str, remedy: str) -> NoReturn:
    raise OperationEndedError(
        LimitExceededError(
            f"The operation {what.format(limit)}. Accepted: up to {limit} "
            f"({variable(f'limit_{name}')}). {remedy}",
            limit=name,
        )
    )
