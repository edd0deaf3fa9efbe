"""Random load on a gateway for a long time, random faults below it, and what its process holds."""

import asyncio
import json
import re
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from statistics import median
from typing import Any

import httpx

from gateway.graph.types.statuses import AudienceGenerationJobStatus
from gateway.sandbox import CALLERS
from gateway.sandbox.faults.registry import FAULTS
from tests.hostile.values import texts_in
from tests.hostile.workload import LoadCaller, random_body, random_subscription
from tests.processes import ProcessStatistics

PAUSE_SECONDS = 0.4
TIMEOUT_SECONDS = 60.0
MAX_REQUESTS = 100_000
KEPT_CURSORS = 5
KEPT_IDS = 500
DISCONNECT_CHANCE = 0.1
DISCONNECT_SECONDS = 0.02

SUBSCRIPTIONS_PER_CALLER = 2
"""At a time."""
SUBSCRIPTION_SECONDS = 3.0
KEPT_JOBS = 20
JOB_PAUSE_SECONDS = 0.2
JOB_OWNERS = ("ada", "grace", "edith")
STATUSES = [each.value for each in AudienceGenerationJobStatus if each.name != "UNKNOWN"]

HEALTHY_SECONDS = 0.5
FAULTY_SECONDS = 2.5
MAX_FAULTS = 3
FAULT_PARAMETERS: dict[str, dict[str, Any]] = {
    "slow": {"seconds": 0.3},
    "flaky": {"seconds": 0.2},
    "drip": {"bytes": 1000, "seconds": 0.01},
    # The load is what is tested here; tests/hostile/test_upstream.py has the large responses.
    "huge": {"megabytes": 4, "times": 1},
    "gzip": {"megabytes": 4, "times": 1},
    "deep": {"depth": 5000},
    "empty-pages": {"count": 2},
    "short-pages": {"size": 40},
    "redirect": {"status": 307},
}

SAMPLE_SECONDS = 0.5
GROWTH_RATIO = 1.2
GROWTH_ALLOWANCE = {"resident_bytes": 24 * 2**20, "open_files": 100, "threads": 4}
"""Growth within the noise of so short a time."""

_ACCOUNT = re.compile(r"arn:aws[\w-]*:[\w-]+:[\w-]*:(\d{12}):")


@dataclass
class Soak:
    """Concurrent callers, some of which disconnect early, and a record of their responses."""

    url: str
    callers: list[LoadCaller]
    random: Random
    statuses: Counter[int] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    responses_with_rows: Counter[str] = field(default_factory=Counter)
    disconnects: int = 0
    leaks: list[str] = field(default_factory=list)
    """Responses with rows of an account that is not the caller's."""
    ids: list[str] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)
    """ARNs of jobs that move."""
    events: Counter[str] = field(default_factory=Counter)
    """Name of a caller -> events with rows."""

    async def run(self, seconds: float) -> None:
        """Each caller makes at least one request."""
        end = asyncio.get_running_loop().time() + seconds
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=len(self.callers))
        async with httpx.AsyncClient(
            trust_env=False, timeout=TIMEOUT_SECONDS, limits=limits
        ) as client:
            await asyncio.gather(
                *(self._run(client, caller, end) for caller in self.callers),
                *(
                    self._subscribe(client, caller, end)
                    for caller in self.callers * SUBSCRIPTIONS_PER_CALLER
                ),
            )

    async def _run(self, client: httpx.AsyncClient, caller: LoadCaller, end: float) -> None:
        for _ in range(MAX_REQUESTS):
            await asyncio.sleep(self.random.uniform(0, PAUSE_SECONDS))
            disconnects = self.random.random() < DISCONNECT_CHANCE
            timeout = self.random.uniform(0, DISCONNECT_SECONDS) if disconnects else TIMEOUT_SECONDS
            body = random_body(self.random, caller, self.ids)
            cache_control = self.random.choice(["no-cache", "max-age=0", "max-age=0"])
            headers = {**caller.headers, "Cache-Control": cache_control}
            try:
                async with asyncio.timeout(timeout):
                    response = await client.post(f"{self.url}/graphql", json=body, headers=headers)
            except TimeoutError:
                assert disconnects, body
                self.disconnects += 1
            else:
                self._record(caller, response)
            if asyncio.get_running_loop().time() >= end:
                return

    async def _subscribe(self, client: httpx.AsyncClient, caller: LoadCaller, end: float) -> None:
        """Subscribe again and again, and leave at a random moment unless the stream ends first."""
        while asyncio.get_running_loop().time() < end:
            await asyncio.sleep(self.random.uniform(0, PAUSE_SECONDS))
            body, headers = random_subscription(self.random, self.jobs)
            request = client.stream(
                "POST", f"{self.url}/graphql", json=body, headers={**caller.headers, **headers}
            )
            try:
                async with asyncio.timeout(self.random.uniform(0, SUBSCRIPTION_SECONDS)):
                    async with request as response:
                        await self._follow(caller, response)
            except TimeoutError:
                self.disconnects += 1

    async def _follow(self, caller: LoadCaller, response: httpx.Response) -> None:
        """Record a stream to its end, or the response that there is in place of it."""
        if "json" in response.headers["content-type"]:
            await response.aread()
            self._record(caller, response)
            return
        self.statuses[response.status_code] += 1
        async for line in response.aiter_lines():
            if (at := line.find("{")) >= 0:
                content = json.loads(line[at:])
                self._record_content(content.get("payload", content))
                if self._has_rows(caller, line):
                    self.events[caller.name] += 1

    def _record(self, caller: LoadCaller, response: httpx.Response) -> None:
        self.statuses[response.status_code] += 1
        content = response.json()
        self._record_content(content)
        if self._has_rows(caller, response.text):
            self.responses_with_rows[caller.name] += 1
        for name, text in texts_in(content.get("data")):
            if name == "cursor" and len(caller.cursors) < KEPT_CURSORS:
                caller.cursors.append(text)
            elif name == "id" and len(self.ids) < KEPT_IDS:
                self.ids.append(text)

    def _record_content(self, content: Any) -> None:
        self.codes.update(error["extensions"]["code"] for error in content.get("errors", []))

    def _has_rows(self, caller: LoadCaller, text: str) -> bool:
        """Return whether a text has rows, and record it as a leak if they are not the caller's."""
        accounts = set(_ACCOUNT.findall(text))
        if accounts - ({caller.account_id} if caller.may_read else set()):
            self.leaks.append(f"{caller.name}: {text[:500]}")
        return bool(accounts)


async def move_jobs(sandbox_url: str, random: Random, jobs: list[str]) -> None:
    """Start jobs of all accounts, and give them any status, until cancelled; fill the list."""
    url = f"{sandbox_url}/_sandbox/jobs"
    async with httpx.AsyncClient(trust_env=False, timeout=TIMEOUT_SECONDS) as client:
        while True:
            owner = CALLERS[random.choice(JOB_OWNERS)].access_key_id
            started = await client.post(url, json={"access_key_id": owner})
            jobs.append(started.raise_for_status().json()["audienceGenerationJobArn"])
            del jobs[:-KEPT_JOBS]
            for arn in random.sample(jobs, min(len(jobs), 5)):
                move = {"audienceGenerationJobArn": arn, "status": random.choice(STATUSES)}
                (await client.post(f"{url}/status", json=move)).raise_for_status()
            await asyncio.sleep(random.uniform(0, JOB_PAUSE_SECONDS))


async def inject_faults(sandbox_url: str, random: Random) -> None:
    """Enable faults, for all callers or for one, and clear them, until cancelled."""
    url = f"{sandbox_url}/_sandbox/faults"
    async with httpx.AsyncClient(trust_env=False, timeout=TIMEOUT_SECONDS) as client:
        while True:
            for _ in range(random.randint(1, MAX_FAULTS)):
                (await client.post(url, json=_random_fault(random))).raise_for_status()
            await asyncio.sleep(random.uniform(0, FAULTY_SECONDS))
            await client.delete(url)
            await asyncio.sleep(random.uniform(0, HEALTHY_SECONDS))


def _random_fault(random: Random) -> dict[str, Any]:
    fault = random.choice(list(FAULTS))
    keys = [None, None, *(CALLERS[name].access_key_id for name in ("ada", "grace"))]
    parameters = {"times": random.choice([None, 1, 5]), **FAULT_PARAMETERS.get(fault, {})}
    return {"fault": fault, "access_key_id": random.choice(keys), **parameters}


class ResourceMonitor:
    """Samples the memory, open files and threads of a process."""

    def __init__(self, process: ProcessStatistics) -> None:
        self._process = process
        self._samples: dict[str, list[int]] = {name: [] for name in GROWTH_ALLOWANCE}

    async def run(self) -> None:
        """Sample until cancelled."""
        while True:
            for name, samples in self._samples.items():
                samples.append(getattr(self._process, name)())
            await asyncio.sleep(SAMPLE_SECONDS)

    def growth(self) -> dict[str, tuple[float, float]]:
        """Compare the medians of the second and the last third; return those that have grown."""
        found = {}
        for name, samples in self._samples.items():
            third = len(samples) // 3
            middle, end = median(samples[third : 2 * third]), median(samples[2 * third :])
            if end > middle * GROWTH_RATIO + GROWTH_ALLOWANCE[name]:
                found[name] = (middle, end)
        return found
