"""Faults of content: well-formed answers that the service model does not allow."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson

from gateway.sandbox.dose import Dose
from gateway.sandbox.operations import LISTINGS
from gateway.sandbox.questions import Answer, Proceed, Question

# Any: rows are JSON objects, and these faults care about one member only.
Row = dict[str, Any]


async def unknown_status(question: Question, proceed: Proceed, dose: Dose) -> Answer:
    """Give the first rows a status that AWS might add tomorrow."""

    def change(row: Row) -> None:
        row["status"] = dose.text("status")

    return await _changed(question, proceed, change, dose.integer("rows"))


async def missing_field(question: Question, proceed: Proceed, dose: Dose) -> Answer:
    """Leave a member out of the first row."""

    def change(row: Row) -> None:
        row.pop(dose.text("field"), None)

    return await _changed(question, proceed, change, 1)


async def odd_timestamp(question: Question, proceed: Proceed, dose: Dose) -> Answer:
    """Write the first row's `createTime` in another way, or with nonsense."""

    def change(row: Row) -> None:
        row["createTime"] = dose.settings["value"]

    return await _changed(question, proceed, change, 1)


async def wrong_type(question: Question, proceed: Proceed, dose: Dose) -> Answer:
    """Give a member another JSON type: the list itself, its token, or one of the first row's."""
    member, value = dose.text("member"), dose.settings["value"]
    if not question.is_list or member not in {"rows", "nextToken"}:
        return await _changed(question, proceed, lambda row: row.update({member: value}), 1)
    answer = await proceed(question)
    name = LISTINGS[question.operation].rows if member == "rows" else member
    return replace(answer, body=orjson.dumps({**orjson.loads(answer.body), name: value}))


async def null_row(question: Question, proceed: Proceed, _dose: Dose) -> Answer:
    """Put a null where the first row was."""
    answer = await proceed(question)
    body = orjson.loads(answer.body)
    body[LISTINGS[question.operation].rows][:1] = [None]
    return replace(answer, body=orjson.dumps(body))


async def _changed(
    question: Question, proceed: Proceed, change: Callable[[Row], None], count: int
) -> Answer:
    answer = await proceed(question)
    body = orjson.loads(answer.body)
    rows = body[LISTINGS[question.operation].rows] if question.is_list else [body]
    for row in rows[:count]:
        change(row)
    return replace(answer, body=orjson.dumps(body))
