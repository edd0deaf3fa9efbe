"""The sandbox put together: the emulated API, the issuer and STS, and the control API beside."""

from collections.abc import Iterable
from datetime import UTC, datetime

from starlette.applications import Starlette
from starlette.routing import Mount, Route

from gateway.sandbox.answers import Answers
from gateway.sandbox.calls import CallLog
from gateway.sandbox.control import Control
from gateway.sandbox.id_tokens import IdTokens
from gateway.sandbox.issuer import issuer_pages
from gateway.sandbox.issuer_control import IssuerControl
from gateway.sandbox.issuer_keys import IssuerKeys
from gateway.sandbox.model import signing_name
from gateway.sandbox.outbreaks import Outbreak, Outbreaks
from gateway.sandbox.outputs import MILLISECONDS
from gateway.sandbox.reception import Reception
from gateway.sandbox.sessions import Sessions
from gateway.sandbox.sts import Sts
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
    list. Signatures are dated by whoever signs, so they are judged by `signing_clock`; so are
    ID tokens and temporary credentials. `outbreaks` are the faults that are on from the start.
    """
    worlds = Worlds(seed, round(clock().timestamp() * MILLISECONDS), jobs)
    faults, calls, sessions, keys = Outbreaks(outbreaks), CallLog(), Sessions(seed), IssuerKeys()
    tokens = IdTokens(keys, signing_clock)
    verifier = Verifier(sessions, signing_name(), signing_clock)
    upstream = Upstream(Answers(worlds, clock), verifier, faults)
    sts = Sts(tokens, sessions, faults, signing_clock)
    control = Control(faults, calls, worlds, sessions, clock).routes()
    reception = Reception(calls, seed)
    pages = issuer_pages(keys, faults).items()
    return Starlette(
        routes=[
            Mount("/_sandbox", routes=control + IssuerControl(keys, tokens).routes()),
            *(Route(path, reception.before(page), methods=["GET"]) for path, page in pages),
            Route("/", reception.before(sts), methods=["POST"]),
            Mount("/", app=reception.before(upstream)),
        ]
    )
