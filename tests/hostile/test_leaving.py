"""Clients who leave at any moment are no news to whoever reads the log."""

import asyncio
from random import Random

import httpx

from gateway.dev import aws_headers
from gateway.sandbox import CALLERS
from tests.gateways import Sandbox
from tests.hostile.process import gateway_process

TIMES = 40
AT_ONCE = 10
LONGEST_SECONDS = 0.03
ROWS_WITH_DETAILS = """{
  audienceGenerationJobs(first: 3) { nodes {
    includeSeedInOutput configuredAudienceModel { name audienceModel { name } }
    exportJobs(first: 2) { nodes { name } }
  } }
}"""


async def leaving(url: str) -> int:
    """Ask many times, leave at another moment each time, and say how often there was no answer."""
    chance = Random(1)  # noqa: S311 - moments
    left = 0
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:

        async def ask() -> None:
            nonlocal left
            try:
                async with asyncio.timeout(chance.uniform(0, LONGEST_SECONDS)):
                    await client.post(
                        f"{url}/graphql",
                        json={"query": ROWS_WITH_DETAILS},
                        headers=aws_headers(CALLERS["ada"]),
                    )
            except TimeoutError:
                left += 1

        for _ in range(TIMES):
            await asyncio.gather(*(ask() for _ in range(AT_ONCE)))
    return left


def test_who_leaves_in_the_middle_of_rows_leaves_no_noise(sandbox: Sandbox) -> None:
    """Each line is an event, also where what was about to begin never does."""
    with gateway_process(sandbox.url, cache_seconds=0) as program:
        left = asyncio.run(leaving(program.url))
        program.end()

    assert left > 0
    assert [line for line in program.said if not line.startswith('{"')] == []
