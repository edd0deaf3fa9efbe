"""What one try has found, as a row of the report."""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How something is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "FAIL"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Row:
    """What was tried, how it is, and why; `remedy` says what to do where something is wrong."""

    what: str
    state: State
    detail: str
    remedy: str = ""


def ok(what: str, detail: str) -> Row:
    """Say that something works."""
    return Row(what, State.OK, detail)


def warn(what: str, why: str, remedy: str) -> Row:
    """Say that something works, and yet should not stay as it is."""
    return Row(what, State.WARN, why, remedy)


def fail(what: str, why: str, remedy: str) -> Row:
    """Say that something does not work."""
    return Row(what, State.FAIL, why, remedy)


def skipped(what: str, why: str) -> Row:
    """Say that something was not tried."""
    return Row(what, State.SKIPPED, why)
