"""A client that reads slowly gets the newest state, and one that does not read is disconnected."""

import socket
from asyncio import BaseTransport
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx
from prometheus_client import REGISTRY

from gateway.server.protocol import HardenedProtocol
from tests.event_streams import (
    JOB,
    SSE,
    Complete,
    Result,
    Stream,
    http_1_0_request,
    messages_of,
    watching,
)
from tests.gateways import Sandbox, gateway_over
from tests.http.wire import ImpatientProtocol, read_to_end
from tests.processes import until

FAST = 0.02
BUFFER_BYTES = 4096
ALIASES = " ".join(f"a{number}: audienceGenerationJobArn" for number in range(29))
"""Some 4 KB in each event."""

LARGE = JOB.replace("status }", f"status {ALIASES} }}")
CHANGES = 60
"""Far more events than the buffers of both sides hold."""


class SmallBuffers(HardenedProtocol):
    """Lets the kernel keep little of what a client has not taken."""

    def connection_made(self, transport: BaseTransport) -> None:
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
        super().connection_made(transport)


class ImpatientSmallBuffers(SmallBuffers, ImpatientProtocol):
    """Waits a moment only for a client that takes nothing."""


@contextmanager
def unread(url: str, arn: str) -> Iterator[socket.socket]:
    """Subscribe to large events, and read nothing."""
    at = httpx.URL(url)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        connection.connect((at.host, at.port))
        connection.sendall(http_1_0_request(LARGE, {"arn": arn}, SSE))
        yield connection


def change(sandbox: Sandbox, arn: str, reader: Stream, times: int) -> None:
    """Move a job, each time when a client has seen the state before."""
    for number in range(times):
        status = ("CREATE_IN_PROGRESS", "CREATE_PENDING")[number % 2]
        sandbox.set_job_status(arn, status)
        assert reader.status() == status


def test_a_slow_client_skips_states(sandbox: Sandbox, job: str) -> None:
    """It gets the newest one, and nothing is kept for it that it has not taken."""
    with ExitStack() as stack:
        gateway = stack.enter_context(
            gateway_over(sandbox, http=SmallBuffers, watch_seconds=FAST, caller_calls_per_second=0)
        )
        slow = stack.enter_context(unread(gateway.url, job))
        fast = stack.enter_context(watching(gateway.url, job))
        assert fast.status() == "CREATE_PENDING"
        change(sandbox, job, fast, CHANGES)
        sandbox.set_job_status(job, "ACTIVE")
        fast.rest()
        *results, end = messages_of(read_to_end(slow), SSE)
    last = results[-1]

    assert 1 < len(results) < CHANGES / 2
    assert isinstance(last, Result)
    assert last.content["data"]["audienceGenerationJob"]["status"] == "ACTIVE"
    assert end == Complete()


def test_a_stuck_client_is_disconnected(sandbox: Sandbox, job: str) -> None:
    """Others are not affected."""

    def open_subscriptions() -> float:
        # Not by a request: its response would have to be read within a moment.
        return REGISTRY.get_sample_value("gateway_subscriptions") or 0

    with ExitStack() as stack:
        gateway = stack.enter_context(
            gateway_over(
                sandbox,
                http=ImpatientSmallBuffers,
                watch_seconds=FAST,
                caller_calls_per_second=0,
            )
        )
        before = open_subscriptions()
        stack.enter_context(unread(gateway.url, job))
        fast = stack.enter_context(watching(gateway.url, job))
        fast.status()
        until(lambda: open_subscriptions() == before + 2)

        def is_disconnected() -> bool:
            change(sandbox, job, fast, 2)
            return open_subscriptions() == before + 1

        until(is_disconnected)
        change(sandbox, job, fast, 2)
