"""The files of this repository that are its own."""

import os
from collections.abc import Iterator
from pathlib import Path

MADE = {"__generated__", "__pycache__", "dist", "node_modules"}
"""Folders that npm and builds create."""


def files_below(top: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(top):
        folders[:] = [each for each in folders if each not in MADE and not each.startswith(".")]
        yield from (Path(folder, name) for name in names)
