"""The dashboard and the alerts query metrics that exist."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.errors import error_classes
from gateway.telemetry.metrics import CACHE_LOOKUPS, OK, POLLS
from tests.deploy.promql import used_by
from tests.deploy.test_alerts import rules
from tests.gateways import Gateway, Sandbox, http, still_sandbox
from tests.processes import gateway_process, until
from tests.serving import serve
from tests.telemetry.programs import is_ready

ROOT = Path(__file__).parents[2] / "deploy"
DASHBOARD: dict[str, Any] = json.loads(
    (ROOT / "grafana/audience-gateway.json").read_text(encoding="utf-8")
)
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
QUERIES = [target["expr"] for panel in PANELS for target in panel.get("targets", [])]
ALERTS = [rule["expr"] for rule in rules()]

JOBS = "{ audienceGenerationJobs(first: 1) { nodes { name } } }"

CALLERS = ("ada", "grace", "edith")

OPERATIONS = (ROOT.parent / "docs/operations.md").read_text(encoding="utf-8")
LIMITS = OPERATIONS.partition("| `limit` | Meaning |")[2].partition("\n\n")[0]

CODES = {kind.code for kind in error_classes()}
VALUES = {
    "outcome": CODES | {OK},
    "status": {"200", "503"},
    "result": {
        result
        for metric in (CACHE_LOOKUPS, POLLS)
        for result in re.findall("`([a-z]+)`", metric._documentation)
    },
    "target": {"us-east-1", "redis", "https://issuer.example"},
    "limit": set(re.findall(r"`([a-z_]+)`", LIMITS)),
}

OF_PROMETHEUS = {"job", "instance"}
"""Labels that Prometheus adds, to `up` as well, which it makes itself."""


@pytest.fixture(scope="module", params=[1, 2], ids=["one worker", "two workers"])
def exposed(request: pytest.FixtureRequest) -> Iterator[dict[str, set[str]]]:
    """Return the names and labels that /metrics of a used gateway has."""
    with (
        serve(still_sandbox()) as url,
        gateway_process(url, cache_seconds=0, workers=request.param) as program,
    ):
        gateway = Gateway(program.url, Sandbox(url))
        until(lambda: is_ready(program.url))

        def has_rejected() -> bool:
            for caller in (*CALLERS, "expired") * 2:
                gateway.ask(JOBS, caller=caller)
            return "gateway_rejections_total{" in _metrics(program.url)

        def has_opened_a_circuit() -> bool:
            for caller in CALLERS:
                gateway.ask(JOBS, caller=caller)
            return "gateway_circuit_breaker_open{" in _metrics(program.url)

        gateway.send("POST", json={"documentId": "unknown"})
        until(has_rejected)
        # No success between the failures: each worker counts its own, in a row.
        gateway.sandbox.fault("unavailable")
        until(has_opened_a_circuit)
        found: dict[str, set[str]] = {}
        for family in text_string_to_metric_families(_metrics(program.url)):
            for sample in family.samples:
                found.setdefault(sample.name, set()).update(sample.labels)
        yield {**found, "up": set()}


def _metrics(url: str) -> str:
    return http("GET", f"{url}/metrics").text


def test_metrics_and_labels_exist(exposed: dict[str, set[str]]) -> None:
    for expression in QUERIES + ALERTS:
        found = used_by(expression)
        assert found.metrics, expression
        for metric in found.metrics:
            assert metric in exposed, expression
            assert found.labels <= exposed[metric] | OF_PROMETHEUS, expression


@pytest.mark.parametrize("expression", QUERIES + ALERTS)
def test_values_of_labels_can_occur(expression: str) -> None:
    """A misspelt code would be a line that is always empty, or an alert that never fires."""
    for label, _, value in used_by(expression).matchers:
        for alternative in value.split("|") if label not in OF_PROMETHEUS else ():
            assert any(re.fullmatch(alternative, each) for each in VALUES[label]), alternative


def test_the_dashboard_shows_each_metric(exposed: dict[str, set[str]]) -> None:
    ours = {name for name in exposed if name.startswith("gateway_")}
    shown = {metric for expression in QUERIES for metric in used_by(expression).metrics}

    made_of = re.compile(r"_(bucket|count|sum)$")
    assert {made_of.sub("", name) for name in ours} == {
        made_of.sub("", name) for name in shown if name.startswith("gateway_")
    }


def test_the_dashboard_can_be_imported() -> None:
    """It has no id, and its data source is a variable, so that any Grafana accepts it."""
    assert "id" not in DASHBOARD
    assert DASHBOARD["schemaVersion"] == 42
    ids = Counter(panel["id"] for panel in PANELS)
    assert [panel for panel, times in ids.items() if times > 1] == []
    charts = [panel for panel in PANELS if panel["type"] != "row"]
    sources = [each["datasource"] for panel in charts for each in [panel, *panel["targets"]]]
    assert all(source == {"type": "prometheus", "uid": "${datasource}"} for source in sources)
    variables = {variable["name"]: variable["type"] for variable in DASHBOARD["templating"]["list"]}
    assert variables == {"datasource": "datasource", "instance": "query"}


def test_panels_do_not_overlap() -> None:
    """Each has a title and a description."""
    taken = Counter(
        (place["x"] + x, place["y"] + y)
        for place in (panel["gridPos"] for panel in PANELS)
        for x in range(place["w"])
        for y in range(place["h"])
    )

    assert [place for place, times in taken.items() if times > 1] == []
    assert max(x for x, _ in taken) < 24
    assert all(panel["title"] for panel in PANELS)
    assert all(panel.get("description") for panel in PANELS if panel["type"] != "row")
