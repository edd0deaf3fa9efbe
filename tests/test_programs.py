"""Missing programs are installed where that is possible, and else skipped and named."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.programs import NEEDED, PACKAGES, how_to_install
from tests.programs import needs
from tests.sources import files_below

ROOT = Path(__file__).parents[1]
SOURCES = {
    path: path.read_text("utf-8") for path in files_below(ROOT / "tests") if path.suffix == ".py"
}
PROGRAM = "chromium"  # one that is in no folder of PATH below

TWO_TESTS = """
import pytest
from tests.programs import needs, pytest_terminal_summary

@pytest.fixture(scope="session")
def browser():
    return needs("chromium")

def test_by_a_fixture(browser):
    pass

def test_by_a_call():
    needs("chromium")

def test_without():
    pass
"""


def run(
    *command: str | Path, path: Path, ci: bool, cwd: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": str(path),
        "PYTHONPATH": str(ROOT),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        **({"CI": "true"} if ci else {}),
    }
    return subprocess.run(  # noqa: S603
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    ("ci", "outcome"), [(False, "1 passed, 2 skipped"), (True, "1 passed, 1 failed, 1 error")]
)
def test_tests_that_need_a_missing_program(tmp_path: Path, *, ci: bool, outcome: str) -> None:
    """They are skipped, and counted at the end with the command that helps. In CI they fail."""
    (tmp_path / "test_it.py").write_text(TWO_TESTS, "utf-8")
    plugins = ("-p", "tests.programs", "-p", "no:cacheprovider")
    done = run(sys.executable, "-m", "pytest", *plugins, path=tmp_path, ci=ci, cwd=tmp_path)
    summary = "Not run: 2 tests that need chromium\nTo run them, on Debian: apt install chromium\n"

    assert set(outcome.split(", ")) <= set(re.split(r", | in |=+ ", done.stdout)), done.stdout
    assert (summary in done.stdout) is not ci


def install(
    folder: Path, purpose: str = "tests", *, ci: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run what make runs, as a user who is not root, with only `folder` on PATH."""
    command = (sys.executable, ROOT / "scripts/programs.py", purpose)
    user = "--unshare-user --uid 1000 --gid 1000 --die-with-parent"
    binds = ("--ro-bind", "/", "/", "--dev", "/dev", "--bind", str(folder), str(folder))
    return run(needs("bwrap"), *binds, *user.split(), "--", *command, path=folder, ci=ci)


def program(folder: Path, name: str, *lines: str) -> None:
    path = folder / name
    path.write_text("\n".join(("#!/bin/sh", *lines)), "utf-8")
    path.chmod(0o755)


def with_all_but_one(folder: Path) -> None:
    for each in PACKAGES:
        if each != PROGRAM:
            program(folder, each)


def test_it_installs_what_is_missing(tmp_path: Path) -> None:
    """By sudo without a password, and no more than is missing."""
    with_all_but_one(tmp_path)
    program(tmp_path, "apt-get")
    program(
        tmp_path,
        "sudo",
        f'[ "$*" = "-n true" ] || echo "$*" >> {tmp_path}/calls',
        f'[ "$*" = "-n true" ] || {{ echo > {tmp_path}/chromium; '
        f"/bin/chmod +x {tmp_path}/chromium; }}",
    )
    done = install(tmp_path, ci=True)

    assert done.returncode == 0, done.stdout + done.stderr
    calls = (tmp_path / "calls").read_text("utf-8")
    assert calls == f"-n {ROOT}/scripts/install-packages {PACKAGES[PROGRAM]}\n"
    assert done.stdout == "Installing Debian packages: chromium ...\n"


def test_nothing_happens_if_nothing_is_missing(tmp_path: Path) -> None:
    with_all_but_one(tmp_path)
    program(tmp_path, PROGRAM)
    done = install(tmp_path, ci=True)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("package_manager", ["none", "without sudo", "no password", "no network"])
@pytest.mark.parametrize("ci", [False, True])
def test_what_cannot_be_installed_is_named(
    tmp_path: Path, package_manager: str, *, ci: bool
) -> None:
    """With the one command. The tests run all the same, but not in CI."""
    with_all_but_one(tmp_path)
    if package_manager != "none":
        program(tmp_path, "apt-get")
    if package_manager == "no password":
        program(tmp_path, "sudo", "echo sudo: a password is required >&2", "exit 1")
    if package_manager == "no network":
        program(tmp_path, "sudo", '[ "$2" = true ] || { echo E: Unable to fetch; exit 100; }')
    done = install(tmp_path, ci=ci)

    assert "Not installed: chromium. On Debian: apt install chromium\n" in done.stdout
    assert ("E: Unable to fetch" in done.stdout) is (package_manager == "no network")
    assert done.stderr == ""
    assert done.returncode == ci


def test_the_benchmarks_do_not_run_without_their_programs(tmp_path: Path) -> None:
    done = install(tmp_path, "benchmarks")

    assert done.returncode == 1
    assert "wrk" in done.stdout


def test_the_command_names_each_package_once() -> None:
    assert how_to_install(["haproxy", "javac", "haproxy"]) == (
        "apt install default-jdk-headless haproxy"
    )


def test_tests_find_their_programs_in_one_way() -> None:
    """So that each is installed by make, and skipped where it is missing."""
    asked = {name for text in SOURCES.values() for name in re.findall(r'needs\("(\S+?)"\)', text)}
    found = {name for text in SOURCES.values() for name in re.findall(r'which\("(\S+?)"', text)}

    assert asked == set(NEEDED["tests"])
    assert not found & set(PACKAGES)
