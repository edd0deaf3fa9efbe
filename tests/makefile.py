"""What the targets of the Makefile run."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]


def recipe(target: str, *variables: str) -> str:
    """Return the commands of a target, without running them; `variables` are `NAME=value`."""
    return subprocess.run(  # noqa: S603
        ["make", "-n", target, *variables],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
