"""The figures in README.md and benchmarks/README.md, with the conditions of their run."""

import json
import os
import platform
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks.processes import ROOT
from benchmarks.table import Row, summary, text

PYTHON_PACKAGES = (
    "graphql-core",
    "strawberry-graphql",
    "aiobotocore",
    "uvicorn",
    "uvloop",
)
NPM_LOCK = ROOT / "benchmarks/peers/package-lock.json"
NPM_PACKAGES = {
    "Hive Gateway": "@graphql-hive/gateway",
    "Tailcall": "@tailcallhq/core-linux-x64-gnu",
}


def conditions() -> str:
    """Return the date, the machine and the versions, in a sentence."""
    installed = json.loads(NPM_LOCK.read_text("utf-8"))["packages"]
    versions = [
        f"{platform.python_implementation()} {platform.python_version()}",
        *(f"{name} {version(name)}" for name in PYTHON_PACKAGES),
        *(
            f"{name} {installed[f'node_modules/{package}']['version']}"
            for name, package in NPM_PACKAGES.items()
        ),
    ]
    return f"Measured on {datetime.now(UTC):%Y-%m-%d} on {_machine()}: {', '.join(versions)}."


def _machine() -> str:
    cpus = Path("/proc/cpuinfo").read_text("utf-8")
    model = re.search(r"^model name\s*: (.+)$", cpus, re.MULTILINE)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    name = model[1] if model else platform.machine()
    return f"{os.cpu_count()} cores ({name}), {memory:.0f} GiB"


def write(groups: Mapping[str, Sequence[Row]]) -> None:
    """Replace the tables of these groups, and the summary if it was measured."""
    figures = {name: text(rows) for name, rows in groups.items()}
    _replace(ROOT / "benchmarks/README.md", figures)
    short = summary([row for rows in groups.values() for row in rows])
    if short:
        _replace(ROOT / "README.md", {"peers": short})


def _replace(path: Path, tables: Mapping[str, str]) -> None:
    document = path.read_text("utf-8")
    for name, table in tables.items():
        begin, end = f"<!-- {name}: from `make bench WRITE=1` -->\n", f"<!-- /{name} -->"
        before, _, rest = document.partition(begin)
        after = rest.partition(end)[2]
        document = f"{before}{begin}{conditions()}\n\n{table}\n{end}{after}"
    path.write_text(document, "utf-8")
