"""An upstream that can hardly be reached: each way is a code, and the deadline holds."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from tests.gateways import Answer, Sandbox, gateway_over
from tests.hostile.listeners import closing, full, silent
from tests.hostile.target import JOBS, NOTHING, private_in

Listening = Callable[[], AbstractContextManager[int]]


def asked_over(scheme: str, listening: Listening, seconds: float) -> Answer:
    """Ask a gateway whose upstream is this, and which has so much time."""
    with (
        listening() as port,
        gateway_over(Sandbox(f"{scheme}://127.0.0.1:{port}"), deadline_seconds=seconds) as gateway,
    ):
        return gateway.ask(JOBS)


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("listening", [silent, full])
def test_who_says_nothing_is_a_timeout(scheme: str, listening: Listening) -> None:
    """Whether it never connects, never shakes hands or never answers."""
    answer = asked_over(scheme, listening, 1)

    assert (answer.status, answer.code) == (200, "UPSTREAM_TIMEOUT")
    assert answer.content["data"] == NOTHING
    assert private_in(answer) == []


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_who_hangs_up_is_unavailable(scheme: str) -> None:
    """In the middle of the TLS handshake, or of the request."""
    answer = asked_over(scheme, closing, 20)

    assert (answer.status, answer.code) == (200, "UPSTREAM_UNAVAILABLE")
    assert answer.content["data"] == NOTHING
    assert private_in(answer) == []
