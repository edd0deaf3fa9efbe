"""A log that nobody reads, or that cannot be written, costs lines and no request."""

import os
import re
import shlex
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from select import PIPE_BUF

import httpx
import pytest
from prometheus_client import REGISTRY

from gateway.telemetry import logging as log_module
from gateway.telemetry.logging import LogWriter
from tests.gateways import TIMEOUT_SECONDS
from tests.processes import clean_environment, process, until

DROPPED = "gateway_log_lines_dropped_total"
REQUESTS = 400
"""Their lines are more than a pipe holds."""


@contextmanager
def gateway_with_stdout(file: Path, folder: Path) -> Iterator[httpx.Client]:
    """Run a gateway that writes its log to a file; yield a client of its socket in the folder."""
    path = str(folder / "socket")
    serve = [sys.executable, "-m", "gateway", "serve", "--uds", path]
    # Descriptor 3 keeps the pipe to this process open, whose end means the end of the program.
    script = f"exec 3>&1; echo starting; exec {shlex.join(serve)} > {shlex.quote(str(file))}"
    environment = {**clean_environment(), "GATEWAY_DRAIN_SECONDS": "0"}
    transport = httpx.HTTPTransport(uds=path)
    with (
        process(["sh", "-c", script], environment, ready=re.compile("starting")) as started,
        httpx.Client(
            transport=transport, base_url="http://gateway", timeout=TIMEOUT_SECONDS
        ) as client,
    ):
        until(lambda: started.has_ended() or _accepts(path))
        yield client
        assert started.terminate() == 0


def _accepts(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        return connection.connect_ex(path) == 0


def serve_requests(client: httpx.Client) -> float:
    """Send requests, and return how many log lines were dropped."""
    for _ in range(REQUESTS):
        response = client.post("/graphql", json={"query": "{ __typename }"})
        assert response.json() == {"data": {"__typename": "Query"}}
    metrics = client.get("/metrics").text
    found = re.search(rf"^{DROPPED} (\S+)$", metrics, re.MULTILINE)
    assert found is not None
    return float(found[1])


def test_a_reader_that_stalls_holds_no_request(tmp_path: Path) -> None:
    pipe = tmp_path / "log"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with gateway_with_stdout(pipe, tmp_path) as client:
            serve_requests(client)
    finally:
        os.close(reader)


def test_a_reader_that_leaves_fails_no_request(tmp_path: Path) -> None:
    pipe = tmp_path / "log"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with gateway_with_stdout(pipe, tmp_path) as client:
        os.close(reader)
        assert serve_requests(client) > 0


def test_a_full_disk_fails_no_request(tmp_path: Path) -> None:
    with gateway_with_stdout(Path("/dev/full"), tmp_path) as client:
        assert serve_requests(client) > 0


def test_lines_beyond_the_queue_are_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "MAX_QUEUED_LINES", 100)
    before = REGISTRY.get_sample_value(DROPPED) or 0
    reader, file = os.pipe()
    writer = LogWriter(file)
    lines = 1000
    for _ in range(lines):
        writer.write(b"x" * 999 + b"\n")
    # A batch is being written, and one queue is full.
    assert (REGISTRY.get_sample_value(DROPPED) or 0) - before >= lines - 2 * 100 - 1

    os.close(reader)  # lets the writer go on, and fail
    writer.close()
    os.close(file)


def test_lines_of_several_workers_are_not_interleaved() -> None:
    """Whole lines, in writes of a size that a pipe keeps together."""
    reader, file = os.pipe2(os.O_DIRECT)  # one read returns one write
    writer = LogWriter(file)
    lines = [b"x" * number + b"\n" for number in range(1, 200)]  # some 20 kB
    for line in lines:
        writer.write(line)
    writer.close()
    os.close(file)
    writes = list(iter(lambda: os.read(reader, 65536), b""))
    os.close(reader)

    assert b"".join(writes) == b"".join(lines)
    assert all(len(write) <= PIPE_BUF and write.endswith(b"\n") for write in writes)
