"""`gateway check`, from the settings to the report."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import structlog

from gateway.doctor.configuration import Files, open_files, settings_problems, unsafe_choices
from gateway.doctor.credentials import environment_credentials
from gateway.doctor.examination import Examination
from gateway.doctor.report import document, exit_code, table
from gateway.doctor.row import Row, ok
from gateway.settings import SettingsError, read_settings


def run(token_file: Path | None, *, as_json: bool) -> int:
    """Print the report and return the exit code."""
    token = None
    if token_file is not None:
        token = token_file.read_text(encoding="utf-8", errors="replace").strip()
    with _silent():
        rows, right = _examined(token)
    code = exit_code(rows, settings_right=right)
    click.echo(document(rows, code) if as_json else table(rows))
    return code


def _examined(token: str | None) -> tuple[list[Row], bool]:
    try:
        settings = read_settings()
    except SettingsError as error:
        return settings_problems(error), False
    files = Files.read(settings)
    rows = [
        ok("settings", f"Read; set here: {len(settings.model_fields_set)}."),
        *files.rows,
        *unsafe_choices(settings),
        open_files(),
    ]
    found = Examination(settings, files, environment_credentials(), token).rows()
    return [*rows, *asyncio.run(found)], files.right


@contextmanager
def _silent() -> Iterator[None]:
    """Keep the parts' log lines out: the report says it all, and JSON must stay one document."""
    configured, disabled = structlog.get_config(), logging.root.manager.disable
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        structlog.configure(**configured)
        logging.disable(disabled)
