"""Gateways over the shared sandbox that must work again after each test."""

from collections.abc import Iterator

import pytest

from tests.gateways import Sandbox, gateway_over
from tests.hostile.target import Target
from tests.processes import Process, gateway_process

SHORT_DEADLINE_SECONDS = 0.5


@pytest.fixture(scope="session")
def target_process(shared_sandbox: Sandbox) -> Iterator[Process]:
    """Run a gateway as a process, whose memory and files can be observed."""
    with gateway_process(
        shared_sandbox.url,
        cache_seconds=0,
        caller_calls_per_second=0,
    ) as process:
        yield process


@pytest.fixture
def target(target_process: Process, sandbox: Sandbox) -> Iterator[Target]:
    target = Target(target_process.url, sandbox)
    yield target
    target.recover()


@pytest.fixture(scope="session")
def shared_short_deadline(shared_sandbox: Sandbox) -> Iterator[str]:
    with gateway_over(
        shared_sandbox, cache_seconds=0, deadline_seconds=SHORT_DEADLINE_SECONDS
    ) as gateway:
        yield gateway.url


@pytest.fixture
def short_deadline(shared_short_deadline: str, sandbox: Sandbox) -> Iterator[Target]:
    """Give a gateway with a short deadline, for responses that never end."""
    target = Target(shared_short_deadline, sandbox)
    yield target
    target.recover()
