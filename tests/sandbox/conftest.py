"""Running sandboxes for the tests."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from gateway.sandbox import create_sandbox
from tests.sandbox.wire import control
from tests.serving import serve


class Clock:
    """A clock that stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)

    def __call__(self) -> datetime:
        """Give the moment it shows."""
        return self.now

    def advance(self, **duration: float) -> None:
        """Move on, or back."""
        self.now += timedelta(**duration)


@pytest.fixture(autouse=True)
def _no_aws_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("AWS_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def clock() -> Clock:
    """Give a clock to be moved by hand."""
    return Clock()


@pytest.fixture
def moving_url(clock: Clock) -> Iterator[str]:
    """Serve a sandbox of one's own, whose time is `clock`."""
    with serve(create_sandbox(clock=clock)) as url:
        yield url


@pytest.fixture(scope="session")
def shared_url() -> Iterator[str]:
    """Serve a sandbox whose time stands still, for tests that leave no trace."""
    with serve(create_sandbox(clock=Clock())) as url:
        yield url


@pytest.fixture
def url(shared_url: str) -> Iterator[str]:
    """Give the shared sandbox; faults and calls of a test end with it."""
    control(shared_url, "DELETE", "/calls")
    yield shared_url
    control(shared_url, "DELETE", "/faults")
