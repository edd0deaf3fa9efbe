"""The Compose file and the HAProxy configuration: valid, and without privileges."""

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from gateway import __version__
from gateway.environment import read_settings
from gateway.http.streams import HEARTBEAT_SECONDS
from gateway.server.lifecycle import STOP_SECONDS
from gateway.settings import Settings
from tests.gateways import Gateway
from tests.programs import needs
from tests.replicas.haproxy import CONFIG, SERVER_NAMES

DEFAULTS = Settings()
DEPLOY = Path(__file__).parents[2] / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
GATEWAYS = sorted(name for name in SERVICES if name.startswith("gateway"))
SCHEMA = Path(__file__).parent / "node_modules/dclint/schemas/compose.schema.json"


def test_the_compose_file_is_valid() -> None:
    """The schema of the Compose specification rejects unknown fields."""
    # Its import takes seconds, which a process that only collects tests would spend, too.
    from jsonschema import Draft7Validator, ValidationError  # noqa: PLC0415

    schema = Draft7Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))
    schema.validate(COMPOSE)
    wrong = {**COMPOSE, "services": {"one": {"image": "x", "readonly": True}}}
    with pytest.raises(ValidationError):
        schema.validate(wrong)


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_no_privileges_and_a_health_check(name: str) -> None:
    service = SERVICES[name]

    assert service["user"] == "65532:65532"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["healthcheck"]["test"][0] == "CMD"
    assert not {"privileged", "cap_add", "network_mode", "pid", "ipc"} & service.keys()


@pytest.mark.parametrize("name", GATEWAYS)
def test_a_gateway_accepts_its_settings_and_has_time_to_drain(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in SERVICES[name]["environment"].items():
        monkeypatch.setenv(variable, re.sub(r"\$\{\w+:-(.*)\}", r"\1", value))
    settings = read_settings()
    grace = float(SERVICES[name]["stop_grace_period"].removesuffix("s"))

    assert settings == Settings(region="us-east-1", cache_url="redis://valkey:6379/0")
    assert grace > settings.drain_seconds + STOP_SECONDS


def test_the_image_has_the_version_of_the_gateway() -> None:
    """It is the one that the chart runs."""
    assert {SERVICES[name]["image"] for name in GATEWAYS} == {f"audience-gateway:{__version__}"}


@pytest.mark.parametrize("name", GATEWAYS)
def test_the_health_check_tells_whether_a_gateway_is_ready(name: str, gateway: Gateway) -> None:
    """Also where the environment names a proxy."""
    command, option, script = SERVICES[name]["healthcheck"]["test"][1:]
    assert (command, option) == ("python", "-c")

    def exit_code(port: int | None) -> int:
        return subprocess.run(  # noqa: S603
            [sys.executable, "-c", script.replace("8000", str(port))],
            env={"http_proxy": f"http://127.0.0.1:{refusing}"},
            timeout=60,
            check=False,
            capture_output=True,
        ).returncode

    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        refusing = bound.getsockname()[1]

        assert exit_code(urlsplit(gateway.url).port) == 0
        assert exit_code(refusing) != 0


def test_only_the_balancer_is_exposed_and_only_gateways_reach_the_cache() -> None:
    networks = {name: set(service["networks"]) for name, service in SERVICES.items()}

    assert [name for name, service in SERVICES.items() if "ports" in service] == ["balancer"]
    assert networks["valkey"] == {"inside"}
    assert "inside" not in networks["balancer"]
    assert COMPOSE["networks"]["inside"] == {"internal": True}


def test_haproxy_accepts_its_configuration_with_the_variables_of_compose() -> None:
    """Each gateway is one of its servers."""
    variables: dict[str, str] = SERVICES["balancer"]["environment"]
    done = subprocess.run(  # noqa: S603
        [needs("haproxy"), "-c", "-f", str(CONFIG)],
        env={"PATH": os.environ["PATH"], **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    hosts = {variables[name].partition(":")[0] for name in variables if name.startswith("GATEWAY")}

    assert done.returncode == 0, done.stderr
    assert hosts == set(GATEWAYS)
    assert f"./{CONFIG.name}:" in SERVICES["balancer"]["volumes"][0]


def test_haproxy_has_two_files_per_connection() -> None:
    """And twice as many connections as subscriptions of all replicas that it may have."""
    (connections,) = set(haproxy_numbers(r"maxconn (\d+)"))

    assert SERVICES["balancer"]["ulimits"]["nofile"] > 2 * connections
    assert connections >= 2 * len(SERVER_NAMES) * DEFAULTS.max_subscriptions


@pytest.mark.parametrize("side", ["client", "server"])
def test_haproxy_waits_longer_than_a_gateway_is_silent(side: str) -> None:
    """While it executes a request, and between the signs of life of a subscription."""
    (seconds,) = haproxy_numbers(rf"timeout {side} (\d+)s")

    assert seconds > DEFAULTS.deadline_seconds
    assert seconds >= 2 * HEARTBEAT_SECONDS


def haproxy_numbers(pattern: str) -> list[int]:
    return list(map(int, re.findall(pattern, CONFIG.read_text(encoding="utf-8"))))
