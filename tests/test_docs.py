"""What the documents for operators name is there, and what is there is named."""

import re
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from gateway.errors import error_classes
from gateway.settings import Settings
from gateway.telemetry import metrics

ROOT = Path(__file__).parents[1]
OPERATIONS = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LIBRARY_S_OWN = ("python_", "process_")
ANYWHERE = (metrics,)
"""Where metrics are made."""


def test_each_error_code_has_its_entry_in_the_runbook() -> None:
    """And no other has."""
    runbook = OPERATIONS.partition("## Runbook by error code")[2].partition("\n## ")[0]

    assert set(re.findall(r"^### ([A-Z_]+)$", runbook, re.MULTILINE)) == {
        kind.code for kind in error_classes()
    }


def test_each_metric_is_in_the_table() -> None:
    """By the name that Prometheus knows it by, and no other is."""
    families = [
        family for family in REGISTRY.collect() if not family.name.startswith(LIBRARY_S_OWN)
    ]
    ours = {
        f"{family.name}_total" if family.type == "counter" else family.name for family in families
    }

    assert set(re.findall(r"`(gateway_[a-z_]+)`", OPERATIONS)) == ours


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_setting_that_is_named_is_one(page: Path) -> None:
    """Beginnings and endings of names apart."""
    known = {f"GATEWAY_{name.upper()}" for name in Settings.model_fields}
    named = set(re.findall(r"\bGATEWAY_[A-Z_]+[A-Z]\b(?!_|\*|…)", page.read_text(encoding="utf-8")))

    assert named <= known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_link_leads_somewhere(page: Path) -> None:
    """To a file of this project and, where it says so, to a heading in it."""
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith("http"):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {_anchor(heading) for heading in headings}, target


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def test_each_alert_is_in_the_table() -> None:
    """And sends whoever is woken to a heading that is there."""
    rules = (ROOT / "deploy/prometheus/alerts.yaml").read_text(encoding="utf-8")
    headings = set(map(_anchor, re.findall(r"^#+ (.+)$", OPERATIONS, re.MULTILINE)))

    assert set(re.findall(r"alert: (\w+)", rules)) == set(
        re.findall(r"`(Gateway[A-Z]\w+)`", OPERATIONS)
    )
    assert set(re.findall(r"docs/operations\.md#([a-z_]+)", rules)) <= headings
