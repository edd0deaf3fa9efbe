"""The Helm chart, rendered by Helm: valid for Kubernetes and the gateway, without privileges."""

import json
import re
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway import __version__
from gateway.environment import read_settings
from gateway.http.graphiql import ASSETS_PATH
from gateway.server.lifecycle import STOP_SECONDS
from gateway.settings import Settings, variable
from gateway.telemetry.metrics import SHARED_MEMORY
from scripts.generate_docs import FROM_FILES
from tests.deploy.helm import ALL_ON, CACHED, CHART, ROOT, ChartError, Helm, Manifests
from tests.gateways import Sandbox, http
from tests.listeners import reserved_port
from tests.processes import gateway_command, until

CUSTOM_RESOURCES = {"HTTPRoute", "PodMonitor", "PrometheusRule"}
"""Kinds that are not Kubernetes' own."""

MONITORED: dict[str, Any] = {
    "podMonitor": {"enabled": True},
    "networkPolicy": {"from": [{"podSelector": {}}], "monitoring": [{"namespaceSelector": {}}]},
}

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


def validate(manifest: Any, kubernetes: str) -> None:
    """Raise ValueError if the schemas of this version of Kubernetes do not permit a manifest."""
    # Its import takes seconds, which a process that only collects tests would spend, too.
    import kubernetes_validate  # noqa: PLC0415

    try:
        kubernetes_validate.validate(manifest, kubernetes, strict=True)
    except kubernetes_validate.ValidationError as error:
        raise ValueError(error.message) from error


@pytest.mark.parametrize("values", [{}, ALL_ON, ALL_OFF], ids=["plain", "all", "none"])
def test_helm_lint_passes(helm: Helm, values: dict[str, Any]) -> None:
    """It passes without warnings."""
    assert "0 chart(s) failed" in helm.lint(**values)


@pytest.mark.parametrize("kubernetes", ["1.30", "1.37"])
@pytest.mark.parametrize("values", [{}, ALL_ON, ALL_OFF, CACHED], ids=["plain", "all", "none", "c"])
def test_manifests_are_valid(helm: Helm, values: dict[str, Any], kubernetes: str) -> None:
    """The schemas of the Kubernetes API reject unknown fields."""
    manifests = helm.render(kubernetes=f"{kubernetes}.0", **values)
    for kind in manifests.keys() - CUSTOM_RESOURCES:
        validate(manifests[kind], kubernetes)

    assert {"Deployment", "Service"} <= manifests.keys()


def test_an_invalid_manifest_is_detected(plain: Manifests) -> None:
    """The previous test depends on this."""
    broken = json.loads(json.dumps(plain["Deployment"]))
    broken["spec"]["template"]["spec"]["containers"][0]["readOnlyRootFilesystem"] = True
    with pytest.raises(ValueError, match="readOnlyRootFilesystem"):
        validate(broken, "1.37")


def problems(resources: Sequence[Any]) -> list[str]:
    """Validate custom resources by the schemas of the Gateway API and the Prometheus Operator."""
    done = subprocess.run(  # noqa: S603
        [ROOT / "scripts/with-node", "node", Path(__file__).parent / "custom_resources.mjs"],
        input=json.dumps(resources),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found: list[str] = json.loads(done.stdout)
    return found


def test_custom_resources_are_valid(helm: Helm, full: Manifests) -> None:
    """With all values, and with those that they need."""
    least = helm.render(
        httpRoute={"enabled": True, "parentRefs": [{"name": "public"}]},
        podMonitor={"enabled": True},
        prometheusRule={"enabled": True},
    )
    resources = [each[kind] for each in (full, least) for kind in sorted(CUSTOM_RESOURCES)]
    broken = json.loads(json.dumps(resources))
    broken[0]["spec"]["rules"][0]["matches"][0]["path"]["kind"] = "x"
    broken[1]["spec"]["podMetricsEndpoints"][0]["interval"] = "often"
    del broken[2]["spec"]["groups"][0]["name"]

    assert problems(resources) == []
    assert [problem.partition(" ")[0] for problem in problems(broken)] == [
        "HTTPRoute/spec/rules/0/matches/0/path/kind",
        "PodMonitor/spec/podMetricsEndpoints/0/interval",
        "PrometheusRule/spec/groups/0",
    ]


@pytest.mark.parametrize(
    ("release", "values", "name"),
    [
        ("prod", {}, "prod-audience-gateway"),
        ("audience", {}, "audience-gateway"),
        ("gateway", {}, "audience-gateway"),
        ("audience-gateway", {}, "audience-gateway"),
        ("audience-gateway-eu", {}, "audience-gateway-eu"),
        ("audi", {}, "audi-audience-gateway"),
        ("audience", {"nameOverride": "jobs"}, "audience-jobs"),
        ("audience", {"fullnameOverride": "jobs"}, "jobs"),
        ("x" * 53, {}, f"{'x' * 53}-audience"),
    ],
)
def test_resources_are_named_after_the_release(
    helm: Helm, release: str, values: dict[str, Any], name: str
) -> None:
    """The name repeats no words, and is the same in all references."""
    manifests = helm.render(release=release, **{**ALL_ON, **values})

    assert {each["metadata"]["name"] for each in manifests.values()} == {name}
    assert pod(manifests)["serviceAccountName"] == name
    assert set(backends(manifests)) == {name}


def backends(manifests: Manifests) -> list[str]:
    """Return the names of the Services that the Ingress and the HTTPRoute lead to."""
    paths = [
        path for rule in manifests["Ingress"]["spec"]["rules"] for path in rule["http"]["paths"]
    ]
    references = [
        each for rule in manifests["HTTPRoute"]["spec"]["rules"] for each in rule["backendRefs"]
    ]
    return [path["backend"]["service"]["name"] for path in paths] + [
        each["name"] for each in references
    ]


@pytest.mark.parametrize(
    ("settings", "paths"),
    [
        ({}, {"/graphql"}),
        ({"graphiql": False, "path_prefix": "/api"}, {"/api/graphql"}),
        (
            {"graphiql": True, "path_prefix": "/api/audience/"},
            {"/api/audience/graphql", f"/api/audience{ASSETS_PATH}"},
        ),
    ],
)
def test_clients_outside_reach_graphql_alone(
    helm: Helm, settings: dict[str, Any], paths: set[str]
) -> None:
    """They reach GraphiQL's assets if it is enabled, but neither metrics nor health checks."""
    manifests = helm.render(
        settings=settings,
        ingress={"enabled": True},
        httpRoute={"enabled": True, "parentRefs": [{"name": "public"}]},
    )
    (rule,) = manifests["Ingress"]["spec"]["rules"]
    (route,) = manifests["HTTPRoute"]["spec"]["rules"]

    assert "host" not in rule
    assert {(each["path"], each["pathType"]) for each in rule["http"]["paths"]} == {
        (path, "Prefix") for path in paths
    }
    assert [each["path"] for each in route["matches"]] == [
        {"type": "PathPrefix", "value": each["path"]} for each in rule["http"]["paths"]
    ]
    assert manifests["Service"]["spec"]["ports"][0]["port"] == route["backendRefs"][0]["port"]


@pytest.mark.parametrize(
    ("values", "timeouts"),
    [
        ({}, {"request": "0s"}),
        ({"timeouts": {"request": "2h"}}, {"request": "2h"}),
        ({"timeouts": {"request": ""}}, None),
    ],
)
def test_a_route_does_not_limit_the_time_of_a_response(
    helm: Helm, values: dict[str, Any], timeouts: Any
) -> None:
    """Envoy's own limit of 15 seconds would end subscriptions."""
    route = {"enabled": True, "parentRefs": [{"name": "public"}], **values}
    (rule,) = helm.render(httpRoute=route)["HTTPRoute"]["spec"]["rules"]

    assert rule.get("timeouts") == timeouts


@pytest.mark.parametrize(
    ("settings", "port"), [({}, "http"), ({"admin_port": 9090}, "admin")], ids=["one", "two"]
)
def test_probes_and_scrapes_use_the_port_that_has_their_paths(
    helm: Helm, settings: dict[str, Any], port: str
) -> None:
    """The network policy lets those in who scrape, and the Service has the main port alone."""
    manifests = helm.render(settings=settings, **MONITORED)
    ports = {each["name"]: each["containerPort"] for each in container(manifests)["ports"]}
    probes = [value for name, value in container(manifests).items() if name.endswith("Probe")]
    (scraped,) = manifests["PodMonitor"]["spec"]["podMetricsEndpoints"]
    (service,) = manifests["Service"]["spec"]["ports"]
    clients, scrapes = manifests["NetworkPolicy"]["spec"]["ingress"]

    assert ports == {"http": 8000, **({"admin": 9090} if settings else {})}
    assert {probe["httpGet"]["port"] for probe in probes} == {scraped["port"]} == {port}
    assert service["targetPort"] == "http"
    assert (clients["ports"][0]["port"], scrapes["ports"][0]["port"]) == ("http", port)
    assert clients["from"] == MONITORED["networkPolicy"]["from"]
    assert scrapes["from"] == MONITORED["networkPolicy"]["monitoring"]


def test_a_pod_serves_both_families_on_the_ports_that_it_names(
    helm: Helm, sandbox: Sandbox
) -> None:
    """A gateway with its arguments and variables, but other ports."""
    with reserved_port() as admin, ExitStack() as stack:
        manifests = helm.render(settings={"admin_port": admin, "upstream_url": sandbox.url})
        arguments = [
            "--port=0" if each == "--port=8000" else each for each in container(manifests)["args"]
        ]
        probe = container(manifests)["readinessProbe"]["httpGet"]
        ports = {each["name"]: each["containerPort"] for each in container(manifests)["ports"]}
        program = stack.enter_context(
            gateway_command(*arguments, environment=environment(manifests))
        )
        until(lambda: any("admin port on" in line for line in program.output))
        main = program.url.rpartition(":")[2]
        for host in ("127.0.0.1", "[::1]"):
            assert http("GET", f"http://{host}:{ports[probe['port']]}{probe['path']}").is_success
            query = http("GET", f"http://{host}:{main}/graphql", params={"query": "{ __typename }"})
            assert query.json() == {"data": {"__typename": "Query"}}
            assert http("GET", f"http://{host}:{main}{probe['path']}").status_code == 404


def test_anybody_may_scrape_where_nobody_is_named(helm: Helm, plain: Manifests) -> None:
    """As anybody may send requests."""
    (clients,) = plain["NetworkPolicy"]["spec"]["ingress"]
    _, scrapes = helm.render(settings={"admin_port": 9090})["NetworkPolicy"]["spec"]["ingress"]

    assert clients == {"ports": [{"port": "http", "protocol": "TCP"}]}
    assert scrapes == {"ports": [{"port": "admin", "protocol": "TCP"}]}


def test_the_rules_are_those_of_the_alerts(full: Manifests) -> None:
    """Prometheus' own templates in them are not rendered by Helm."""
    alerts = yaml.safe_load((CHART / "alerts.yaml").read_text(encoding="utf-8"))

    assert full["PrometheusRule"]["spec"] == alerts
    assert "$labels" in str(alerts)


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

    validate(workers["Deployment"], "1.37")
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
    assert {name for name in FROM_FILES if getattr(settings, name)} == set(FROM_FILES)


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
        f"{mounts[each['name']]}/{source['items'][0]['path']}": source
        for each in pod(full)["volumes"]
        for source in (each.get("secret") or each["configMap"],)
    }

    assert set(files) == {environment(full)[variable(name)] for name in FROM_FILES}
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
        ({"configMaps": {"persistedDocumentsFile": {"name": 1}}}, "persistedDocumentsFile"),
        ({"service": {"port": 70000}}, "port"),
        ({"service": {"ipFamilyPolicy": "DualStack"}}, "ipFamilyPolicy"),
        ({"settings": {"path_prefix": "api"}}, "path_prefix"),
        ({"settings": {"admin_port": 70000}}, "admin_port"),
        ({"settings": {"admin_port": 8000}}, "admin_port"),
        ({"httpRoute": {"enabled": True}}, "parentRefs"),
        ({"httpRoute": {"timeouts": {"request": "0"}}}, "request"),
        ({"podMonitor": {"enabled": True, "interval": "30"}}, "interval"),
        ({"ingress": {"enabled": True, "tls": [{"secret": "x"}]}}, "secret"),
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
        full["PodMonitor"]["spec"]["selector"]["matchLabels"],
        *(each["labelSelector"]["matchLabels"] for each in pod(full)["topologySpreadConstraints"]),
    ]
    (port,) = full["Service"]["spec"]["ports"]

    assert len(selectors) == 7
    assert all(each.items() <= labels.items() for each in selectors)
    assert port["targetPort"] == container(full)["ports"][0]["name"]
    target = full["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert target["name"] == full["Deployment"]["metadata"]["name"]


def test_the_notes_name_what_is_not_configured(helm: Helm) -> None:
    assert "Any pod may send requests" in helm.notes()
    assert "its own cache" in helm.notes()
    named = {**ALL_ON, "image": {"repository": "registry.example.com/audience-gateway"}}
    assert "names no registry" in helm.notes()
    assert "no certificate" in helm.notes(ingress={"enabled": True})
    assert not re.search("Any pod may|its own cache|no registry|no cert", helm.notes(**named))


def test_values_and_templates_agree() -> None:
    """Each value is used, and each used value has a default."""
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    templates = "".join(path.read_text() for path in sorted(Path(CHART / "templates").iterdir()))

    assert set(re.findall(r"\.Values\.(\w+)", templates)) == values.keys()
