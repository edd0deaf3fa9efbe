"""`gateway serve --uds`: a proxy on the same machine reaches it by a socket file."""

import re
import socket
import stat
import sys
from pathlib import Path

import httpx
import pytest

from gateway.dev import aws_headers
from gateway.sandbox import CALLERS
from tests.gateways import Sandbox
from tests.processes import clean_environment, process

TIMEOUT_SECONDS = 60
RUNNING = re.compile(r'running on (unix:[^"]+)')
JOBS = "{ audienceGenerationJobs(first: 2) { nodes { name } } }"


@pytest.mark.parametrize("workers", [1, 2])
def test_requests_are_served_until_the_end(sandbox: Sandbox, tmp_path: Path, workers: int) -> None:
    """The file of a process that was killed is replaced, and its own is removed at the exit."""
    path = tmp_path / "gateway.sock"
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(path))
    command = ("-m", "gateway", "serve", "--uds", str(path), "--workers", str(workers))
    environment = {"GATEWAY_UPSTREAM_URL": sandbox.url, "GATEWAY_DRAIN_SECONDS": "0"}
    with (
        process(
            [sys.executable, *command], clean_environment() | environment, ready=RUNNING
        ) as served,
        httpx.Client(
            transport=httpx.HTTPTransport(uds=str(path)), timeout=TIMEOUT_SECONDS
        ) as client,
    ):
        mode = stat.S_IMODE(path.stat().st_mode)
        answer = client.post(
            "http://gateway/graphql", json={"query": JOBS}, headers=aws_headers(CALLERS["ada"])
        )
        ready_answer = client.get("http://gateway/readyz")
        malformed = raw_answer(path, b"GET / HTTP/9.9\r\n\r\n")
        code = served.terminate()

    assert len(answer.json()["data"]["audienceGenerationJobs"]["nodes"]) == 2
    assert ready_answer.text == "ready\n"
    assert malformed.startswith(b"HTTP/1.1 400 ")
    assert mode == 0o660
    assert served.url == f"unix:{path}"
    assert code == 0
    assert not path.exists()


def raw_answer(path: Path, data: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(TIMEOUT_SECONDS)
        client.connect(str(path))
        client.sendall(data)
        return client.recv(100_000)
