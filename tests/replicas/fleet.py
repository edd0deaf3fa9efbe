"""Four replicas behind a balancer: each at a place of its own, which a new one takes over."""

import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.gateways import Gateway, Sandbox
from tests.hostile.process import Program, gateway_process
from tests.redis_servers import until
from tests.replicas.balancer import NAMES, Balancer, balancer

END_SECONDS = 60.0
WATCHDOG_SECONDS = 1800.0


@dataclass
class Replica:
    """A place, and the process that serves there now."""

    place: socket.socket
    settings: dict[str, Any]
    sandbox: Sandbox
    _running: ExitStack = field(default_factory=ExitStack)

    def start(self, **settings: Any) -> None:
        """Serve, from when this returns; `settings` are the process's own."""
        given = {"watchdog_seconds": WATCHDOG_SECONDS, **self.settings, **settings}
        self.program: Program = self._running.enter_context(
            gateway_process(self.sandbox.url, port=self.port, **given)
        )
        # In the end nobody asks any more, so it need not drain.
        self._running.callback(self.program.signal, signal.SIGKILL)

    @property
    def port(self) -> int:
        """Where it serves."""
        port: int = self.place.getsockname()[1]
        return port

    @property
    def gateway(self) -> Gateway:
        """The replica as something to ask past the balancer."""
        return Gateway(self.program.url, self.sandbox)

    def answered(self) -> int:
        """Count the questions that it has answered."""
        return sum('"path":"/graphql"' in line for line in list(self.program.said))

    def end(self, number: signal.Signals) -> int:
        """Send it a signal and wait for its end; return its exit code."""
        self.program.signal(number)
        return self.program.wait(END_SECONDS)

    def close(self) -> None:
        """End it for good."""
        self._running.close()


@dataclass(frozen=True)
class Fleet:
    """Replicas by their letters, and the balancer before them."""

    replicas: dict[str, Replica]
    balancer: Balancer
    sandbox: Sandbox

    @property
    def gateway(self) -> Gateway:
        """What callers ask."""
        return Gateway(self.balancer.url, self.sandbox)

    def settle(self) -> None:
        """Wait until the balancer sends requests to all."""
        until(lambda: self.balancer.up() == set(self.replicas))


@contextmanager
def fleet(sandbox: Sandbox, *, names: str = NAMES, **settings: Any) -> Iterator[Fleet]:
    """Run one over a sandbox; `settings` are GATEWAY_* without the prefix.

    Where there are fewer `names`, nobody is at the other places.
    """
    with ExitStack() as stack:
        places = {name: stack.enter_context(_place()) for name in NAMES}
        replicas = {name: Replica(places[name], settings, sandbox) for name in names}
        with ThreadPoolExecutor() as threads:
            for replica in replicas.values():
                stack.callback(replica.close)
            list(threads.map(Replica.start, replicas.values()))
        front = stack.enter_context(balancer([place.getsockname()[1] for place in places.values()]))
        whole = Fleet(replicas, front, sandbox)
        whole.settle()
        yield whole


def _place() -> socket.socket:
    """Keep a free port, on which nobody listens as yet, from all but who asks for it by number."""
    place = socket.socket()
    place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    place.bind(("127.0.0.1", 0))
    return place
