"""An upstream of jobs that run until they are settled, in a process of its own.

    python -m benchmarks.jobs_upstream

Prints its URL. It returns any job, whose description has its version. `GET /_<name>`, or
`/_<name>/<number>/...`, calls the method of Jobs with this name: so a benchmark moves jobs to other
versions, and learns when callers were first told of one.
"""

import asyncio
import re
import time

import uvloop

from benchmarks.upstream import response, row, serve

NUMBER = re.compile(rb"audience-generation-job(?:%2F|/)(\d{8})-")
ACCESS_KEY = re.compile(rb"Credential=(\w+)/")
COMMAND = re.compile(rb"GET /_(\w+)([/\d]*) ")

Call = tuple[asyncio.Transport, bytes]
"""Where to answer, and the head of the request."""


class Jobs:
    """The versions of all jobs, and when each caller was told of them."""

    def __init__(self) -> None:
        self._calls = 0
        self._version = 0
        self._versions: dict[int, int] = {}
        """Number of a job -> its version, if that is not 0."""
        self._told: dict[tuple[str, int], tuple[int, float]] = {}
        """(access key, number of a job) -> last version, and when it was first returned."""
        self._status = "CREATE_IN_PROGRESS"
        self._held: list[Call] = []
        self._to_hold = 1

    def handle(self, transport: asyncio.Transport, head: bytes) -> None:
        if command := COMMAND.match(head):
            numbers = map(int, command[2].split(b"/")[1:])
            transport.write(response(getattr(self, command[1].decode())(*numbers)))
            return
        self._calls += 1
        self._held.append((transport, head))
        if len(self._held) >= self._to_hold:
            held, self._held, self._to_hold = self._held, [], 1
            for call in held:
                self._answer(*call)

    def calls(self) -> int:
        """Return the number of calls so far."""
        return self._calls

    def move(self, first: int, end: int) -> int:
        """Move the jobs from the first number to the end; return their version."""
        self._version += 1
        self._versions.update(dict.fromkeys(range(first, end), self._version))
        return self._version

    def settle(self) -> None:
        """Let all jobs be complete."""
        self._status = "ACTIVE"

    def hold(self, calls: int) -> None:
        """Answer the next calls at once, when the last of them has come."""
        self._to_hold = calls

    def told(self, version: int) -> list[tuple[str, int, float]]:
        """Return access key, number of the job and monotonic time of each first return."""
        return [(*of, at) for of, (last, at) in self._told.items() if last == version]

    def _answer(self, transport: asyncio.Transport, head: bytes) -> None:
        found, access_key = NUMBER.search(head), ACCESS_KEY.search(head)
        assert found is not None, head
        assert access_key is not None, head
        number = int(found[1])
        version = self._versions.get(number, 0)
        changing = {"status": self._status, "description": f"version {version}"}
        transport.write(response(row(number) | changing))
        of = access_key[1].decode(), number
        if self._told.get(of, (None,))[0] != version:
            self._told[of] = version, time.monotonic()


if __name__ == "__main__":
    uvloop.run(serve(Jobs().handle))
