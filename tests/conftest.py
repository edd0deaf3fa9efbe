"""Fixtures for tests of the whole gateway."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from gateway.sandbox import create_sandbox
from tests.gateways import Gateway, Sandbox, gateway_over
from tests.serving import serve

# Test machines are shared and may be slow, so Hypothesis has no deadlines.
settings.register_profile(
    "gateway", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile("long", settings.get_profile("gateway"), max_examples=5000)
settings.load_profile("gateway")


@pytest.fixture(scope="session")
def shared_sandbox() -> Iterator[Sandbox]:
    with serve(create_sandbox()) as url:
        yield Sandbox(url)


@pytest.fixture
def sandbox(shared_sandbox: Sandbox) -> Iterator[Sandbox]:
    """Reset the shared sandbox before and after the test."""
    shared_sandbox.reset()
    yield shared_sandbox
    shared_sandbox.reset()


@pytest.fixture(scope="session")
def shared_gateway(shared_sandbox: Sandbox) -> Iterator[Gateway]:
    """Without a cache, so that no test sees another one's pages."""
    with gateway_over(shared_sandbox, cache_seconds=0) as gateway:
        yield gateway


@pytest.fixture
def gateway(shared_gateway: Gateway, sandbox: Sandbox) -> Gateway:
    """Return the shared gateway, with its sandbox reset."""
    assert shared_gateway.sandbox is sandbox
    return shared_gateway
