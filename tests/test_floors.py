"""No version is locked that is known to be vulnerable, as far as we knew when we looked."""

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

LEAST = {
    "strawberry-graphql": "0.324",
    "graphql-core": "3.2.11",
    "starlette": "1.3.1",
    "uvicorn": "0.51",
    "h11": "0.16.0",
    "httptools": "0.8",
    "aiohttp": "3.14.3",
    "aiobotocore": "2.25.1",
    "aiocache": "0.12.3",
    "redis": "6",
    "pyjwt": "2.13.0",
    "multipart": "1.3.1",
}
"""The floors when they were laid. They may be raised in pyproject.toml, never lowered."""


def locked(path: Path) -> Iterator[tuple[str, Version]]:
    """Read the versions of a lock file."""
    for name, version in LOCKED.findall(path.read_text(encoding="utf-8")):
        yield canonicalize_name(name), Version(version)


def too_old(versions: Iterator[tuple[str, Version]]) -> list[str]:
    """Name those that are below their floor."""
    return [
        f"{name} {version}: {FLOORS[name][1]}"
        for name, version in versions
        if name in FLOORS and version < Version(FLOORS[name][0])
    ]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_no_locked_version_is_below_its_floor(lock: Path) -> None:
    """In what runs, and in what builds and tests it."""
    assert too_old(locked(lock)) == []
    assert list(locked(lock))


def test_a_version_below_its_floor_would_be_named() -> None:
    """With the reason for the floor; versions are compared as such, not as text."""
    (found,) = too_old(iter([("aiohttp", Version("3.9.0")), ("starlette", Version("1.10.0"))]))

    assert found.startswith("aiohttp 3.9.0: CVE-")


def test_no_floor_is_lowered_or_without_a_reason() -> None:
    """Whoever lowers one must say so here as well."""
    lowered = [name for name, floor in LEAST.items() if Version(FLOORS[name][0]) < Version(floor)]

    assert lowered == []
    assert all(len(floor) == 2 and floor[1] for floor in FLOORS.values())


def test_what_may_be_installed_is_not_below_a_floor_either() -> None:
    """Who installs the wheel does not have our lock."""
    for requirement in map(Requirement, PROJECT["project"]["dependencies"]):
        floor = FLOORS.get(canonicalize_name(requirement.name))
        least = [each.version for each in requirement.specifier if each.operator == ">="]

        assert len(least) == 1, requirement
        assert floor is None or Version(least[0]) >= Version(floor[0]), requirement


def test_the_program_reads_no_multipart() -> None:
    """Nothing that does is installed with it."""
    names = {name for name, _ in locked(ROOT / "requirements/runtime.txt")}

    assert names & FLOORS.keys() >= {"starlette", "aiohttp", "redis", "h11"}
    assert not names & {"multipart", "python-multipart", "pyjwt"}
