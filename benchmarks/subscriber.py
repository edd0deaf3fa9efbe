"""Clients that subscribe to jobs of benchmarks/jobs_upstream.py, and cost next to nothing."""

import asyncio
import json
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import cast

from benchmarks.client import post
from benchmarks.processes import Process
from benchmarks.queries import credential_headers, credentials
from benchmarks.upstream import row

QUERY = """
subscription Watch($arn: String!) {
  audienceGenerationJob(audienceGenerationJobArn: $arn) {
    id audienceGenerationJobArn name status description updateTime
    metrics { recallMetric } tags { key value }
  }
}
"""
VERSION = re.compile(rb'"description":"version (\d+)"')
COMPLETE = b"event: complete\n"
OPENING = 25
"""Subscriptions that are being opened at the same time."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a client subscribes to."""

    caller: int
    job: int

    @property
    def access_key(self) -> str:
        return credentials(self.caller).access_key

    def request(self) -> bytes:
        variables = {"arn": row(self.job)["audienceGenerationJobArn"]}
        body = json.dumps({"query": QUERY, "variables": variables}).encode()
        headers = credential_headers(self.caller)
        return post("/graphql", body, headers, accept="text/event-stream")


class Subscriber(asyncio.Protocol):
    """One subscription, as Server-Sent Events."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.told: dict[int, float] = {}
        """Version of the job -> monotonic time at which its event arrived."""
        self.complete = False
        """Whether the subscription has ended as it should."""
        self._first: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def opened(self) -> None:
        """Wait for the first event; raises ConnectionError if there is none."""
        await self._first

    def close(self) -> None:
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self.target.request())

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        for version in VERSION.findall(data):
            self.told.setdefault(int(version), now)
        self.complete = self.complete or COMPLETE in data
        if self._first.done():
            return
        if self.told:
            self._first.set_result(None)
        elif data.startswith(b"HTTP/") and not data.startswith(b"HTTP/1.1 200 "):
            self._first.set_exception(ConnectionError(data.decode()))

    def connection_lost(self, _: Exception | None) -> None:
        if not self._first.done():
            self._first.set_exception(ConnectionError("the gateway closed the connection"))


async def subscribe(ours: Process, targets: Iterable[Target]) -> list[Subscriber]:
    """Open subscriptions; return once each has its first event."""
    loop = asyncio.get_running_loop()
    subscribers: list[Subscriber] = []
    remaining = iter(targets)

    async def some() -> None:
        for target in remaining:
            connecting = loop.create_connection(partial(Subscriber, target), "127.0.0.1", ours.port)
            _, subscriber = await connecting
            await subscriber.opened()
            subscribers.append(subscriber)

    await asyncio.gather(*(some() for _ in range(OPENING)))
    return subscribers
