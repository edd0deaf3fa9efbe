"""Faults of the sandbox that come and go all the time."""

import asyncio
from random import Random
from typing import Any

import httpx

from gateway.sandbox import CALLERS
from gateway.sandbox.faults.registry import FAULTS

CALM_SECONDS = 0.5
STORM_SECONDS = 2.5
MOST_AT_ONCE = 3
PATIENCE_SECONDS = 30.0

SETTINGS: dict[str, dict[str, Any]] = {
    "slow": {"seconds": 0.3},
    "flaky": {"seconds": 0.2},
    "drip": {"bytes": 1000, "seconds": 0.01},
    # The crowd is what is measured here; how much is read of one answer is so elsewhere.
    "huge": {"megabytes": 4, "times": 1},
    "gzip": {"megabytes": 4, "times": 1},
    "deep": {"depth": 5000},
    "empty-pages": {"count": 2},
    "short-pages": {"size": 40},
    "redirect": {"status": 307},
}


class Weather:
    """Switches faults on, for all or for one caller, and heals them, until it is cancelled."""

    def __init__(self, sandbox_url: str, chance: Random) -> None:
        self._faults = f"{sandbox_url}/_sandbox/faults"
        self._chance = chance

    async def rage(self) -> None:
        """Let faults come and go."""
        async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE_SECONDS) as client:
            while True:
                for _ in range(self._chance.randint(1, MOST_AT_ONCE)):
                    (await client.post(self._faults, json=self._order())).raise_for_status()
                await asyncio.sleep(self._chance.uniform(0, STORM_SECONDS))
                await client.delete(self._faults)
                await asyncio.sleep(self._chance.uniform(0, CALM_SECONDS))

    def _order(self) -> dict[str, Any]:
        fault = self._chance.choice(list(FAULTS))
        victims = [None, None, *(CALLERS[name].access_key_id for name in ("ada", "grace"))]
        settings = {"times": self._chance.choice([None, 1, 5]), **SETTINGS.get(fault, {})}
        return {"fault": fault, "access_key_id": self._chance.choice(victims), **settings}
