"""Replicas behind the load balancer; each has an address that a new process takes over."""

import signal
import socket
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.gateways import Gateway, Sandbox
from tests.processes import Process, gateway_process, until
from tests.replicas.haproxy import SERVER_NAMES, LoadBalancer, load_balancer


@dataclass
class Replica:
    """An address and the process that serves there."""

    address: socket.socket
    settings: Mapping[str, Any]
    sandbox: Sandbox
    _stack: ExitStack = field(default_factory=ExitStack)

    def start(self) -> None:
        """Start a process and wait until it serves."""
        self.process: Process = self._stack.enter_context(
            gateway_process(
                self.sandbox.url,
                port=self.port,
                **self.settings,
            )
        )
        # Spares the draining: nothing sends requests when the stack closes.
        self._stack.callback(self.process.send_signal, signal.SIGKILL)

    @property
    def port(self) -> int:
        port: int = self.address.getsockname()[1]
        return port

    @property
    def gateway(self) -> Gateway:
        """The replica past the load balancer."""
        return Gateway(self.process.url, self.sandbox)

    def request_count(self) -> int:
        """Count the GraphQL requests of the current process."""
        return sum('"path":"/graphql"' in line for line in list(self.process.output))

    def end(self, number: signal.Signals) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait()

    def close(self) -> None:
        self._stack.close()


@dataclass(frozen=True)
class Fleet:
    """Replicas by their letters, and the load balancer before them."""

    replicas: dict[str, Replica]
    balancer: LoadBalancer
    sandbox: Sandbox

    @property
    def gateway(self) -> Gateway:
        return Gateway(self.balancer.url, self.sandbox)

    def wait_until_available(self) -> None:
        """Wait until the load balancer sends requests to all replicas."""
        until(lambda: self.balancer.available() == set(self.replicas))


@contextmanager
def running_fleet(sandbox: Sandbox, settings: Mapping[str, Mapping[str, Any]]) -> Iterator[Fleet]:
    """Run a replica for each letter, with its settings, as `gateway_process` takes them."""
    with ExitStack() as stack:
        addresses = {name: stack.enter_context(_reserved_address()) for name in SERVER_NAMES}
        replicas = {name: Replica(addresses[name], own, sandbox) for name, own in settings.items()}
        with ThreadPoolExecutor() as threads:
            for replica in replicas.values():
                stack.callback(replica.close)
            list(threads.map(Replica.start, replicas.values()))
        ports = [address.getsockname()[1] for address in addresses.values()]
        fleet = Fleet(replicas, stack.enter_context(load_balancer(ports)), sandbox)
        fleet.wait_until_available()
        yield fleet


def _reserved_address() -> socket.socket:
    """Bind a free port without listening, so that only a process that names it gets it."""
    address = socket.socket()
    address.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    address.bind(("127.0.0.1", 0))
    return address
