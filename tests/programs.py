"""Programs that tests run, and that need not be installed everywhere."""

import re

import pytest

from scripts.programs import find, how_to_install, in_ci


def needs(program: str) -> str:
    """Return the path of a program of scripts/programs.py.

    Where it is not installed, the test that calls this is skipped; in CI it fails.
    """
    path = find(program)
    if path is None:
        reason = f"needs {program}; on Debian: {how_to_install([program])}"
        if in_ci():
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    return path


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List the tests that were skipped because a program is missing, and how to run them."""
    reasons = (each.longrepr[2] for each in terminalreporter.stats.get("skipped", ()))
    missing = [found[1] for each in reasons if (found := re.match(r"Skipped: needs (\S+);", each))]
    for program in sorted(set(missing)):
        count = missing.count(program)
        terminalreporter.write_line(f"Not run: {count} tests that need {program}", yellow=True)
    if missing:
        command = how_to_install(missing)
        terminalreporter.write_line(f"To run them, on Debian: {command}", yellow=True)
