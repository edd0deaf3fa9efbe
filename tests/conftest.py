"""What the tests of the whole gateway share."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from gateway.sandbox import create_sandbox
from tests.gateways import Gateway, Sandbox, gateway_over
from tests.serving import serve

# The machines that run the tests are shared: a slow example says nothing about the code.
settings.register_profile(
    "gateway", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile("long", settings.get_profile("gateway"), max_examples=5000)
settings.load_profile("gateway")


@pytest.fixture(scope="session")
def shared_sandbox() -> Iterator[Sandbox]:
    """Serve one sandbox for the session."""
    with serve(create_sandbox()) as url:
        yield Sandbox(url)


@pytest.fixture
def sandbox(shared_sandbox: Sandbox) -> Iterator[Sandbox]:
    """Give the sandbox healthy, and leave it so."""
    shared_sandbox.reset()
    yield shared_sandbox
    shared_sandbox.reset()


@pytest.fixture(scope="session")
def shared_gateway(shared_sandbox: Sandbox) -> Iterator[Gateway]:
    """Serve one gateway without a cache for the session, so that no test sees another's pages."""
    with gateway_over(shared_sandbox, cache_seconds=0) as gateway:
        yield gateway


@pytest.fixture
def gateway(shared_gateway: Gateway, sandbox: Sandbox) -> Gateway:
    """Give the gateway without a cache, over the healthy sandbox."""
    assert shared_gateway.sandbox is sandbox
    return shared_gateway
