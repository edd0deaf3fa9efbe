"""Clients that subscribe over Server-Sent Events, and subscribe again as graphql-sse does."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
from anyio.from_thread import start_blocking_portal

from tests.event_streams import JOB, SSE, caller_headers
from tests.gateways import TIMEOUT_SECONDS, TLS
from tests.processes import until

RETRIES = 5
"""Attempts in a row without an event, after the first one, before a client gives up."""

FIRST_DELAY_SECONDS = 0.2
JITTER_SECONDS = 0.3
"""The delay of the first retry doubles with each; a part of graphql-sse's one to four seconds."""


@dataclass
class Subscriber:
    """A client that watches a job."""

    arn: str
    statuses: list[str] = field(default_factory=list)
    """Those of its events."""
    streams: int = 0
    """How many responses it has had."""
    errors: list[str] = field(default_factory=list)
    """Of connections and responses."""
    completed: bool = False
    gave_up: bool = False

    async def run(self, url: str, headers: Mapping[str, str]) -> None:
        async with httpx.AsyncClient(
            headers=headers, timeout=TIMEOUT_SECONDS, verify=TLS
        ) as client:
            retries = 0
            while not self.completed and not self.gave_up:
                known = len(self.statuses)
                try:
                    await self._subscribe(client, url)
                except httpx.HTTPError as error:
                    self.errors.append(repr(error))
                retries = 0 if len(self.statuses) > known else retries + 1
                self.gave_up = retries > RETRIES
                delay = FIRST_DELAY_SECONDS * 2**retries
                await asyncio.sleep(delay + random.uniform(0, JITTER_SECONDS))  # noqa: S311

    async def _subscribe(self, client: httpx.AsyncClient, url: str) -> None:
        """Read a response to its end, which need not be that of the subscription."""
        content = {"query": JOB, "variables": {"arn": self.arn}}
        async with client.stream("POST", url, json=content) as response:
            response.raise_for_status()
            self.streams += 1
            async for event, data in _events(response.aiter_lines()):
                if event == "complete":
                    self.completed = True
                else:
                    job = json.loads(data)["data"]["audienceGenerationJob"]
                    self.statuses.append(job["status"])


async def _events(lines: AsyncIterator[str]) -> AsyncIterator[tuple[str, str]]:
    """Yield the name and data of each event; comments are none."""
    fields: dict[str, str] = {}
    async for line in lines:
        name, _, value = line.partition(":")
        if name:
            fields[name] = value.strip()
        elif "event" in fields:
            yield fields["event"], fields["data"]
            fields = {}


class Subscribers:
    """Many clients of one caller, in a thread of their own."""

    def __init__(self, url: str, arns: Iterable[str]) -> None:
        self.clients = [Subscriber(arn) for arn in arns]
        self._url = f"{url}/graphql"
        self._headers = {"Accept": SSE, **caller_headers()}

    @contextmanager
    def running(self) -> Iterator["Subscribers"]:
        with start_blocking_portal() as portal:
            clients = portal.start_task_soon(self._run)
            try:
                yield self
            finally:
                clients.cancel()

    def wait_for(self, status: str) -> None:
        """Wait until the last event of each client has this status."""
        until(lambda: all(each.statuses[-1:] == [status] for each in self.clients), TIMEOUT_SECONDS)

    def wait_for_ends(self) -> None:
        """Wait until each subscription has completed, or its client has given up."""
        until(lambda: all(each.completed or each.gave_up for each in self.clients), TIMEOUT_SECONDS)

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for each in self.clients:
                group.create_task(each.run(self._url, self._headers))
