"""The objects in an answer, held against the service model before anybody relies on them."""

from datetime import UTC, datetime
from typing import Any

from gateway.errors import UpstreamInvalidResponseError
from gateway.upstream.model import RowShape, row_shape
from gateway.upstream.values import Item, Page

TEXT = frozenset({str})

USUAL_LENGTHS = frozenset({len("2026-01-02T03:04:05Z"), len("2026-01-02T03:04:05.678Z")})


def page_from(operation: str, answer: dict[str, Any]) -> Page:
    """Read a page from a List operation's answer.

    Raises UpstreamInvalidResponseError if one object lacks what the model promises: a row
    left out in silence would be a row that nobody misses.
    """
    shape = row_shape(operation)
    assert shape.within is not None  # noqa: S101  a List operation lists something
    rows, token = answer.get(shape.within), answer.get("nextToken")
    if type(rows) is not list:
        raise _invalid(f"`{shape.within}` is not a list")
    if token is not None and (type(token) is not str or not token):
        raise _invalid("`nextToken` is not a text")
    for row in rows:
        _check(shape, row)
    return Page(rows, token)


def item_from(operation: str, answer: dict[str, Any]) -> Item:
    """Read the object that a Get operation answers with.

    Raises UpstreamInvalidResponseError as page_from does.
    """
    _check(row_shape(operation), answer)
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


def _check(shape: RowShape, row: Any) -> None:
    if type(row) is not dict:
        raise _invalid("an object is missing")
    # Nearly each row of a list is all texts, which is known at once.
    if not (shape.required <= row.keys() and TEXT.issuperset(map(type, row.values()))):
        _check_members(shape, row)
    for name in shape.timestamps:
        value = row.get(name)
        if value is not None:
            try:
                row[name] = timestamp(value)
            except (ValueError, OverflowError) as error:
                raise _invalid(f"`{name}` is not a timestamp") from error


def _check_members(shape: RowShape, row: dict[str, Any]) -> None:
    for name in shape.required:
        if row.get(name) is None:
            raise _invalid(f"an object has no `{name}`")
    for name in shape.texts:
        value = row.get(name)
        if value is not None and type(value) is not str:
            raise _invalid(f"`{name}` is not a text")


def _invalid(why: str) -> UpstreamInvalidResponseError:
    return UpstreamInvalidResponseError(f"Clean Rooms ML's answer made no sense: {why}.")


def timestamp(text: str) -> str:
    """Check a timestamp and keep it as RFC 3339 text: it is shown far more often than compared.

    Raises ValueError where it is none, OverflowError at the ends of the calendar.
    """
    moment = datetime.fromisoformat(text)
    # Python reads more of ISO 8601 than RFC 3339 knows: week dates, commas, no separators.
    if len(text) in USUAL_LENGTHS and text[10] == "T" and text[-1] == "Z":  # noqa: SIM102
        if text[4] == "-" == text[7] and text[19] in ".Z":
            return text
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
