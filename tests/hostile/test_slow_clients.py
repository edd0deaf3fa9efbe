"""Large responses, and clients that hold memory or connections and give nothing for it."""

import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import httpx
import pytest

from tests.gateways import Sandbox, http, request_bytes
from tests.hostile.costs import ADA_HEADERS, measured, post, warm
from tests.hostile.maximal_upstream import maximal_upstream
from tests.http.wire import connect
from tests.processes import Process, gateway_process, until
from tests.telemetry.programs import metric

LARGE = "{ audienceGenerationJobs(first: 500) { edges { a: cursor b: cursor } } }"
LARGE_BYTES = 10_000_000

RESPONSES = 30

READERS = 60
READ_BYTES = 8000
MAX_GROWN_BYTES = 250 * 1024 * 1024

OPEN_FILES = 256
MAX_CONNECTIONS = OPEN_FILES // 2


@pytest.fixture(scope="module")
def gateway() -> Iterator[Process]:
    """Run a gateway over an upstream with objects of the greatest size."""
    with maximal_upstream() as (url, _), gateway_process(url, cache_seconds=600) as process:
        warm(process.url)
        assert len(post(process.url, LARGE).content) > LARGE_BYTES
        yield process


def test_a_large_response_is_freed_when_it_has_been_sent(gateway: Process) -> None:
    """It does not wait for a full garbage collection, which is rare."""
    before = gateway.resident_bytes()
    for _ in range(RESPONSES):
        post(gateway.url, LARGE)

    assert gateway.resident_bytes() - before < 3 * LARGE_BYTES


@contextmanager
def slow_readers(url: str) -> Iterator[list[socket.socket]]:
    """Give clients with small socket buffers that have begun to read a large response."""
    address = httpx.URL(url)
    with ExitStack() as stack:
        clients = []
        for _ in range(READERS):
            client = stack.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, READ_BYTES)
            client.connect((address.host, address.port))
            client.sendall(request_bytes(LARGE, ADA_HEADERS))
            client.recv(READ_BYTES)
            clients.append(client)
        yield clients


def test_slow_readers_of_large_responses_do_not_fill_the_memory(gateway: Process) -> None:
    """Others get their responses meanwhile, large ones included."""
    with measured(gateway) as cost, slow_readers(gateway.url) as clients:
        others = []
        for client in clients:
            with suppress(ConnectionError):
                client.recv(READ_BYTES)
            if client in clients[::10]:
                others.append(len(post(gateway.url, LARGE).content))
        rejections = metric(gateway.url, "gateway_rejections_total", limit="unsent_bytes")

    assert len(others) == READERS / 10
    assert min(others) > LARGE_BYTES
    assert cost.grown_bytes < MAX_GROWN_BYTES
    assert rejections > 0


@contextmanager
def limited_files() -> Iterator[None]:
    """Let the programs started in this block open few files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(scope="module")
def narrow(shared_sandbox: Sandbox) -> Iterator[Process]:
    """Run a gateway with a low limit on open files."""
    with ExitStack() as stack:
        with limited_files():
            process = stack.enter_context(gateway_process(shared_sandbox.url))
        yield process


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /livez HTTP/1.1\r\nHost: x\r\n"],
    ids=["nothing", "request", "incomplete request"],
)
def test_idle_clients_do_not_keep_health_checks_out(narrow: Process, sent: bytes) -> None:
    """They take twice as many connections as there are."""

    def closed() -> float:
        return metric(narrow.url, "gateway_rejections_total", limit="connections")

    before = closed()
    with ExitStack() as stack:
        for _ in range(2 * MAX_CONNECTIONS):
            stack.enter_context(connect(narrow.url)).sendall(sent)
        statuses = [http("GET", f"{narrow.url}/livez").status_code for _ in range(10)]
        until(lambda: closed() - before >= MAX_CONNECTIONS)

    assert statuses == [200] * 10
