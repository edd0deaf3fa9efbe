"""The chart, rendered once for each worker of the test run."""

import pytest

from tests.deploy.helm import ALL_ON, Helm, Manifests


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Unpack it once."""
    return Helm(tmp_path_factory.mktemp("helm"))


@pytest.fixture(scope="session")
def plain(helm: Helm) -> Manifests:
    """Render it as it comes."""
    return helm.render()


@pytest.fixture(scope="session")
def full(helm: Helm) -> Manifests:
    """Render it with everything."""
    return helm.render(**ALL_ON)
