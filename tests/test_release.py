"""The files of a release."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gateway import __version__
from scripts import release
from tests.makefile import recipe

ROOT = Path(__file__).parents[1]
LOCKED = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)
EXPLORER: dict[str, Any] = json.loads((ROOT / "explorer/package-lock.json").read_text("utf-8"))


def components(bill: dict[str, Any]) -> set[tuple[str, str]]:
    return {(each["name"], each["version"]) for each in bill["components"]}


def hashes(bill: dict[str, Any]) -> list[int]:
    """Return how many hashes each component has, of its own or of its files."""
    return [
        len(each.get("hashes", []))
        + sum(len(file.get("hashes", [])) for file in each.get("externalReferences", ()))
        for each in bill["components"]
    ]


@pytest.mark.parametrize("lock", release.LOCKS.values())
def test_the_bill_of_materials_names_each_locked_python_package(lock: str) -> None:
    """Packages for other systems, and hashes, included."""
    bill = release.python_bill(ROOT / lock)
    locked = set(LOCKED.findall((ROOT / lock).read_text("utf-8")))

    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["version"] == __version__
    assert components(bill) == locked
    assert all(hashes(bill))


def test_the_bill_of_materials_names_each_locked_npm_package() -> None:
    bill = release.node_bill(ROOT / "explorer")
    locked = {
        (path.rpartition("node_modules/")[2], each["version"])
        for path, each in EXPLORER["packages"].items()
        if path
    }

    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["version"] == __version__
    assert components(bill) == locked
    assert all(hashes(bill))


def test_the_checksums_are_of_each_file(tmp_path: Path) -> None:
    """In the form that sha256sum reads."""
    release.write_bill(tmp_path, "one", {"bomFormat": "CycloneDX"})
    (tmp_path / "two.whl").write_bytes(b"\0\n\r")
    release.write_checksums(tmp_path)
    checked = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"],  # noqa: S607
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert checked == f"audience-gateway-{__version__}-one.cdx.json: OK\ntwo.whl: OK\n"


def test_make_clean_removes_the_files() -> None:
    assert release.DIST.name in recipe("clean").split()
