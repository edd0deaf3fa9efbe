"""Looks up the addresses of a host in a thread that nothing else waits for.

The event loop looks up names in a few threads. Commands to Redis give up after 100 ms, but a lookup
that they started goes on for as long as the resolver waits for its server: some of them would hold
up the lookups of all other hosts, those of AWS among them.
"""

import asyncio
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial


class HostLookup:
    """Looks up one host, once at a time; concurrent calls share the result."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._result: asyncio.Future[Sequence[str]] | None = None

    async def addresses(self) -> Sequence[str]:
        """Return the addresses, the best one first; raises OSError if there are none."""
        if self._result is None or self._result.done():
            self._result = asyncio.get_running_loop().create_future()
            # The result may arrive after its waiters have given up.
            self._result.add_done_callback(lambda result: result.cancelled() or result.exception())
            # Not joined at exit, unlike the threads of an executor.
            run = threading.Thread(target=_look_up, args=(self._host, self._result), daemon=True)
            run.start()
        return await asyncio.shield(self._result)


def _look_up(host: str, result: "asyncio.Future[Sequence[str]]") -> None:
    report: Callable[[], None]
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        report = partial(result.set_exception, error)
    else:
        report = partial(result.set_result, [*dict.fromkeys(str(each[4][0]) for each in found)])
    with suppress(RuntimeError):  # the loop is closed
        result.get_loop().call_soon_threadsafe(report)
