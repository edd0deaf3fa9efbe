"""Locked versions are not below the floors in pyproject.toml, which are known to be vulnerable."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
FLOORS: dict[str, list[str]] = PROJECT["tool"]["floors"]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
LOCKED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[.*\])?==([^\s;\\]+)", re.MULTILINE)


def locked(path: Path) -> Iterator[tuple[str, Version]]:
    for name, version in LOCKED.findall(path.read_text(encoding="utf-8")):
        yield canonicalize_name(name), Version(version)


def versions_below_floors(versions: Iterator[tuple[str, Version]]) -> list[str]:
    """Return the versions below their floor, with its reason."""
    return [
        f"{name} {version}: {FLOORS[name][1]}"
        for name, version in versions
        if name in FLOORS and version < Version(FLOORS[name][0])
    ]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_no_locked_version_is_below_its_floor(lock: Path) -> None:
    assert versions_below_floors(locked(lock)) == []
    assert list(locked(lock))


def test_a_version_below_its_floor_is_reported() -> None:
    """The report has the reason; versions are not compared as text."""
    (found,) = versions_below_floors(
        iter([("aiohttp", Version("3.9.0")), ("starlette", Version("1.10.0"))])
    )

    assert found.startswith("aiohttp 3.9.0: CVE-")


def test_each_floor_has_a_reason() -> None:
    assert all(len(floor) == 2 and floor[1] for floor in FLOORS.values())


def test_requirements_are_not_below_a_floor() -> None:
    """The wheel is installed without the lock files."""
    for requirement in map(Requirement, PROJECT["project"]["dependencies"]):
        floor = FLOORS.get(canonicalize_name(requirement.name))
        least = [each.version for each in requirement.specifier if each.operator == ">="]

        assert len(least) == 1, requirement
        assert floor is None or Version(least[0]) >= Version(floor[0]), requirement


def test_no_multipart_parser_is_installed() -> None:
    names = {name for name, _ in locked(ROOT / "requirements/runtime.txt")}

    assert names & FLOORS.keys() >= {"starlette", "aiohttp", "redis", "h11"}
    assert not names & {"multipart", "python-multipart", "pyjwt"}
