"""The audit fails for vulnerable versions, and reports what could not be audited."""

import json
from typing import Any

import pytest

from scripts.audit import Verdict, failed, of_npm, of_pip


def pip_report(**package: Any) -> str:
    """Return a report of pip-audit on two packages, one of them without findings."""
    plain = {"name": "plain", "version": "1", "vulns": []}
    return json.dumps({"dependencies": [plain, {"name": "it", **package}], "fixes": []})


def test_a_vulnerable_package_fails_in_either_mode() -> None:
    """The advisory is named."""
    python = of_pip("a.txt", pip_report(version="2", vulns=[{"id": "PYSEC-1"}]))
    node = of_npm("lock", json.dumps({"vulnerabilities": {"it": {"severity": "high"}}}))

    assert python.line() == "VULNERABLE: a.txt: it 2 (PYSEC-1)"
    assert node.line() == "VULNERABLE: lock: it"
    assert failed([python], required=False)
    assert failed([node], required=False)


@pytest.mark.parametrize(
    "verdict",
    [
        of_pip("a.txt", pip_report(skip_reason="Dependency not found on PyPI")),
        of_pip("a.txt", "requests.exceptions.ConnectionError: no route"),
        of_pip("a.txt", ""),
        of_pip("a.txt", "[]"),
        of_npm("lock", json.dumps({"message": "405 Method Not Allowed - POST somewhere"})),
        of_npm("lock", "npm error audit endpoint returned an error"),
    ],
    ids=lambda verdict: verdict.unknown,
)
def test_a_missing_audit_is_reported_and_fails_if_required(verdict: Verdict) -> None:
    """pip-audit succeeds with an index without advisories."""
    assert verdict.line().startswith("NOT AUDITED: ")
    assert "somewhere" not in verdict.line()
    assert not failed([verdict], required=False)
    assert failed([verdict], required=True)


def test_a_version_without_advisories_passes() -> None:
    """So does npm's lowest severity."""
    verdicts = [
        of_pip("a.txt", pip_report(version="2", vulns=[])),
        of_npm("lock", json.dumps({"vulnerabilities": {"it": {"severity": "low"}}})),
    ]

    assert [each.line() for each in verdicts] == ["ok: a.txt", "ok: lock"]
    assert not failed(verdicts, required=True)
