"""An Aws made by hand, for what no sandbox can be asked to do."""

import asyncio
from collections.abc import Mapping
from typing import Any

from gateway.auth.credentials import Caller
from gateway.upstream.client import CleanRoomsClient

TIME = "2026-01-02T03:04:05Z"


def row(name: str = "spring") -> dict[str, Any]:
    """Give a generation job as a list tells it."""
    return {
        "audienceGenerationJobArn": f"arn:{name}",
        "configuredAudienceModelArn": "arn:model",
        "createTime": TIME,
        "updateTime": TIME,
        "name": name,
        "status": "ACTIVE",
    }


class FakeAws(CleanRoomsClient):
    """Answers every call with a page of one job, which is an object by itself as well.

    Remembers the calls, and fails first with the failures it was given.
    """

    def __init__(self, *failures: Exception) -> None:
        super().__init__({})
        self.failures = list(failures)
        self.asked: list[tuple[Caller, str, str, dict[str, Any]]] = []

    async def call(
        self, caller: Caller, region: str, operation: str, parameters: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Make no call."""
        self.asked.append((caller, region, operation, dict(parameters)))
        if self.failures:
            raise self.failures.pop(0)
        return {"audienceGenerationJobs": [row()], **row()}


class CrowdedAws(FakeAws):
    """Lets nobody go before `crowd` are there, and remembers the most that ever were."""

    def __init__(self, crowd: int) -> None:
        super().__init__()
        self.crowd = crowd
        self.present = 0
        self.most = 0
        self.arrived = asyncio.Event()
        self._crowded = asyncio.Event()

    async def call(
        self, caller: Caller, region: str, operation: str, parameters: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Wait for the crowd."""
        self.present += 1
        self.most = max(self.most, self.present)
        self.arrived.set()
        if self.present == self.crowd:
            self._crowded.set()
        await self._crowded.wait()
        answer = await super().call(caller, region, operation, parameters)
        self.present -= 1
        return answer
