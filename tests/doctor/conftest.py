import os
import socket
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        upper = name.upper()
        if upper.startswith(("GATEWAY_", "AWS_")) or upper.endswith("_PROXY"):
            monkeypatch.delenv(name)


@pytest.fixture
def free_port() -> Iterator[int]:
    """Return a port that is bound but refuses connections, so that no one else can use it."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]
