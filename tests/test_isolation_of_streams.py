"""No caller ever gets another caller's event, whatever subscriptions share."""

import asyncio
import json
import random
from collections import Counter
from typing import Any

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from gateway.app import create_app
from gateway.settings import Settings
from gateway.watch import sources
from tests.redis_servers import RedisServer
from tests.serving import serve
from tests.test_isolation import TIMEOUT_SECONDS, http_request
from tests.upstream.clients import row

ARN = f"arn:aws:cleanrooms-ml:us-east-1:111122223333:audience-generation-job/{'a' * 8}"

SUBSCRIPTIONS = {
    "audienceGenerationJob": f'(audienceGenerationJobArn: "{ARN}") {{ name status tags {{ value }} '
    "exportJobs(first: 1) { nodes { name } } }",
    "audienceGenerationJobChanges": "{ kind audienceGenerationJob { name tags { value } } }",
}
"""Root field -> its arguments and selection, the same for all callers."""


class ChangingUpstream:
    """An upstream whose one job has the name of the caller, and changes with each call."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self._random = random.Random(1)  # noqa: S311  delays

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        credential = headers[b"authorization"].decode().partition("Credential=")[2]
        name = f"{credential.partition('/')[0]} {headers[b'x-amz-security-token'].decode()}"
        self.calls[name] += 1
        await asyncio.sleep(self._random.uniform(0, 0.02))  # so that calls overlap
        body = json.dumps(self._body(scope["path"], name)).encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    def _body(self, path: str, name: str) -> dict[str, Any]:
        job = row(name) | {
            "audienceGenerationJobArn": ARN,
            "status": "CREATE_IN_PROGRESS",
            "description": f"call {self.calls[name]}",
        }
        if "export" in path:
            return {"audienceExportJobs": []}
        if "arn" in path:
            return job | {"tags": {"caller": name}}
        return {"audienceGenerationJobs": [job]}


class SubscribingCallers:
    """Callers who share parts of their credentials, each with both subscriptions again and again.

    Some leave after a moment, at any point of a stream; others when they have some events.
    """

    def __init__(self, url: str) -> None:
        self.events: Counter[str] = Counter()
        self.left_early = 0
        self._address = httpx.URL(url)
        self._random = random.Random(64)  # noqa: S311  moments

    async def run(self, rounds: int) -> None:
        parts = [(f"ASIA{a:016}", f"token-{b}") for a in range(4) for b in range(4)]
        await asyncio.gather(
            *(self._run(rounds, field, *each) for each in parts for field in SUBSCRIPTIONS)
        )

    async def _run(self, rounds: int, field: str, key_id: str, token: str) -> None:
        name = f"{key_id} {token}"
        query = f"subscription {{ {field} {SUBSCRIPTIONS[field]} }}"
        request = http_request(query, key_id, token)
        request = request.replace(b"\r\n\r\n", b"\r\nAccept: text/event-stream\r\n\r\n", 1)
        for _ in range(rounds):
            seconds = self._random.choice([0.02, 0.1, TIMEOUT_SECONDS, TIMEOUT_SECONDS])
            try:
                async with asyncio.timeout(seconds):
                    await self._read(request, name)
            except TimeoutError:
                self.left_early += 1

    async def _read(self, request: bytes, name: str) -> None:
        """Read three events; each names the caller and nobody else."""
        incoming, out = await asyncio.open_connection(self._address.host, self._address.port)
        try:
            out.write(request)
            events = 0
            while events < 3:
                line = await incoming.readline()
                assert line, "the stream has ended"
                if line.startswith(b"data: {"):
                    names, event = names_in(line)
                    assert names == {name}, event
                    events += 1
                    self.events[name] += 1
        finally:
            out.close()


def names_in(line: bytes) -> tuple[set[str], Any]:
    """Return the callers that an event names, and the event."""
    event = json.loads(line.removeprefix(b"data: "))
    assert "errors" not in event, event
    (value,) = event["data"].values()
    job = value.get("audienceGenerationJob", value)
    return {job["name"], *(tag["value"] for tag in job["tags"])}, event


@pytest.mark.parametrize("backend", ["memory", "redis"])
async def test_subscribers_see_only_their_own_rows(
    backend: str, empty_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Polls are shared, joined and stopped at any moment, always by one caller."""
    monkeypatch.setattr(sources, "SECONDS_PER_PAGE", 0)
    upstream = ChangingUpstream()
    cache_url = empty_redis.url if backend == "redis" else "memory://"
    with (
        serve(upstream) as upstream_url,
        serve(
            create_app(
                Settings(
                    upstream_url=upstream_url,
                    cache_url=cache_url,
                    watch_seconds=0.02,
                    caller_calls_per_second=0,
                )
            )
        ) as url,
    ):
        callers = SubscribingCallers(url)
        await callers.run(6)

    assert len(callers.events) == len(upstream.calls) == 16
    assert callers.left_early > 16
    assert min(callers.events.values()) > 3
