"""/livez and /readyz: whether the process runs, and whether it should be sent requests.

Neither asks anything of the upstream: a gateway that is cut off from AWS still answers, and
restarting it would help nobody.
"""

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

NO_STORE = {"Cache-Control": "no-store"}


async def livez(_: Request) -> Response:
    """Say that the process runs."""
    return PlainTextResponse("ok\n", headers=NO_STORE)


async def readyz(request: Request) -> Response:
    """Say whether the application is warm: its clients made, its schema checked."""
    ready = getattr(request.app.state, "ready", False)
    return PlainTextResponse(
        "ready\n" if ready else "starting or stopping\n", 200 if ready else 503, headers=NO_STORE
    )
