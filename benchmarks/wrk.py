"""Load by wrk, a compiled client that leaves the processor to the servers."""

import asyncio
import re
import resource
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.client import Connection
from benchmarks.load import Server

NUMBER = "@@@@@@"
"""What wrk.lua replaces by other digits in each request."""
SCRIPT = Path(__file__).with_name("wrk.lua")
RESULT = re.compile(r"^requests (\d+) microseconds (\d+) bytes (\d+) errors (\d+)$", re.MULTILINE)
TIMEOUT_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Slot:
    """What a server did in its turn."""

    rate: float
    """Responses a second."""
    cpu_ms: float
    """Milliseconds of the server's CPU for a response."""
    client_share: float
    """The part of one core that the client took."""


async def load(
    server: Server, requests: Sequence[bytes], *, connections: int, seconds: int, rows: int
) -> Slot:
    """Send the requests in turn, on so many connections at once.

    Raises AssertionError unless all are answered, the first with so many rows and the others with
    as many bytes.
    """
    size = await _answer_bytes(server, requests[0], rows)
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"\0".join(requests))
        file.flush()
        cpu, client_cpu = server.cpu(), _client_cpu()
        output = await _run(server, file.name, connections=connections, seconds=seconds)
        cpu, client_cpu = server.cpu() - cpu, _client_cpu() - client_cpu
    found = RESULT.search(output)
    assert found is not None, output
    answered, microseconds, received, errors = map(int, found.groups())
    assert errors == 0, output
    assert received >= 0.95 * size * answered, f"short answers: {output}"
    done = answered + connections / 2  # those under way at the end are half done on average
    elapsed = microseconds / 1e6
    return Slot(done / elapsed, 1000 * cpu / done, client_cpu / elapsed)


async def _answer_bytes(server: Server, request: bytes, rows: int) -> int:
    connection = await Connection.to(server.port)
    answer = await connection.ask(request.replace(NUMBER.encode(), b"%06d" % _number()))
    connection.close()
    assert answer.startswith(b'{"data":'), answer[:500]
    assert answer.count(b'"name":') == rows, answer[:500]
    return len(answer)


async def _run(server: Server, file: str, *, connections: int, seconds: int) -> str:
    options = (
        f"--threads=1 --connections={connections} --duration={seconds} --timeout={TIMEOUT_SECONDS} "
        f"--script={SCRIPT} http://127.0.0.1:{server.port}/graphql -- {file} {_number()}"
    )
    process = await asyncio.create_subprocess_exec(
        "wrk", *options.split(), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    return output.decode()


def _number() -> int:
    """Return another start for each slot."""
    return time.monotonic_ns() // 1000 % 1_000_000


def _client_cpu() -> float:
    """Return the CPU seconds of the clients that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
