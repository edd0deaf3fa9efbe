"""The chart, rendered once per worker of the test run."""

import pytest

from tests.deploy.helm import ALL_ON, Helm, Manifests


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    return Helm(tmp_path_factory.mktemp("helm"))


@pytest.fixture(scope="session")
def plain(helm: Helm) -> Manifests:
    """Render the chart with its defaults."""
    return helm.render()


@pytest.fixture(scope="session")
def full(helm: Helm) -> Manifests:
    """Render the chart with everything enabled."""
    return helm.render(**ALL_ON)
