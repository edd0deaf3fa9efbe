"""The load balancer with the configuration of this repository, deploy/haproxy.cfg."""

import csv
import os
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

import httpx

from tests.gateways import http
from tests.processes import until
from tests.programs import needs

CONFIG = Path(__file__).parents[2] / "deploy/haproxy.cfg"
SERVER_NAMES = "ABCD"
REQUESTS, SUBSCRIPTIONS = "gateways", "subscriptions"
"""The backends, which have the same servers."""
STOP_SECONDS = 5.0


@dataclass(frozen=True)
class LoadBalancer:
    url: str
    stats_url: str
    pid: int

    def servers(self, backend: str = REQUESTS) -> dict[str, Mapping[str, str]]:
        """Return the statistics of each server of a backend, by its letter."""
        return {
            row["svname"].upper(): row
            for row in self._statistics()
            if row["pxname"] == backend and row["svname"] != "BACKEND"
        }

    def accepted_connections(self) -> int:
        """Count the connections of clients so far."""
        (frontend,) = (row for row in self._statistics() if row["pxname"] == "callers")
        return int(frontend["conn_tot"])

    def _statistics(self) -> list[dict[str, str]]:
        answer = http("GET", f"{self.stats_url}/stats;csv", trust_env=False)
        return list(csv.DictReader(answer.text.removeprefix("# ").splitlines()))

    def available(self) -> set[str]:
        """Name the servers that get requests."""
        return {name for name, row in self.servers().items() if row["status"].startswith("UP")}


@contextmanager
def load_balancer(ports: Sequence[int], certificate: Path | None = None) -> Iterator[LoadBalancer]:
    """Run HAProxy before servers on these local ports, with TLS and HTTP/2 by a certificate."""
    with _listener() as front, _listener() as stats, TemporaryFile("w+") as log:
        addresses = {
            f"GATEWAY_{name}": f"127.0.0.1:{port}"
            for name, port in zip(SERVER_NAMES, ports, strict=False)
        }
        # It inherits the listeners, so that their ports are never free for another program.
        tls = f" ssl crt {certificate} alpn h2,http/1.1" if certificate else ""
        addresses["BALANCER_BIND"] = f"fd@{front.fileno()}{tls}"
        addresses["BALANCER_STATS"] = f"fd@{stats.fileno()}"
        process = subprocess.Popen(  # noqa: S603 - the tests' own command
            [needs("haproxy"), "-db", "-f", str(CONFIG)],
            env={**os.environ, **addresses},
            pass_fds=(front.fileno(), stats.fileno()),
            stdout=log,
            stderr=log,
        )
        try:
            scheme = "https" if certificate else "http"
            balancer = LoadBalancer(_url(front, scheme), _url(stats), process.pid)
            until(lambda: process.poll() is not None or _responds(balancer))
            log.seek(0)
            assert process.poll() is None, log.read()
            yield balancer
        finally:
            process.kill()
            process.wait(STOP_SECONDS)


def _listener() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def _url(listener: socket.socket, scheme: str = "http") -> str:
    return f"{scheme}://127.0.0.1:{listener.getsockname()[1]}"


def _responds(balancer: LoadBalancer) -> bool:
    try:
        return len(balancer.servers()) > 0
    except httpx.TransportError:
        return False
