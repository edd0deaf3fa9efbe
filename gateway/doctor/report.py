"""The report: a table for people, or one JSON document for machines."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict

import orjson

from gateway.doctor.row import Row, State

HEAD = ("what", "state", "detail")

MAX_CHARACTERS = 500
"""Of a line: some of it is in the words of whoever answered."""

WORKS = 0
SOMETHING_FAILS = 1
SETTINGS_ARE_WRONG = 2


def exit_code(rows: Sequence[Row], *, settings_right: bool) -> int:
    """Give the exit code that the rows come to."""
    if not settings_right:
        return SETTINGS_ARE_WRONG
    return SOMETHING_FAILS if any(row.state is State.FAIL for row in rows) else WORKS


def document(rows: Sequence[Row], code: int) -> str:
    """Give the rows as one JSON document."""
    found = {"exitCode": code, "rows": [asdict(row) for row in rows]}
    return orjson.dumps(found, option=orjson.OPT_INDENT_2).decode()


def table(rows: Sequence[Row]) -> str:
    """Give the rows as an aligned table, each remedy below what it mends."""
    widths = [
        max(len(HEAD[0]), *(len(row.what) for row in rows)),
        max(len(HEAD[1]), *(len(row.state) for row in rows)),
    ]
    cells = [HEAD, *(line for row in rows for line in _lines(row))]
    return "\n".join(
        "  ".join([what.ljust(widths[0]), state.ljust(widths[1]), _shown(detail)]).rstrip()
        for what, state, detail in cells
    )


def _lines(row: Row) -> Iterator[tuple[str, str, str]]:
    first, *more = row.detail.splitlines() or [""]
    yield _shown(row.what), row.state, first
    for line in more:
        yield "", "", line
    if row.remedy:
        yield "", "", f"-> {row.remedy}"


def _shown(text: str) -> str:
    """Leave out what would steer a terminal."""
    plain = "".join(each if each.isprintable() else "?" for each in text)
    return plain if len(plain) <= MAX_CHARACTERS else f"{plain[:MAX_CHARACTERS]}…"
