"""Faults of time and connection: the answer comes late, or never, or by chance."""

import asyncio

from starlette.types import Receive

from gateway.sandbox.dose import Dose
from gateway.sandbox.questions import Answer, Proceed, Question
from gateway.sandbox.refusals import internal_error, unavailable


class NoAnswerError(Exception):
    """The connection is gone, so nothing can be sent any more."""


async def slow(question: Question, proceed: Proceed, dose: Dose) -> Answer:
    """Answer rightly, but late."""
    await asyncio.sleep(dose.number("seconds"))
    return await proceed(question)


async def hang(question: Question, proceed: Proceed, dose: Dose) -> Answer:
    """Do not answer until healed; a caller who leaves is let go at once."""
    healed = asyncio.ensure_future(dose.healed.wait())
    left = asyncio.ensure_future(_disconnect(question.receive))
    try:
        await asyncio.wait({healed, left}, return_when=asyncio.FIRST_COMPLETED)
        if left.done():
            raise NoAnswerError
    finally:
        healed.cancel()
        left.cancel()
    return await proceed(question)


async def reset(question: Question, _proceed: Proceed, _dose: Dose) -> Answer:
    """Close the connection instead of answering."""
    # ASGI has no word for this, so we reach for uvicorn's transport; elsewhere the error must do.
    transport = getattr(getattr(question.receive, "__self__", None), "transport", None)
    if transport is None:
        raise ConnectionResetError("the sandbox closes this connection")
    transport.abort()
    # uvicorn would still send a 500 if we returned before it has noticed.
    await _disconnect(question.receive)
    raise NoAnswerError


async def flaky(question: Question, proceed: Proceed, dose: Dose) -> Answer:
    """Fail by chance, each time in another way."""
    if dose.chance.random() >= dose.number("rate"):
        return await proceed(question)
    failures = (internal_error, unavailable, reset, slow)
    return await failures[next(dose.turns) % len(failures)](question, proceed, dose)


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
