"""Upstream clients for tests: the real one as the sandbox's callers use it, and fakes."""

import asyncio
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from gateway.auth.credentials import Caller
from gateway.graph.projections import projections
from gateway.sandbox import CALLERS
from gateway.upstream.client import CleanRoomsClient, UpstreamClient
from gateway.upstream.values import Listing, PageRequest

REGION = "us-east-1"
LIST = "ListAudienceGenerationJobs"
GET = "GetAudienceGenerationJob"
FIRST_PAGE = PageRequest(Listing(LIST, REGION), None)
TIME = "2026-01-02T03:04:05Z"
PROJECTIONS = projections()


def caller(name: str) -> Caller:
    """Return one of the sandbox's callers."""
    known = CALLERS[name]
    return Caller.from_keys(known.access_key_id, known.secret_access_key, known.session_token)


def open_client(url: str | None) -> AbstractAsyncContextManager[CleanRoomsClient]:
    return CleanRoomsClient.open({REGION: url})


async def list_jobs(client: UpstreamClient, caller: Caller, **parameters: Any) -> dict[str, Any]:
    return await client.call(caller, REGION, LIST, parameters)


def row(name: str = "spring") -> dict[str, Any]:
    """Return a generation job as a list contains it."""
    return {
        "audienceGenerationJobArn": f"arn:{name}",
        "configuredAudienceModelArn": "arn:model",
        "createTime": TIME,
        "updateTime": TIME,
        "name": name,
        "status": "ACTIVE",
    }


class FakeClient:
    """Records calls, raises the given failures first, and then returns a page of one job.

    The response is valid for a Get operation as well.
    """

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.calls: list[tuple[Caller, str, str, dict[str, Any]]] = []

    async def call(
        self, caller: Caller, region: str, operation: str, parameters: Mapping[str, Any]
    ) -> dict[str, Any]:
        self.calls.append((caller, region, operation, dict(parameters)))
        if self.failures:
            raise self.failures.pop(0)
        return {"audienceGenerationJobs": [row()], **row()}


class BarrierClient(FakeClient):
    """Completes no call before `parties` are under way at once."""

    def __init__(self, parties: int) -> None:
        super().__init__()
        self.concurrent = 0
        self.most_concurrent = 0
        self.started = asyncio.Event()
        self._parties = parties
        self._released = asyncio.Event()

    async def call(
        self, caller: Caller, region: str, operation: str, parameters: Mapping[str, Any]
    ) -> dict[str, Any]:
        self.concurrent += 1
        self.most_concurrent = max(self.most_concurrent, self.concurrent)
        self.started.set()
        if self.concurrent == self._parties:
            self._released.set()
        await self._released.wait()
        response = await super().call(caller, region, operation, parameters)
        self.concurrent -= 1
        return response
