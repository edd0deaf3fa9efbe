"""Callers who flood the gateway, with credentials of their own or with invented ones."""

import asyncio
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import count

import httpx
import orjson
import pytest

from gateway.dev import aws_headers
from gateway.sandbox import CALLERS
from tests.gateways import Sandbox, gateway_over, request_bytes
from tests.hostile.costs import ADA_HEADERS, invented_headers, post
from tests.hostile.target import JOBS
from tests.http.wire import connect, read_to_end
from tests.processes import Process, gateway_process, sandbox_process, until

REQUESTS_PER_SECOND = 60
CONTROL_SECONDS = 0.5
FLOOD_SECONDS = 1.0
ROUNDS = 3
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
    """A gateway under REQUESTS_PER_SECOND requests, each with new invented credentials."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._numbers = count()
        self._query = f"{{ {distinct_fields(FIELDS)} }}"
        assert len(self._query) in FLOOD_BYTES
        self.outcomes: Counter[str] = Counter()

    async def run(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        starts, ends, requests = loop.time(), loop.time() + seconds, []
        for number in count():
            at = starts + number / REQUESTS_PER_SECOND
            if at > ends:
                break
            await asyncio.sleep(at - loop.time())
            requests.append(asyncio.create_task(self._send()))
        await asyncio.gather(*requests)

    async def _send(self) -> None:
        client = Client(self._process)
        request = request_bytes(self._query, invented_headers(next(self._numbers)))
        self.outcomes[outcome((await client.send(request))[1])] += 1
        client.close()


class Honest:
    """A caller who sends requests at a low rate, with their outcomes and those of /readyz."""

    def __init__(self, process: Process) -> None:
        self._client = Client(process)
        self._request = request_bytes(JOBS, ADA_HEADERS)
        self.outcomes: Counter[str] = Counter()
        self.ready: Counter[bytes] = Counter()

    async def run(self, seconds: float) -> list[float]:
        """Return the seconds that each request took."""
        loop, taken = asyncio.get_running_loop(), []
        ends = loop.time() + seconds
        while loop.time() < ends:
            started = loop.time()
            self.outcomes[outcome((await self._client.send(self._request))[1])] += 1
            taken.append(loop.time() - started)
            probe = await self._client.send(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
            self.ready[probe[1]] += 1
            await asyncio.sleep(PAUSE_SECONDS)
        return taken

    def close(self) -> None:
        self._client.close()


async def ask_during_flood(process: Process) -> tuple[Honest, Flood, list[float], list[float]]:
    """Alternate between quiet and flood, so that other work on the machine affects both alike."""
    honest, flood = Honest(process), Flood(process)
    await honest.run(CONTROL_SECONDS)
    quiet: list[float] = []
    flooded: list[float] = []
    for _ in range(ROUNDS):
        quiet += await honest.run(CONTROL_SECONDS)
        _, taken = await asyncio.gather(flood.run(FLOOD_SECONDS), honest.run(FLOOD_SECONDS))
        flooded += taken
    honest.close()
    return honest, flood, quiet, flooded


def test_a_flood_of_invented_credentials_slows_down_no_proved_caller() -> None:
    """Nor does it make the gateway unready or large, or cost AWS more than a call each."""
    with sandbox_process() as sandbox, gateway_process(sandbox.url, cache_seconds=0) as process:
        honest, flood, quiet, flooded = asyncio.run(ask_during_flood(process))
        resident = process.resident_bytes()
        statuses = Counter(call["status"] for call in Sandbox(sandbox.url).calls)
        new = post(process.url, JOBS, headers=aws_headers(CALLERS["grace"])).json()

    assert honest.outcomes.keys() == {"OK"}
    assert honest.ready.keys() == {b"ready\n"}
    assert "errors" not in new
    assert flood.outcomes.keys() == {"UNAUTHENTICATED"}
    assert statuses[403] <= flood.outcomes.total()
    assert resident < MAX_RESIDENT_BYTES
    # The 10 ms are for what else runs on the machine.
    assert statistics.median(flooded) <= 2 * statistics.median(quiet) + 0.01


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
