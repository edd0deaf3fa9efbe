"""The sandbox put together: the emulated API, and the control API beside it."""

from collections.abc import Iterable
from datetime import UTC, datetime

from starlette.applications import Starlette
from starlette.routing import Mount

from gateway.sandbox.answers import Answers
from gateway.sandbox.callers import CALLERS
from gateway.sandbox.calls import CallLog
from gateway.sandbox.control import Control
from gateway.sandbox.model import signing_name
from gateway.sandbox.outbreaks import Outbreak, Outbreaks
from gateway.sandbox.outputs import MILLISECONDS
from gateway.sandbox.upstream import Upstream
from gateway.sandbox.verification import Clock, Verifier
from gateway.sandbox.worlds import Worlds

DEFAULT_SEED = 20260102


def utcnow() -> datetime:
    """Give the present moment."""
    return datetime.now(UTC)


def create_sandbox(
    *,
    clock: Clock = utcnow,
    seed: int = DEFAULT_SEED,
    jobs: int | None = None,
    signing_clock: Clock = utcnow,
    outbreaks: Iterable[Outbreak] = (),
) -> Starlette:
    """Build a sandbox: an ASGI application, with its own data and its own faults.

    `clock` moves the data, whose history ends at its value now; `jobs` is the length of ada's
    list. Signatures are dated by whoever signs, so they are judged by `signing_clock`.
    `outbreaks` are the faults that are on from the start.
    """
    worlds = Worlds(seed, round(clock().timestamp() * MILLISECONDS), jobs)
    faults, calls = Outbreaks(outbreaks), CallLog()
    verifier = Verifier(CALLERS, signing_name(), signing_clock)
    upstream = Upstream(Answers(worlds, clock), verifier, faults, calls, seed)
    control = Control(faults, calls, worlds, clock)
    return Starlette(routes=[Mount("/_sandbox", routes=control.routes()), Mount("/", app=upstream)])
