"""The report of `gateway check`: a table for people or a JSON document, and the exit code."""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
import orjson
import structlog

from gateway.configuration import Configuration
from gateway.doctor.checks import check_services
from gateway.doctor.configuration import (
    environment_credentials,
    open_files,
    read_parts,
    settings_rows,
    unsafe_choices,
)
from gateway.doctor.diagnosis import Row, State, row_of
from gateway.environment import read_settings
from gateway.settings import SettingsError

HEAD = ("what", "state", "detail")

MAX_CHARACTERS = 500
"""Of a line of the table: a part of it may come from a server that is not AWS."""

ALL_WORK = 0
SOME_FAIL = 1
SETTINGS_ARE_INVALID = 2


def run(token_file: Path | None, *, as_json: bool) -> int:
    """Print the report and return the exit code."""
    token = None
    if token_file is not None:
        token = token_file.read_text(encoding="utf-8", errors="replace").strip()
    with _without_logs():
        rows, code = _check(token)
    document = {"exitCode": code, "rows": rows}
    click.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2) if as_json else table(rows))
    return code


def _check(token: str | None) -> tuple[list[Row], int]:
    try:
        settings = read_settings()
    except SettingsError as error:
        return settings_rows(error), SETTINGS_ARE_INVALID
    parts, files = read_parts(Configuration(settings))
    files.insert(0, row_of("settings", f"valid; {len(settings.model_fields_set)} are set"))
    if "trusted_certificates" not in parts:  # no service can be reached without it
        return files, SETTINGS_ARE_INVALID
    issuers, cache_url = parts.get("issuers", {}), parts.get("cache_url")
    caller, credentials = environment_credentials()
    rows = [
        *files,
        *unsafe_choices(settings, cache_url),
        open_files(),
        credentials,
        *asyncio.run(check_services(settings, issuers, cache_url, caller, token)),
    ]
    if any(row.state is State.FAIL for row in files):
        return rows, SETTINGS_ARE_INVALID
    return rows, SOME_FAIL if any(row.state is State.FAIL for row in rows) else ALL_WORK


@contextmanager
def _without_logs() -> Iterator[None]:
    """Suppress log lines: the report has their facts, and JSON must stay one document."""
    configured, disabled = structlog.get_config(), logging.root.manager.disable
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        structlog.configure(**configured)
        logging.disable(disabled)


def table(rows: Sequence[Row]) -> str:
    """Return the rows in aligned columns, each remedy on a line of its own."""
    lines = [HEAD, *(line for row in rows for line in _lines(row))]
    widths = [max(len(line[column]) for line in lines) for column in (0, 1)]
    return "\n".join(
        f"{what.ljust(widths[0])}  {state.ljust(widths[1])}  {_printable(detail)}".rstrip()
        for what, state, detail in lines
    )


def _lines(row: Row) -> Iterator[tuple[str, str, str]]:
    first, *more = row.detail.splitlines() or [""]
    yield _printable(row.what), row.state, first
    for line in [*more, *([f"-> {row.remedy}"] if row.remedy else [])]:
        yield "", "", line


def _printable(text: str) -> str:
    """Replace control characters, which could steer a terminal, and shorten the text."""
    plain = "".join(each if each.isprintable() else "?" for each in text)
    return plain if len(plain) <= MAX_CHARACTERS else f"{plain[:MAX_CHARACTERS]}…"
