"""Callers who flood the gateway, with credentials of their own or with invented ones."""

import asyncio
import statistics
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from itertools import count

import httpx
import orjson
import pytest

from gateway.dev import aws_headers
from gateway.sandbox import CALLERS
from tests.gateways import TIMEOUT_SECONDS, Sandbox, gateway_over, request_bytes
from tests.hostile.costs import ADA_HEADERS, invented_headers, post
from tests.hostile.target import JOBS
from tests.http.wire import connect, read_to_end
from tests.processes import Process, gateway_process, sandbox_process, until

FLOOD_CLIENTS = 32
HONEST_REQUESTS = 30
MAX_SERVED_BEFORE = 5
PAUSE_SECONDS = 0.01
MAX_RESIDENT_BYTES = 300_000_000
FIELDS = 9
FLOOD_BYTES = range(750, 900)

DETAILS = (
    "{ audienceGenerationJobs(first: 100) { nodes { name includeSeedInOutput tags { key } } } }"
)
CONNECTIONS = 40


class Client:
    """One connection, on which requests follow each other."""

    def __init__(self, process: Process) -> None:
        self._url = httpx.URL(process.url)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, request: bytes) -> tuple[int, bytes]:
        """Return the status and the body of the response."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._url.host, self._url.port)
        reader, writer = self._streams
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        lines = (line.partition(b": ") for line in head.lower().split(b"\r\n"))
        length = next(int(value) for name, _, value in lines if name == b"content-length")
        return int(head.split()[1]), await reader.readexactly(length)

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()


def outcome(body: bytes) -> str:
    """Return the code of the first error, or OK."""
    errors = orjson.loads(body).get("errors")
    return errors[0]["extensions"]["code"] if errors else "OK"


def distinct_fields(number: int) -> str:
    """Write root fields that share no call to AWS."""
    return "".join(
        f'a{each}: audienceGenerationJobs(collaborationId: "{each:08}-0000-4000-8000-000000000000")'
        "{nodes{name}}"
        for each in range(number)
    )


class Flood:
    """Clients that send requests one after the other, each with new invented credentials."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._numbers = count()
        self._query = f"{{ {distinct_fields(FIELDS)} }}"
        assert len(self._query) in FLOOD_BYTES
        self._busy = asyncio.Event()
        self._ended = False
        self.outcomes: Counter[str] = Counter()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Have FLOOD_CLIENTS requests in flight."""
        clients = [asyncio.create_task(self._send_requests()) for _ in range(FLOOD_CLIENTS)]
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                await self._busy.wait()
            yield
        finally:
            self._ended = True
            await asyncio.gather(*clients)

    async def _send_requests(self) -> None:
        while not self._ended:
            client = Client(self._process)
            request = request_bytes(self._query, invented_headers(next(self._numbers)))
            self.outcomes[outcome((await client.send(request))[1])] += 1
            client.close()
            if self.outcomes.total() >= FLOOD_CLIENTS:
                self._busy.set()


async def ask_during_flood(process: Process) -> tuple[Flood, Counter[str], list[int]]:
    """Return the flood, what a proved caller receives during it, and their waits.

    A wait is the number of requests of the flood that were served during one of the caller's.
    """
    flood, seen, served = Flood(process), Counter[str](), []
    client, request = Client(process), request_bytes(JOBS, ADA_HEADERS)
    await client.send(request)
    async with flood.running():
        for _ in range(HONEST_REQUESTS):
            before = flood.outcomes.total()
            _, body = await client.send(request)
            served.append(flood.outcomes.total() - before)
            _, ready = await client.send(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
            seen.update([outcome(body), ready.decode()])
    client.close()
    return flood, seen, served


def test_a_flood_of_invented_credentials_slows_down_no_proved_caller() -> None:
    """Nor does it make the gateway unready or large, or cost AWS more than a call each."""
    with sandbox_process() as sandbox, gateway_process(sandbox.url, cache_seconds=0) as process:
        flood, seen, served = asyncio.run(ask_during_flood(process))
        resident = process.resident_bytes()
        statuses = Counter(call["status"] for call in Sandbox(sandbox.url).calls)
        new = post(process.url, JOBS, headers=aws_headers(CALLERS["grace"])).json()

    assert seen == {"OK": HONEST_REQUESTS, "ready\n": HONEST_REQUESTS}
    assert "errors" not in new
    assert flood.outcomes.keys() == {"UNAUTHENTICATED"}
    assert statuses[403] <= flood.outcomes.total()
    assert resident < MAX_RESIDENT_BYTES
    # A quarter is enough: on a busy machine the gateway's process may wait longer than others.
    # If all callers had equal shares, each request would wait for at least seven of the flood.
    assert statistics.quantiles(served, n=4)[0] <= MAX_SERVED_BEFORE


def test_refused_credentials_cost_one_call_in_ten_seconds(sandbox: Sandbox) -> None:
    """However many fields and requests there are."""
    query = f"{{ {distinct_fields(FIELDS)} }}"
    with gateway_over(sandbox, cache_seconds=0) as gateway:
        answers = [gateway.ask(query, caller=None, headers=invented_headers(1)) for _ in range(10)]

    assert {answer.status for answer in answers} == {401}
    assert sandbox.count() == 1


@contextmanager
def unfinished_requests(url: str, headers: Mapping[str, str], number: int) -> Iterator[None]:
    """Send all but the last byte of requests, and leave them so."""
    request = request_bytes("{ __typename }", headers)[:-1]
    with ExitStack() as stack:
        for _ in range(number):
            stack.enter_context(connect(url)).sendall(request)
        yield


@pytest.mark.parametrize("headers", [{}, invented_headers(1)], ids=["anonymous", "invented"])
def test_unfinished_requests_without_proof_leave_slots_to_others(
    sandbox: Sandbox, headers: Mapping[str, str]
) -> None:
    """They hold their quarter until they have arrived, or time is up."""
    with gateway_over(sandbox, max_in_flight=8, cache_seconds=0) as gateway:
        assert gateway.ask(JOBS).data
        with unfinished_requests(gateway.url, headers, 150):
            rejected = gateway.ask("{ __typename }", caller=None, headers=headers)
            answers = [gateway.ask(JOBS) for _ in range(20)]
            ready = gateway.send("GET", "/readyz")
        until(lambda: gateway.ask("{ __typename }", caller=None, headers=headers).status == 200)

    assert (rejected.status, rejected.code) == (503, "OVERLOADED")
    assert all(answer.data for answer in answers)
    assert (ready.status, ready.content) == (200, "ready\n")


def test_the_deadline_includes_the_body(sandbox: Sandbox) -> None:
    request = request_bytes("{ __typename }", ADA_HEADERS)
    with gateway_over(sandbox, deadline_seconds=0.2) as gateway, connect(gateway.url) as client:
        client.sendall(request[:-1])
        response = read_to_end(client)

    assert response.startswith(b"HTTP/1.1 408 ")
    assert b'"LIMIT_EXCEEDED"' in response


async def answers_before(process: Process) -> list[int]:
    """Count the answers of ada's connections while each of edith's requests is being served."""
    answers, stopped, all_busy = 0, False, asyncio.Event()
    # With the header, each answer is computed from what is cached.
    heavy = request_bytes(DETAILS, {**ADA_HEADERS, "X-Gateway-Cost": "1"})
    light = request_bytes(JOBS, aws_headers(CALLERS["edith"]))

    async def flood() -> None:
        nonlocal answers
        client = Client(process)
        while not stopped:
            assert outcome((await client.send(heavy))[1]) == "OK"
            answers += 1
            if answers == CONNECTIONS:
                all_busy.set()
        client.close()

    client, counts = Client(process), []
    await client.send(light)
    warm_client = Client(process)
    await warm_client.send(heavy)
    warm_client.close()
    connections = [asyncio.create_task(flood()) for _ in range(CONNECTIONS)]
    await all_busy.wait()
    for _ in range(20):
        before = answers
        assert outcome((await client.send(light))[1]) == "OK"
        counts.append(answers - before)
        await asyncio.sleep(PAUSE_SECONDS)
    stopped = True
    await asyncio.gather(*connections)
    client.close()
    return counts


def test_expensive_cached_answers_delay_their_caller_only(sandbox: Sandbox) -> None:
    """Another caller waits for a couple of them, not for one of each connection."""
    with gateway_process(sandbox.url, cache_seconds=600) as process:
        counts = asyncio.run(answers_before(process))

    assert statistics.median(counts) <= 2
    assert max(counts) < CONNECTIONS / 4
