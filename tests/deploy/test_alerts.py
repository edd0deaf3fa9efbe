"""The alerting rules are valid, fire for what they are meant for, and lead to the runbook."""

import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

from gateway.settings import Settings
from tests.deploy.helm import CHART
from tests.programs import needs

ALERTS = CHART / "alerts.yaml"
UNIT_TESTS = Path(__file__).parent / "alerts_test.yaml"


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def promtool(*arguments: str) -> str:
    done = subprocess.run(  # noqa: S603
        [needs("promtool"), *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_accepts_the_rules() -> None:
    assert "SUCCESS" in promtool("check", "rules", "--lint=all", "--lint-fatal", str(ALERTS))


def test_rules_fire_when_they_should() -> None:
    """They do not for a healthy gateway."""
    assert "SUCCESS" in promtool("test", "rules", str(UNIT_TESTS))


def test_each_rule_has_a_test_in_which_it_fires() -> None:
    tests = yaml.safe_load(UNIT_TESTS.read_text(encoding="utf-8"))["tests"]
    fired = {
        case["alertname"]
        for test in tests
        for case in test.get("alert_rule_test", ())
        if case["exp_alerts"]
    }

    assert fired == {rule["alert"] for rule in rules()}


def test_each_rule_has_a_severity_and_leads_to_the_runbook() -> None:
    assert len({rule["alert"] for rule in rules()}) == len(rules())
    for rule in rules():
        assert re.search(r"See docs/operations\.md#[a-z_-]+\.$", rule["annotations"]["description"])
        assert rule["annotations"]["summary"]
        assert rule["labels"]["severity"] in {"critical", "warning"}


def test_subscriptions_are_near_the_limit_at_nine_tenths_of_the_default() -> None:
    (rule,) = (each for each in rules() if each["alert"] == "GatewaySubscriptionsNearLimit")
    default = Settings.model_fields["max_subscriptions"].default

    assert int(rule["expr"].rpartition("> ")[2]) == 0.9 * default
