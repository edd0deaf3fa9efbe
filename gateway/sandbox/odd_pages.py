"""Faults of paging: pages and tokens that are allowed, or ought to be, and still surprise."""

from dataclasses import replace

import orjson

from gateway.sandbox.dose import Dose
from gateway.sandbox.operations import LISTINGS
from gateway.sandbox.questions import Answer, Proceed, Question
from gateway.sandbox.tokens import Place, encode_token


async def short_pages(question: Question, proceed: Proceed, dose: Dose) -> Answer:
    """Send fewer items than were asked for, though more follow."""
    size = min(dose.integer("size"), question.page_size)
    return await proceed(replace(question, inputs={**question.inputs, "maxResults": size}))


async def empty_pages(question: Question, proceed: Proceed, dose: Dose) -> Answer:
    """Send empty pages with a token before every real one."""
    place = question.place
    if place.empty_pages >= dose.integer("count"):
        return await proceed(question)
    following = Place(place.after_ms, place.empty_pages + 1)
    token = encode_token(following, question.list_id, long=question.long_tokens)
    rows = LISTINGS[question.operation].rows
    return Answer(orjson.dumps({rows: [], "nextToken": token}))


async def long_tokens(question: Question, proceed: Proceed, _dose: Dose) -> Answer:
    """Make tokens as long as the model allows, and full of characters that need encoding."""
    return await proceed(replace(question, long_tokens=True))


async def repeat_token(question: Question, proceed: Proceed, _dose: Dose) -> Answer:
    """Send back the very token that asked for the page: a list that never ends."""
    answer = await proceed(question)
    if question.next_token is None:
        return answer
    body = {**orjson.loads(answer.body), "nextToken": question.next_token}
    return replace(answer, body=orjson.dumps(body))
