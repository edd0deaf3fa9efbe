"""Asks whether a locked version is known to be vulnerable: of PyPI by pip-audit, of npm by itself.

    python scripts/audit.py [required]

Neither may pass in silence where nobody answers: that is said, and with `required` is a failure.
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
"""npm's packages build a page and drive tests: what is `low` there can wait."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known of one lock file."""

    lock: str
    vulnerable: tuple[str, ...] = ()
    unknown: str = ""
    """Why nothing, or not everything, is known of it."""

    def line(self) -> str:
        """Say it."""
        if self.vulnerable:
            return f"VULNERABLE: {self.lock}: {', '.join(self.vulnerable)}"
        return f"NOT AUDITED: {self.lock}: {self.unknown}" if self.unknown else f"ok: {self.lock}"


def of_pip(lock: str, said: str) -> Verdict:
    """Read what pip-audit says. It ends well also where the index knows no advisories at all."""
    report = _json(said)
    if "dependencies" not in report:
        return Verdict(lock, unknown=_last_line(said))
    packages = report["dependencies"]
    found = tuple(
        f"{each['name']} {each['version']} ({flaw['id']})"
        for each in packages
        for flaw in each.get("vulns", ())
    )
    skipped = [each for each in packages if "skip_reason" in each]
    unknown = (
        f"{len(skipped)} of {len(packages)} packages, such as {skipped[0]['name']}"
        if skipped
        else ""
    )
    return Verdict(lock, found, unknown)


def of_npm(lock: str, said: str) -> Verdict:
    """Read what `npm audit` says."""
    report = _json(said)
    if "vulnerabilities" not in report:
        return Verdict(lock, unknown=str(report.get("message", _last_line(said))).split(" - ")[0])
    found = report["vulnerabilities"].items()
    return Verdict(lock, tuple(name for name, each in found if each["severity"] in NPM_LEVELS))


def failed(verdicts: list[Verdict], *, required: bool) -> bool:
    """Say whether a change with such locks must not land."""
    return any(each.vulnerable or (required and each.unknown) for each in verdicts)


def _json(said: str) -> Mapping[str, Any]:
    """Read the report; there is none where the tool itself failed."""
    try:
        report = json.loads(said)
    except ValueError:
        return {}
    return report if isinstance(report, dict) else {}


def _last_line(said: str) -> str:
    return (said.strip().splitlines() or ["no answer"])[-1][:200]


def _ask(*command: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - our own words
            command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {SECONDS} s"
    return done.stdout or done.stderr


def _ask_pip(lock: Path) -> Verdict:
    name = str(lock.relative_to(ROOT))
    options = ("--require-hashes", "--disable-pip", "--format=json", "--progress-spinner=off")
    return of_pip(name, _ask(sys.executable, "-m", "pip_audit", *options, "--requirement", name))


def _ask_npm(lock: Path) -> Verdict:
    name = str(lock.relative_to(ROOT))
    audit = ("npm", "audit", "--json", "--package-lock-only", "--prefix", str(lock.parent))
    return of_npm(name, _ask("scripts/with-node", *audit))


def main() -> None:
    """Ask of each lock file, and end with 1 where one must not be used."""
    required = sys.argv[1:] == ["required"]
    npm = [ROOT / "explorer/package-lock.json", *sorted(ROOT.glob("tests/*/package-lock.json"))]
    verdicts = [_ask_pip(lock) for lock in sorted(ROOT.glob("requirements/*.txt"))]
    verdicts += [_ask_npm(lock) for lock in npm]
    for verdict in verdicts:
        print(verdict.line())
    sys.exit(failed(verdicts, required=required))


if __name__ == "__main__":
    main()
