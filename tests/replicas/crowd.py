"""Callers who ask without end, and note each answer that is not what it must be."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from gateway.dev import aws_headers
from gateway.sandbox import CALLERS
from tests.gateways import GRAPHQL, TIMEOUT_SECONDS
from tests.redis_servers import until

SIZE = 8
QUERY = "{ audienceGenerationJobs(first: 2) { nodes { name status } pageInfo { endCursor } } }"


class Crowd:
    """So many callers, each on a kept connection, each asking again when it is answered."""

    def __init__(self, url: str, query: str = QUERY) -> None:
        self.good = 0
        self.failed: list[str] = []
        self._url = f"{url}/graphql"
        self._query = query
        self._over = threading.Event()
        self._count = threading.Lock()

    def goes_on(self, answers: int = 40) -> None:
        """Wait until so many more answers have come."""
        enough = self.good + answers
        until(lambda: self.good >= enough or self.failed, TIMEOUT_SECONDS)

    def _ask_on(self) -> None:
        headers = {"Accept": GRAPHQL, "Cache-Control": "no-cache", **aws_headers(CALLERS["ada"])}
        with httpx.Client(trust_env=False, timeout=TIMEOUT_SECONDS, headers=headers) as client:
            while not self._over.is_set():
                self._note(self._ask(client))

    def _ask(self, client: httpx.Client) -> str | None:
        try:
            answer = client.post(self._url, json={"query": self._query})
        except httpx.TransportError as error:
            return repr(error)
        good = answer.status_code == httpx.codes.OK and "errors" not in answer.json()
        return None if good else f"{answer.status_code}: {answer.text}"

    def _note(self, failure: str | None) -> None:
        with self._count:
            self.good += failure is None
        if failure is not None:
            self.failed.append(failure)

    @contextmanager
    def asking(self) -> Iterator["Crowd"]:
        """Let them ask in the block."""
        threads = [threading.Thread(target=self._ask_on) for _ in range(SIZE)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._over.set()
            for thread in threads:
                thread.join()
