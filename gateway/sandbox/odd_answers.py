"""Faults of transport: answers such as a proxy on the way might send."""

from dataclasses import replace

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
    return Answer(b"", dose.integer("status"), {"Location": dose.text("location")})


async def headers(question: Question, proceed: Proceed, dose: Dose) -> Answer:
    """Answer rightly, below a head of very many headers."""
    answer = await proceed(question)
    filler = "x" * dose.integer("size")
    more = {f"X-Filler-{number}": filler for number in range(dose.integer("count"))}
    return replace(answer, headers={**answer.headers, **more})


async def not_utf8(question: Question, proceed: Proceed, _dose: Dose) -> Answer:
    """Put a byte that UTF-8 does not have into the first text of the right answer."""
    answer = await proceed(question)
    return replace(answer, body=answer.body.replace(b'"', b'"\xff', 1))


async def deep(question: Question, proceed: Proceed, dose: Dose) -> Answer:
    """Add a member to the right answer that is a list in a list in a list, and so on."""
    answer = await proceed(question)
    depth = dose.integer("depth")
    nest = b"[" * depth + b"]" * depth
    return replace(answer, body=answer.body.replace(b"{", b'{"deep":' + nest + b",", 1))


async def cookie(question: Question, proceed: Proceed, _dose: Dose) -> Answer:
    """Set a cookie, which must not come back with anybody's next call."""
    answer = await proceed(question)
    return replace(answer, headers={**answer.headers, "Set-Cookie": "sandbox=crumb; Path=/"})
