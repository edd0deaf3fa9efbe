"""A crowd that asks a gateway for a long time, and holds each answer against who has asked."""

import asyncio
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx

from tests.hostile.people import Asker
from tests.hostile.questions import question

PAUSE_SECONDS = 0.4
PATIENCE_SECONDS = 60.0
MOST_QUESTIONS = 100_000
KEPT_CURSORS = 5
KEPT_IDS = 500
LEAVING = 0.1
LEAVING_SECONDS = 0.02

_ACCOUNT = re.compile(r"arn:aws[\w-]*:[\w-]+:[\w-]*:(\d{12}):")


@dataclass
class Soak:
    """Lets everybody ask at once, again and again, some of them leaving before the answer."""

    url: str
    askers: list[Asker]
    chance: Random
    statuses: Counter[int] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    seen: Counter[str] = field(default_factory=Counter)
    left: int = 0
    mixed_up: list[str] = field(default_factory=list)
    """Answers that hold what is not the asker's."""
    ids: list[str] = field(default_factory=list)

    async def run(self, seconds: float) -> None:
        """Ask for so long; each at least once."""
        end = asyncio.get_running_loop().time() + seconds
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=len(self.askers))
        async with httpx.AsyncClient(
            trust_env=False, timeout=PATIENCE_SECONDS, limits=limits
        ) as client:
            await asyncio.gather(*(self._ask_on(client, asker, end) for asker in self.askers))

    async def _ask_on(self, client: httpx.AsyncClient, asker: Asker, end: float) -> None:
        for _ in range(MOST_QUESTIONS):
            await asyncio.sleep(self.chance.uniform(0, PAUSE_SECONDS))
            leaves = self.chance.random() < LEAVING
            patience = self.chance.uniform(0, LEAVING_SECONDS) if leaves else PATIENCE_SECONDS
            body = question(self.chance, asker, self.ids)
            headers = {**asker.headers, "Cache-Control": self._cache()}
            try:
                async with asyncio.timeout(patience):
                    answer = await client.post(f"{self.url}/graphql", json=body, headers=headers)
            except TimeoutError:
                assert leaves, body
                self.left += 1
            else:
                self._judge(asker, answer)
            if asyncio.get_running_loop().time() >= end:
                return

    def _cache(self) -> str:
        return self.chance.choice(["no-cache", "max-age=0", "max-age=0"])

    def _judge(self, asker: Asker, answer: httpx.Response) -> None:
        self.statuses[answer.status_code] += 1
        content = answer.json()
        for error in content.get("errors", []):
            self.codes[error["extensions"]["code"]] += 1
        accounts = set(_ACCOUNT.findall(answer.text))
        if accounts - ({asker.account_id} if asker.may_see else set()):
            self.mixed_up.append(f"{asker.name}: {answer.text[:500]}")
        if accounts:
            self.seen[asker.name] += 1
        self._learn(asker, content.get("data"))

    def _learn(self, asker: Asker, data: Any) -> None:
        for name, text in texts_in(data):
            if name == "cursor" and len(asker.cursors) < KEPT_CURSORS:
                asker.cursors.append(text)
            elif name == "id" and len(self.ids) < KEPT_IDS:
                self.ids.append(text)


def texts_in(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Give each text in a JSON value, with the name of the member that it is."""
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, dict):
        for key, member in value.items():
            yield from texts_in(member, key)
    elif isinstance(value, list):
        for member in value:
            yield from texts_in(member, name)
