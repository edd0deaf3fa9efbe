"""Clients that leave in great numbers take nothing with them, and leave nothing behind."""

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from uuid import UUID

import httpx

from gateway.dev import aws_headers
from gateway.sandbox import CALLERS
from tests.hostile.target import JOBS, Target
from tests.redis_servers import until

CROWD = 250
ROUNDS = 4
ASKERS = ("ada", "grace", "edith", "ada_again")
"""More than one: no single caller may have so much of the gateway."""
SPARE_FILES = 20


def written(number: int) -> bytes:
    """Write a question down as it goes over the wire, another one for each number."""
    about = f'(collaborationId: "{UUID(int=number)}", first: 2)'
    body = json.dumps({"query": JOBS.replace("(first: 2)", about)}).encode()
    headers = {
        **aws_headers(CALLERS[ASKERS[number % len(ASKERS)]]),
        "Host": "x",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST /graphql HTTP/1.1\r\n{head}\r\n".encode() + body


@contextmanager
def crowd(target: Target) -> Iterator[None]:
    """Let so many ask at once; when the block begins, the gateway works for them."""
    at = httpx.URL(target.program.url)
    with ExitStack() as stack:
        for number in range(CROWD):
            connection = socket.create_connection((at.host, at.port or 80), timeout=30)
            stack.enter_context(connection).sendall(written(number))
        until(lambda: target.sandbox.count() > 0)
        # It serves its connections in turn: it answers this after it has read what came before.
        for _ in range(3):
            assert httpx.get(f"{target.program.url}/livez").is_success
        yield


def test_a_thousand_aborted_requests_leave_nothing_open(patient: Target) -> None:
    """Each is ended: its connection here, and its call of an upstream that hangs."""
    before = patient.program.files()
    patient.sandbox.fault("hang")
    for _ in range(ROUNDS):
        with crowd(patient):
            assert patient.program.files() >= before + CROWD
        until(lambda: patient.program.files() <= before + SPARE_FILES)
        httpx.delete(f"{patient.sandbox.url}/_sandbox/calls")
    patient.sandbox.reset()

    assert patient.gateway.ask(JOBS).data
