"""The audit: what is vulnerable fails, and what nobody could tell is never passed over."""

import json
from typing import Any

import pytest

from scripts.audit import Verdict, failed, of_npm, of_pip


def pip_says(**package: Any) -> str:
    """Write a report of pip-audit on two packages, one of them plain."""
    plain = {"name": "plain", "version": "1", "vulns": []}
    return json.dumps({"dependencies": [plain, {"name": "it", **package}], "fixes": []})


def test_a_vulnerable_package_fails_in_either_mode() -> None:
    """And is named with its advisory."""
    python = of_pip("a.txt", pip_says(version="2", vulns=[{"id": "PYSEC-1"}]))
    node = of_npm("lock", json.dumps({"vulnerabilities": {"it": {"severity": "high"}}}))

    assert python.line() == "VULNERABLE: a.txt: it 2 (PYSEC-1)"
    assert node.line() == "VULNERABLE: lock: it"
    assert failed([python], required=False)
    assert failed([node], required=False)


@pytest.mark.parametrize(
    "verdict",
    [
        of_pip("a.txt", pip_says(skip_reason="Dependency not found on PyPI")),
        of_pip("a.txt", "requests.exceptions.ConnectionError: no route"),
        of_pip("a.txt", ""),
        of_pip("a.txt", "[]"),
        of_npm("lock", json.dumps({"message": "405 Method Not Allowed - POST somewhere"})),
        of_npm("lock", "npm error audit endpoint returned an error"),
    ],
    ids=lambda verdict: verdict.unknown,
)
def test_what_nobody_could_tell_is_said_and_fails_where_it_must_be_known(verdict: Verdict) -> None:
    """pip-audit itself ends well where the index has no advisories."""
    assert verdict.line().startswith("NOT AUDITED: ")
    assert "somewhere" not in verdict.line()
    assert not failed([verdict], required=False)
    assert failed([verdict], required=True)


def test_what_is_known_to_be_well_passes() -> None:
    """In either mode; npm's lowest severity can wait."""
    well = [
        of_pip("a.txt", pip_says(version="2", vulns=[])),
        of_npm("lock", json.dumps({"vulnerabilities": {"it": {"severity": "low"}}})),
    ]

    assert [each.line() for each in well] == ["ok: a.txt", "ok: lock"]
    assert not failed(well, required=True)
