"""/livez, /readyz and /metrics: whether the process runs, should be sent requests, and how it does.

None asks anything of the upstream: a gateway that is cut off from AWS still answers, and
restarting it would help nobody.
"""

from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from gateway.http.concurrency import ConcurrencyLimiter
from gateway.telemetry.metrics import CONTENT_TYPE, exposition

NO_STORE = {"Cache-Control": "no-store"}


@dataclass(slots=True)
class Health:
    """How the application does."""

    admission: ConcurrencyLimiter = field(repr=False)
    started: bool = False
    """Its clients are made, its schema is checked."""
    draining: bool = False
    """It has been told to end, and still serves who has not heard of that."""

    @property
    def state(self) -> str:
        """One word: `ready`, or why it is not."""
        if self.draining:
            return "draining"
        if not self.started:
            return "starting"
        return "overloaded" if self.admission.overloaded else "ready"

    async def readyz(self, _: Request) -> Response:
        """Say whether requests should be sent here."""
        state = self.state
        return PlainTextResponse(f"{state}\n", 200 if state == "ready" else 503, headers=NO_STORE)


async def metrics(_: Request) -> Response:
    """Give the metrics."""
    return Response(exposition(), headers=NO_STORE, media_type=CONTENT_TYPE)


async def livez(_: Request) -> Response:
    """Say that the process runs."""
    return PlainTextResponse("ok\n", headers=NO_STORE)
