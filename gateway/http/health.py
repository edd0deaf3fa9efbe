"""/livez, /readyz and /metrics.

None of them calls the upstream: a gateway that cannot reach AWS still responds, and restarting it
would not help.
"""

from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from gateway.http.concurrency import ConcurrencyLimiter
from gateway.telemetry.metrics import CONTENT_TYPE, exposition

NO_STORE = {"Cache-Control": "no-store"}


@dataclass(slots=True)
class Health:
    limiter: ConcurrencyLimiter = field(repr=False)
    started: bool = False
    """The lifespan has started: clients are open."""
    draining: bool = False
    """SIGTERM was received; requests are still served."""

    @property
    def state(self) -> str:
        """`ready`, or why it is not."""
        if self.draining:
            return "draining"
        if not self.started:
            return "starting"
        return "overloaded" if self.limiter.overloaded else "ready"

    async def readyz(self, _: Request) -> Response:
        state = self.state
        return PlainTextResponse(f"{state}\n", 200 if state == "ready" else 503, headers=NO_STORE)


async def metrics(_: Request) -> Response:
    return Response(exposition(), headers=NO_STORE, media_type=CONTENT_TYPE)


async def livez(_: Request) -> Response:
    return PlainTextResponse("ok\n", headers=NO_STORE)
