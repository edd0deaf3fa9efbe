"""An upstream that hardly accepts connections: an error code for each way, within the deadline."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from tests.gateways import Answer, Sandbox, gateway_over
from tests.hostile.target import JOBS, NO_JOBS, private_in
from tests.listeners import closing, full, silent

Listener = Callable[[], AbstractContextManager[int]]


def ask_over(scheme: str, listener: Listener, deadline_seconds: float) -> Answer:
    with (
        listener() as port,
        gateway_over(
            Sandbox(f"{scheme}://127.0.0.1:{port}"), deadline_seconds=deadline_seconds
        ) as gateway,
    ):
        return gateway.ask(JOBS)


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("listener", [silent, full])
def test_an_upstream_that_sends_nothing_is_a_timeout(scheme: str, listener: Listener) -> None:
    """It never connects, never completes a handshake, or never responds."""
    answer = ask_over(scheme, listener, 0.5)

    assert (answer.status, answer.code) == (200, "UPSTREAM_TIMEOUT")
    assert answer.content["data"] == NO_JOBS
    assert private_in(answer) == []


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_an_upstream_that_closes_connections_is_unavailable(scheme: str) -> None:
    """It closes them during the TLS handshake or during the request."""
    answer = ask_over(scheme, closing, 20)

    assert (answer.status, answer.code) == (200, "UPSTREAM_UNAVAILABLE")
    assert answer.content["data"] == NO_JOBS
    assert private_in(answer) == []
