"""Running sandboxes."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from gateway.sandbox import create_sandbox
from tests.clock import DateClock
from tests.sandbox.wire import control
from tests.serving import serve

START = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _no_aws_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("AWS_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def clock() -> DateClock:
    return DateClock(START)


@pytest.fixture
def moving_url(clock: DateClock) -> Iterator[str]:
    """Serve a sandbox for one test, with the time of `clock`."""
    with serve(create_sandbox(clock=clock)) as url:
        yield url


@pytest.fixture(scope="session")
def shared_url() -> Iterator[str]:
    """Serve a sandbox whose time stands still, for tests that do not change its data."""
    with serve(create_sandbox(clock=DateClock(START))) as url:
        yield url


@pytest.fixture
def url(shared_url: str) -> Iterator[str]:
    """Return the shared sandbox without the calls and faults of other tests."""
    control(shared_url, "DELETE", "/calls")
    yield shared_url
    control(shared_url, "DELETE", "/faults")
