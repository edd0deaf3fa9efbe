"""Fixtures for tests of the whole gateway."""

import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.clients.live_clients import Program, run_clients
from tests.gateways import Gateway, Sandbox, gateway_over, still_sandbox
from tests.programs import pytest_terminal_summary  # noqa: F401  # a hook
from tests.redis_servers import RedisServer, running_redis
from tests.serving import serve

# A shell lets what it runs in the background ignore Ctrl-C, and so would the programs of tests.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Test machines are shared and may be slow, so Hypothesis has no deadlines.
settings.register_profile(
    "gateway",
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)
settings.register_profile("long", settings.get_profile("gateway"), max_examples=5000)
settings.load_profile("gateway")


@pytest.fixture(scope="session")
def shared_sandbox() -> Iterator[Sandbox]:
    with serve(still_sandbox()) as url:
        yield Sandbox(url)


@pytest.fixture
def sandbox(shared_sandbox: Sandbox) -> Iterator[Sandbox]:
    """Reset the shared sandbox before and after the test, and remove the test's jobs from it."""
    shared_sandbox.reset()
    with shared_sandbox.removing_jobs():
        yield shared_sandbox
    shared_sandbox.reset()


@pytest.fixture
def job(sandbox: Sandbox) -> str:
    """Start a job of ada that is pending until a test moves it; return its ARN."""
    return sandbox.start_job()


@pytest.fixture(scope="session")
def shared_gateway(shared_sandbox: Sandbox) -> Iterator[Gateway]:
    """Without a cache, so that no test sees another one's pages.

    Nor has it a limit on calls per second, which fast tests in a row would exceed together.
    """
    with gateway_over(shared_sandbox, cache_seconds=0, caller_calls_per_second=0) as gateway:
        yield gateway


@pytest.fixture
def gateway(shared_gateway: Gateway, sandbox: Sandbox) -> Gateway:
    """Return the shared gateway, with its sandbox reset."""
    assert shared_gateway.sandbox is sandbox
    return shared_gateway


@pytest.fixture(scope="session")
def shared_redis() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


@pytest.fixture
def empty_redis(shared_redis: RedisServer) -> RedisServer:
    """Empty the shared Redis, for tests that only read and write."""
    with shared_redis.client() as redis:
        redis.flushall()
        redis.config_resetstat()
    return shared_redis


@pytest.fixture(scope="session")
def live_program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """Run the clients that subscribe."""
    with run_clients(tmp_path_factory.mktemp("live")) as program:
        yield program
