"""Many clients that disconnect leave no work behind, and nothing unusual in the log."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from random import Random
from uuid import UUID

import httpx

from gateway.dev import aws_headers
from gateway.sandbox import CALLERS
from tests.gateways import Sandbox, http, request_bytes
from tests.hostile.target import JOBS, Target
from tests.http.wire import connect
from tests.processes import Process, gateway_process, until

CONNECTIONS = 250
ROUNDS = 4
CALLER_NAMES = ("ada", "grace", "edith", "ada_again")
"""More than one: no caller may have so many requests at once."""
SPARE_FILES = 20


def http_request(number: int) -> bytes:
    """Write the request of a number; each is for another list, so that no call is shared."""
    arguments = f'(collaborationId: "{UUID(int=number)}", first: 2)'
    caller = CALLERS[CALLER_NAMES[number % len(CALLER_NAMES)]]
    return request_bytes(JOBS.replace("(first: 2)", arguments), aws_headers(caller))


@contextmanager
def requests_in_flight(target: Target) -> Iterator[None]:
    with ExitStack() as stack:
        for number in range(CONNECTIONS):
            stack.enter_context(connect(target.url)).sendall(http_request(number))
        until(lambda: target.sandbox.count() > 0)
        yield


def test_a_thousand_aborted_requests_leave_no_connection_open(
    target: Target, target_process: Process
) -> None:
    """Neither those of the clients stay open nor those to an upstream that hangs."""
    before = target_process.open_files()
    target.sandbox.fault("hang")
    for _ in range(ROUNDS):
        with requests_in_flight(target):
            until(lambda: target_process.open_files() >= before + CONNECTIONS)
        until(lambda: target_process.open_files() <= before + SPARE_FILES)
        http("DELETE", f"{target.sandbox.url}/_sandbox/calls")
    target.sandbox.reset()

    assert target.ask(JOBS).data


DETAILS = """{
  audienceGenerationJobs(first: 3) { nodes {
    includeSeedInOutput configuredAudienceModel { name audienceModel { name } }
    exportJobs(first: 2) { nodes { name } }
  } }
}"""
BATCHES = 20
BATCH_SIZE = 10
MAX_SECONDS = 0.03


async def disconnect_at_random(url: str) -> int:
    """Send requests, disconnect at random moments, and count the requests without a response."""
    random = Random(1)  # noqa: S311 - moments
    disconnects = 0
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:

        async def ask() -> None:
            nonlocal disconnects
            try:
                async with asyncio.timeout(random.uniform(0, MAX_SECONDS)):
                    await client.post(
                        f"{url}/graphql",
                        json={"query": DETAILS},
                        headers=aws_headers(CALLERS["ada"]),
                    )
            except TimeoutError:
                disconnects += 1

        for _ in range(BATCHES):
            await asyncio.gather(*(ask() for _ in range(BATCH_SIZE)))
    return disconnects


def test_disconnects_among_nested_fields_log_only_events(sandbox: Sandbox) -> None:
    """There is no warning of a coroutine that was never awaited."""
    with gateway_process(sandbox.url, cache_seconds=0) as process:
        disconnects = asyncio.run(disconnect_at_random(process.url))
        process.terminate()

    assert disconnects > 0
    assert [line for line in process.output if not line.startswith('{"')] == []
