"""Make the files of a release in dist/: packages, bills of materials and their checksums.

    make release

- a wheel and a source distribution, both with the explorer;
- CycloneDX files of the locked Python packages, without and with tracing, and of the npm packages
  that the explorer is built from;
- SHA256SUMS, for `sha256sum --check`.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from gateway import __version__

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"
LOCKS = {"python": "requirements/runtime.txt", "python-otel": "requirements/otel.txt"}
"""Bills of materials by the name in their files."""
NODE = "explorer"


def main() -> None:
    shutil.rmtree(DIST, ignore_errors=True)
    _run(sys.executable, "-m", "hatchling", "build", "-d", DIST)
    for name, lock in LOCKS.items():
        write_bill(DIST, name, python_bill(ROOT / lock))
    write_bill(DIST, NODE, node_bill(ROOT / "explorer"))
    write_checksums(DIST)
    for file in sorted(DIST.iterdir()):
        print(file.relative_to(ROOT))


def python_bill(lock: Path) -> dict[str, Any]:
    """Return the bill of materials of a requirements file, in CycloneDX's JSON form."""
    options = ("--no-validate", "--output-reproducible", "--pyproject", ROOT / "pyproject.toml")
    bill = _json(sys.executable, "-m", "cyclonedx_py", "requirements", *options, lock)
    bill["metadata"]["component"]["version"] = __version__  # not in pyproject.toml, but dynamic
    return bill


def node_bill(folder: Path) -> dict[str, Any]:
    """Return the same for the package-lock.json of a folder."""
    options = ("--sbom-format=cyclonedx", "--package-lock-only", "--prefix", folder)
    return _json(ROOT / "scripts/with-node", "npm", "sbom", *options)


def write_bill(folder: Path, name: str, bill: dict[str, Any]) -> None:
    path = folder / f"audience-gateway-{__version__}-{name}.cdx.json"
    path.write_text(json.dumps(bill, indent=2) + "\n", "utf-8")


def write_checksums(folder: Path) -> None:
    sums = [
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n"
        for file in sorted(folder.iterdir())
    ]
    (folder / "SHA256SUMS").write_text("".join(sums), "utf-8")


def _json(*command: str | Path) -> dict[str, Any]:
    bill: dict[str, Any] = json.loads(_run(*command))
    return bill


def _run(*command: str | Path) -> str:
    done = subprocess.run(  # noqa: S603
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    if done.returncode:
        sys.exit(f"{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
