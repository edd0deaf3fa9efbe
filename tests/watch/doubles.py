"""An upstream whose jobs tests set, and a time that passes only when tests let it."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from gateway.auth.credentials import Caller
from gateway.errors import BadUserInputError, NotFoundError
from gateway.upstream.cache.cached_client import CachedClient
from gateway.upstream.cache.memory import MemoryCache
from gateway.upstream.values import Item, ItemRequest, Listing
from gateway.watch.poll import Identify, Source, Timing
from gateway.watch.watcher import Watch, Watcher
from tests.clock import Clock
from tests.upstream.clients import GET, LIST, PROJECTIONS, REGION, caller, row

ADA = caller("ada")
LISTING = Listing(LIST, REGION)
SECONDS = 5.0


ARN = f"arn:aws:cleanrooms-ml:{REGION}:111122223333"
MODEL_ARN = f"{ARN}:configured-audience-model/model"


def arn(name: str) -> str:
    return f"{ARN}:audience-generation-job/{name}"


def job(name: str, status: str = "CREATE_IN_PROGRESS") -> dict[str, Any]:
    return row(name) | {
        "audienceGenerationJobArn": arn(name),
        "configuredAudienceModelArn": MODEL_ARN,
        "status": status,
    }


def get_request(name: str) -> ItemRequest:
    return ItemRequest(GET, REGION, (("audienceGenerationJobArn", arn(name)),))


def key_of(item: Item) -> str:
    key: str = item["audienceGenerationJobArn"]
    return key


def is_settled(item: Item) -> bool:
    return bool(item["status"] == "ACTIVE")


class Upstream:
    """An UpstreamClient. A page's token is the number of the next page."""

    def __init__(self, *pages: list[dict[str, Any]]) -> None:
        self.pages = list(pages)
        self.jobs: dict[str, dict[str, Any]] = {}
        """By name, for Get calls."""
        self.responses: dict[str, dict[str, Any]] = {}
        """Of other operations."""
        self.failures: list[Exception] = []
        """Raised by the next calls, in this order."""
        self.failure: Exception | None = None
        """Raised by each call."""
        self.before_call: Callable[[], None] = lambda: None
        self.calls: list[tuple[Caller, str, dict[str, Any]]] = []
        self.open = asyncio.Event()
        self.open.set()
        """Calls return while it is set."""
        self.started = asyncio.Event()
        self.cancelled = 0

    async def call(
        self, caller: Caller, _: str, operation: str, parameters: Mapping[str, Any]
    ) -> dict[str, Any]:
        self.before_call()
        self.calls.append((caller, operation, dict(parameters)))
        self.started.set()
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.failures:
            raise self.failures.pop(0)
        if self.failure is not None:
            raise self.failure
        if operation == GET:
            return self._job(parameters["audienceGenerationJobArn"])
        if operation != LIST:
            return dict(self.responses[operation])
        return self._page(parameters.get("nextToken"))

    def _job(self, arn: str) -> dict[str, Any]:
        found = self.jobs.get(arn.rpartition("/")[2])
        if found is None:
            raise NotFoundError("AWS has no such object.")
        return dict(found)

    def _page(self, token: str | None) -> dict[str, Any]:
        number = int(token or 0)
        if number >= len(self.pages) > 0:
            raise BadUserInputError("AWS rejected a parameter of the request.")
        rows = self.pages[number] if self.pages else []
        more = {"nextToken": str(number + 1)} if number + 1 < len(self.pages) else {}
        return {"audienceGenerationJobs": list(map(dict, rows)), **more}


class Time(Clock):
    """A clock, and sleeps that end only when a test lets them pass."""

    def __init__(self) -> None:
        super().__init__()
        self._sleeps: asyncio.Queue[tuple[float, asyncio.Future[None]]] = asyncio.Queue()

    async def sleep(self, seconds: float) -> None:
        end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleeps.put_nowait((seconds, end))
        await end

    async def pass_sleep(self) -> float:
        """Wait until something sleeps, let the time pass, and return the seconds."""
        while True:
            seconds, end = await asyncio.wait_for(self._sleeps.get(), 60)
            if not end.done():  # otherwise cancelled
                self.now += seconds
                end.set_result(None)
                return seconds


class Watching:
    """A Watcher over an upstream, and its time."""

    def __init__(
        self,
        upstream: Upstream,
        *,
        cache_seconds: float = 60,
        max_pages: int = 100,
        jitter: float = 0.0,
    ) -> None:
        self.upstream = upstream
        self.time = Time()
        self.client = CachedClient(
            upstream, MemoryCache(64_000_000), cache_seconds, PROJECTIONS, clock=self.time
        )
        timing = Timing(
            seconds=SECONDS,
            clock=self.time,
            wall_clock=self.time,
            sleep=self.time.sleep,
            jitter=lambda: jitter,
        )
        self.watcher = Watcher(self.client, timing, max_pages=max_pages)

    def job_source(self, name: str) -> Source[Any]:
        return self.watcher.object_source(get_request(name), is_settled)

    def list_source(self) -> Source[Any]:
        return self.watcher.list_source(LISTING, key_of)

    async def watch_job(self, name: str = "spring", **options: Any) -> Watch[Any]:
        return await self.watch(self.job_source(name), **options)

    async def watch_list(self, **options: Any) -> Watch[Any]:
        return await self.watch(self.list_source(), **options)

    async def watch(
        self,
        source: Source[Any],
        *,
        caller: Caller = ADA,
        identify: Identify | None = None,
        deadline: float = 30.0,
    ) -> Watch[Any]:
        """Subscribe as a caller; the deadline is in seconds from now."""

        async def identify_caller() -> Caller:
            return caller

        return await self.watcher.watch(
            source,
            caller,
            identify or identify_caller,
            deadline=asyncio.get_running_loop().time() + deadline,
        )
