"""The Helm chart, rendered by Helm: valid for Kubernetes and the gateway, without privileges."""

import json
import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from gateway import __version__
from gateway.server.lifecycle import STOP_SECONDS
from gateway.settings import Settings, read_settings, variable
from gateway.telemetry.metrics import SHARED_MEMORY
from scripts.generate_docs import FROM_SECRETS
from tests.deploy.helm import ALL_ON, CACHED, CHART, ChartError, Helm, Manifests

ALL_OFF: dict[str, Any] = {
    "serviceAccount": {"create": False},
    "autoscaling": {"enabled": False},
    "podDisruptionBudget": {"enabled": False},
    "networkPolicy": {"enabled": False},
    "topologySpreadConstraints": [],
    "replicas": 3,
}


def pod(manifests: Manifests) -> Any:
    return manifests["Deployment"]["spec"]["template"]["spec"]


def container(manifests: Manifests) -> Any:
    (only,) = pod(manifests)["containers"]
    return only


def environment(manifests: Manifests) -> dict[str, str]:
    return {each["name"]: each["value"] for each in container(manifests)["env"]}


@pytest.mark.parametrize("values", [{}, ALL_ON, ALL_OFF], ids=["plain", "all", "none"])
def test_helm_lint_passes(helm: Helm, values: dict[str, Any]) -> None:
    """It passes without warnings."""
    assert "0 chart(s) failed" in helm.lint(**values)


@pytest.mark.parametrize("kubernetes", ["1.30", "1.37"])
@pytest.mark.parametrize("values", [{}, ALL_ON, ALL_OFF, CACHED], ids=["plain", "all", "none", "c"])
def test_manifests_are_valid(helm: Helm, values: dict[str, Any], kubernetes: str) -> None:
    """The schemas of the Kubernetes API reject unknown fields."""
    manifests = helm.render(kubernetes=f"{kubernetes}.0", **values)
    for manifest in manifests.values():
        kubernetes_validate.validate(manifest, kubernetes, strict=True)

    assert {"Deployment", "Service"} <= manifests.keys()


def test_an_invalid_manifest_is_detected(plain: Manifests) -> None:
    """The previous test depends on this."""
    broken = json.loads(json.dumps(plain["Deployment"]))
    broken["spec"]["template"]["spec"]["containers"][0]["readOnlyRootFilesystem"] = True
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, "1.37", strict=True)


def test_disabled_resources_are_not_rendered(helm: Helm) -> None:
    manifests = helm.render(**ALL_OFF)

    assert manifests.keys() == {"Deployment", "Service"}
    assert manifests["Deployment"]["spec"]["replicas"] == 3
    assert pod(manifests)["serviceAccountName"] == "default"


def test_a_pod_has_no_privileges(full: Manifests) -> None:
    """It runs as the image's user, not as root, read-only, without capabilities or a token."""
    dockerfile = (CHART.parents[2] / "Dockerfile").read_text(encoding="utf-8")
    of_pod, of_container = pod(full)["securityContext"], container(full)["securityContext"]

    assert of_pod["runAsNonRoot"]
    assert of_pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert f"USER {of_pod['runAsUser']}:{of_pod['runAsGroup']}\n" in dockerfile
    assert of_container == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod(full)["automountServiceAccountToken"] is False
    assert full["ServiceAccount"]["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod(full).keys()


def test_several_workers_have_shared_memory_for_their_metrics(helm: Helm, plain: Manifests) -> None:
    """No other volume is writable, and a single worker has none."""
    workers = helm.render(workers=2)
    (mount,) = container(workers)["volumeMounts"]
    (volume,) = pod(workers)["volumes"]

    kubernetes_validate.validate(workers["Deployment"], "1.37", strict=True)
    assert mount == {"name": volume["name"], "mountPath": SHARED_MEMORY}
    assert volume["emptyDir"]["medium"] == "Memory"
    assert "volumes" not in pod(plain)


def test_extra_variables_are_rendered(helm: Helm) -> None:
    given = [{"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://collector:4318"}]

    assert given[0] in container(helm.render(extraEnv=given))["env"]


def test_a_pod_is_replaced_before_it_ends_and_has_time_to_drain(
    plain: Manifests, full: Manifests
) -> None:
    """Its time covers the drain, the requests in progress, and a margin."""
    strategy = plain["Deployment"]["spec"]["strategy"]
    drain = Settings.model_fields["drain_seconds"].default

    assert strategy["rollingUpdate"]["maxUnavailable"] == 0
    assert environment(plain)["GATEWAY_DRAIN_SECONDS"] == str(drain)
    assert pod(plain)["terminationGracePeriodSeconds"] > drain + STOP_SECONDS
    assert pod(full)["terminationGracePeriodSeconds"] > 7.5 + STOP_SECONDS


def test_only_liveness_restarts_a_pod(plain: Manifests) -> None:
    """A gateway that is overloaded or drains is not restarted."""
    paths = {
        name: each["httpGet"]["path"]
        for name, each in container(plain).items()
        if name.endswith("Probe")
    }

    assert paths == {
        "startupProbe": "/readyz",
        "readinessProbe": "/readyz",
        "livenessProbe": "/livez",
    }


def test_the_gateway_accepts_the_settings_that_are_rendered(
    full: Manifests, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large integers are not rendered in scientific notation, and quotes survive."""
    for name, value in environment(full).items():
        monkeypatch.setenv(name, value)
    settings = read_settings()

    assert (settings.cache_bytes, settings.cache_seconds) == (67108864, 2.5)
    assert settings.introspection is True
    assert settings.upstream_url == ALL_ON["settings"]["upstream_url"]
    assert {name for name in FROM_SECRETS if getattr(settings, name)} == set(FROM_SECRETS)


@pytest.mark.parametrize(
    "settings",
    [
        {"regions": " us-east-1, eu-west-1,"},
        {"regions": ""},
        {"cors_origins": "https://[::1]:8080"},
        {"cache_url": "rediss://redis.example:6380/0"},
        {"trace_ratio": "0.5"},
        {"max_upstream_calls": 10**9},
        {name: field.default for name, field in Settings.model_fields.items() if field.default},
    ],
)
def test_the_schema_accepts_what_the_gateway_accepts(helm: Helm, settings: dict[str, Any]) -> None:
    """`helm --set` passes decimals as strings."""
    values = {
        name: ",".join(value) if isinstance(value, frozenset) else value
        for name, value in settings.items()
    }
    rendered = environment(helm.render(settings=values))

    assert {variable(name) for name in values} <= rendered.keys()


def test_a_secret_is_a_file_and_never_a_variable(full: Manifests) -> None:
    """It is mounted where its setting points, and the group of the pod can read it."""
    mounts = {each["name"]: each["mountPath"] for each in container(full)["volumeMounts"]}
    files = {
        f"{mounts[each['name']]}/{each['secret']['items'][0]['path']}": each["secret"]
        for each in pod(full)["volumes"]
    }

    assert set(files) == {environment(full)[variable(name)] for name in FROM_SECRETS}
    assert {each["defaultMode"] for each in files.values()} == {0o440}
    assert pod(full)["securityContext"]["fsGroup"] == pod(full)["securityContext"]["runAsGroup"]
    assert "valueFrom" not in str(container(full))


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"settings": {"regoin": "x"}}, "regoin"),
        ({"settings": {"cache_url": "redis://:hunter2@redis"}}, "cache_url"),
        ({"settings": {"drain_seconds": None}}, "drain_seconds"),
        ({"settings": {"log_level": "loud"}}, "log_level"),
        ({"settings": {"cache_seconds": -5}}, "cache_seconds"),
        ({"settings": {"cache_seconds": "-0.5"}}, "cache_seconds"),
        ({"settings": {"limit_aliases": 1.5}}, "limit_aliases"),
        ({"settings": {"graphiql": "maybe"}}, "graphiql"),
        ({"settings": {"regions": "us-east-1,us-east"}}, "regions"),
        ({"settings": {"callers": ""}}, "callers"),
        ({"settings": {"cache_url": "memcached://hunter2"}}, "cache_url"),
        ({"image": {"digest": "latest"}}, "digest"),
        ({"replica": 3}, "replica"),
        ({"workers": 0}, "workers"),
        ({"secrets": {"oidcFile": {"value": "x"}}}, "oidcFile"),
        ({"service": {"port": 70000}}, "port"),
    ],
)
def test_an_invalid_value_stops_the_installation(
    helm: Helm, values: dict[str, Any], named: str
) -> None:
    """The message names it, and does not repeat a password."""
    with pytest.raises(ChartError) as caught:
        helm.render(**values)

    assert named in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_the_image_has_the_version_of_the_gateway(plain: Manifests) -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))

    assert chart["appVersion"] == __version__
    assert container(plain)["image"] == f"audience-gateway:{__version__}"


def test_a_digest_takes_precedence_over_a_tag(helm: Helm) -> None:
    digest = f"sha256:{'0' * 64}"
    manifests = helm.render(image={"tag": "latest", "digest": digest})

    assert container(manifests)["image"] == f"audience-gateway@{digest}"


def test_selectors_match_the_pods(full: Manifests) -> None:
    labels = full["Deployment"]["spec"]["template"]["metadata"]["labels"]
    selectors = [
        full["Service"]["spec"]["selector"],
        full["Deployment"]["spec"]["selector"]["matchLabels"],
        full["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        full["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
        *(each["labelSelector"]["matchLabels"] for each in pod(full)["topologySpreadConstraints"]),
    ]
    (port,) = full["Service"]["spec"]["ports"]

    assert len(selectors) == 6
    assert all(each.items() <= labels.items() for each in selectors)
    assert port["targetPort"] == container(full)["ports"][0]["name"]
    target = full["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert target["name"] == full["Deployment"]["metadata"]["name"]


def test_the_notes_name_what_is_not_configured(helm: Helm) -> None:
    assert "Any pod may send requests" in helm.notes()
    assert "its own cache" in helm.notes()
    assert not re.search("Any pod may|its own cache", helm.notes(**ALL_ON))


def test_values_and_templates_agree() -> None:
    """Each value is used, and each used value has a default."""
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    templates = "".join(path.read_text() for path in sorted(Path(CHART / "templates").iterdir()))

    assert set(re.findall(r"\.Values\.(\w+)", templates)) == values.keys()
