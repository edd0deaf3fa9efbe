"""Faults of transport: answers such as a proxy on the way might send."""

from dataclasses import replace
from http import HTTPStatus

from gateway.sandbox.dose import Dose
from gateway.sandbox.questions import Answer, Proceed, Question

_PAGE = b"<!doctype html><title>Sign in</title><p>Please sign in to this network.</p>"


async def html(_question: Question, _proceed: Proceed, _dose: Dose) -> Answer:
    """Answer 200 with a web page, as a captive portal does."""
    return Answer(_PAGE, media_type="text/html")


async def truncated(question: Question, proceed: Proceed, _dose: Dose) -> Answer:
    """Cut the body in the middle."""
    answer = await proceed(question)
    return replace(answer, body=answer.body[: len(answer.body) // 2])


async def redirect(_question: Question, _proceed: Proceed, dose: Dose) -> Answer:
    """Send the caller elsewhere, where signed headers have no business."""
    return Answer(b"", HTTPStatus.FOUND, {"Location": dose.text("location")})


async def cookie(question: Question, proceed: Proceed, _dose: Dose) -> Answer:
    """Set a cookie, which must not come back with anybody's next call."""
    answer = await proceed(question)
    return replace(answer, headers={**answer.headers, "Set-Cookie": "sandbox=crumb; Path=/"})
