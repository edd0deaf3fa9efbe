"""Look up known vulnerabilities of locked versions: with pip-audit for PyPI, with npm for npm.

    python scripts/audit.py [required]

A lock file that could not be audited is reported; with `required` it is a failure.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 300
NPM_LEVELS = ("moderate", "high", "critical")
"""npm packages build a page and run tests: severity `low` can wait."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of auditing one lock file."""

    lock: str
    vulnerable: tuple[str, ...] = ()
    unknown: str = ""
    """Why the audit is missing or incomplete."""

    def line(self) -> str:
        if self.vulnerable:
            return f"VULNERABLE: {self.lock}: {', '.join(self.vulnerable)}"
        return f"NOT AUDITED: {self.lock}: {self.unknown}" if self.unknown else f"ok: {self.lock}"


def of_pip(lock: str, output: str) -> Verdict:
    """Parse the output of pip-audit, which also succeeds with an index without advisories."""
    report = _json(output)
    if "dependencies" not in report:
        return Verdict(lock, unknown=_last_line(output))
    packages = report["dependencies"]
    found = tuple(
        f"{each['name']} {each['version']} ({advisory['id']})"
        for each in packages
        for advisory in each.get("vulns", ())
    )
    skipped = [each for each in packages if "skip_reason" in each]
    unknown = (
        f"{len(skipped)} of {len(packages)} packages, such as {skipped[0]['name']}"
        if skipped
        else ""
    )
    return Verdict(lock, found, unknown)


def of_npm(lock: str, output: str) -> Verdict:
    report = _json(output)
    if "vulnerabilities" not in report:
        return Verdict(lock, unknown=str(report.get("message", _last_line(output))).split(" - ")[0])
    found = report["vulnerabilities"].items()
    return Verdict(lock, tuple(name for name, each in found if each["severity"] in NPM_LEVELS))


def failed(verdicts: list[Verdict], *, required: bool) -> bool:
    return any(each.vulnerable or (required and each.unknown) for each in verdicts)


def _json(output: str) -> Mapping[str, Any]:
    """Parse the report; empty if the tool itself failed."""
    try:
        report = json.loads(output)
    except ValueError:
        return {}
    return report if isinstance(report, dict) else {}


def _last_line(output: str) -> str:
    return (output.strip().splitlines() or ["no answer"])[-1][:200]


def _run(*command: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603
            command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {SECONDS} s"
    return done.stdout or done.stderr


def _audit_pip(lock: Path) -> Verdict:
    name = str(lock.relative_to(ROOT))
    options = ("--require-hashes", "--disable-pip", "--format=json", "--progress-spinner=off")
    return of_pip(name, _run(sys.executable, "-m", "pip_audit", *options, "--requirement", name))


def _audit_npm(lock: Path) -> Verdict:
    name = str(lock.relative_to(ROOT))
    audit = ("npm", "audit", "--json", "--package-lock-only", "--prefix", str(lock.parent))
    return of_npm(name, _run("scripts/with-node", *audit))


def main() -> None:
    required = sys.argv[1:] == ["required"]
    folders = ("explorer", "examples", "tests/*")
    npm = [lock for each in folders for lock in sorted(ROOT.glob(f"{each}/package-lock.json"))]
    verdicts = [_audit_pip(lock) for lock in sorted(ROOT.glob("requirements/*.txt"))]
    verdicts += [_audit_npm(lock) for lock in npm]
    for verdict in verdicts:
        print(verdict.line())
    sys.exit(failed(verdicts, required=required))


if __name__ == "__main__":
    main()
