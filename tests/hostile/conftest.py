"""Real gateway processes over the shared sandbox, each healthy before a test and after it."""

from collections.abc import Iterator

import pytest

from tests.gateways import Sandbox
from tests.hostile.process import gateway_process
from tests.hostile.target import Target

HASTY_SECONDS = 1
SESSION_SECONDS = 1800


@pytest.fixture(scope="session")
def shared_patient(shared_sandbox: Sandbox) -> Iterator[Target]:
    """Run one gateway for the session, that waits as long as it does by default."""
    with gateway_process(
        shared_sandbox.url,
        watchdog_seconds=SESSION_SECONDS,
        cache_seconds=0,
        caller_calls_per_second=0,
    ) as program:
        yield Target(program, shared_sandbox)


@pytest.fixture(scope="session")
def shared_hasty(shared_sandbox: Sandbox) -> Iterator[Target]:
    """Run one that gives up soon, for what never comes."""
    with gateway_process(
        shared_sandbox.url,
        watchdog_seconds=SESSION_SECONDS,
        cache_seconds=0,
        deadline_seconds=HASTY_SECONDS,
    ) as program:
        yield Target(program, shared_sandbox)


@pytest.fixture
def patient(shared_patient: Target, sandbox: Sandbox) -> Iterator[Target]:
    """Give the gateway that waits; a test that does it lasting harm fails."""
    assert shared_patient.sandbox is sandbox
    yield shared_patient
    shared_patient.recover()


@pytest.fixture
def hasty(shared_hasty: Target, sandbox: Sandbox) -> Iterator[Target]:
    """Give the gateway that gives up soon, likewise."""
    assert shared_hasty.sandbox is sandbox
    yield shared_hasty
    shared_hasty.recover()
