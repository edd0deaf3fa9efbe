"""The right answer to a question: a page of a list, or one object."""

from typing import Any

import orjson

from gateway.sandbox.operations import LISTINGS, READINGS
from gateway.sandbox.outputs import MILLISECONDS, output_shaper, row_shaper
from gateway.sandbox.problems import not_found
from gateway.sandbox.questions import Answer, Question
from gateway.sandbox.records import Record, Shelf, position_after
from gateway.sandbox.tokens import Place, encode_token
from gateway.sandbox.verification import Clock
from gateway.sandbox.worlds import World, Worlds


class Answers:
    """Answers questions from the shelves of whoever asks."""

    def __init__(self, worlds: Worlds, clock: Clock) -> None:
        self._worlds = worlds
        self._clock = clock

    async def answer(self, question: Question) -> Answer:
        """Give the answer that AWS would give."""
        world = self._worlds.of(question.identity.caller.account_id, question.identity.region)
        now_ms = round(self._clock().timestamp() * MILLISECONDS)
        build = _page if question.is_list else _object
        return Answer(orjson.dumps(build(question, world, now_ms)))


def _object(question: Question, world: World, now_ms: int) -> dict[str, Any]:
    reading = READINGS[question.operation]
    arn = str(question.inputs[reading.arn])
    record = reading.shelf(world).find(arn)
    if record is None:
        raise not_found(arn)
    shaped: dict[str, Any] = output_shaper(question.operation)(record.members(now_ms))
    return shaped


def _page(question: Question, world: World, now_ms: int) -> dict[str, Any]:
    listing = LISTINGS[question.operation]
    records, goes_on = _slice(listing.shelf(world), question)
    answer: dict[str, Any] = {
        listing.rows: [_row(question.operation, record, world, now_ms) for record in records]
    }
    if goes_on:
        place = Place(records[-1].created_ms)
        answer["nextToken"] = encode_token(place, question.list_id, long=question.long_tokens)
    return answer


def _slice(shelf: Shelf, question: Question) -> tuple[list[Record], bool]:
    """Give the items of the page, and whether another one follows them."""
    # Found by the last item's time, not by a count: a new job in front must not shift the pages.
    after_ms = question.place.after_ms
    start = 0 if after_ms is None else position_after(shelf, after_ms)
    filters = question.list_id.filters
    found: list[Record] = []
    for position in range(start, len(shelf)):
        record = shelf[position]
        if not record.matches(filters):
            continue
        if len(found) == question.page_size:
            return found, True
        found.append(record)
    return found, False


def _row(operation: str, record: Record, world: World, now_ms: int) -> orjson.Fragment:
    key = (operation, record.created_ms)
    row = world.sent_rows.get(key)
    if row is None:
        shaped = row_shaper(operation, LISTINGS[operation].rows)(record.members(now_ms))
        row = orjson.Fragment(orjson.dumps(shaped))
        if record.is_settled(now_ms):
            world.sent_rows[key] = row
    return row
