"""The balancer that is shipped, deploy/haproxy.cfg, before replicas of the test."""

import csv
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

import httpx

from tests.redis_servers import until

CONFIG = Path(__file__).parents[2] / "deploy/haproxy.cfg"
NAMES = "ABCD"
STOP_SECONDS = 5.0


@dataclass(frozen=True)
class Balancer:
    """A running haproxy."""

    url: str
    stats: str
    pid: int

    def servers(self) -> dict[str, Mapping[str, str]]:
        """Say how it sees each replica, by the letter of it."""
        answer = httpx.get(f"{self.stats}/stats;csv", trust_env=False)
        rows = csv.DictReader(answer.text.removeprefix("# ").splitlines())
        return {
            row["svname"].upper(): row
            for row in rows
            if row["pxname"] == "gateways" and row["svname"] != "BACKEND"
        }

    def up(self) -> set[str]:
        """Name the replicas that it sends requests to."""
        return {name for name, row in self.servers().items() if row["status"].startswith("UP")}


@contextmanager
def balancer(ports: Sequence[int]) -> Iterator[Balancer]:
    """Run one before replicas on these ports of this machine."""
    with _listener() as front, _listener() as stats, TemporaryFile("w+") as log:
        places = {
            f"GATEWAY_{name}": f"127.0.0.1:{port}" for name, port in zip(NAMES, ports, strict=False)
        }
        # It takes the listeners over, so that no moment is left in which their ports are free.
        places["BALANCER_BIND"] = f"fd@{front.fileno()}"
        places["BALANCER_STATS"] = f"fd@{stats.fileno()}"
        process = subprocess.Popen(  # noqa: S603 - our own words
            [binary(), "-db", "-f", str(CONFIG)],
            env={**os.environ, **places},
            pass_fds=(front.fileno(), stats.fileno()),
            stdout=log,
            stderr=log,
        )
        try:
            running = Balancer(_url(front), _url(stats), process.pid)
            until(lambda: process.poll() is not None or _answers(running))
            log.seek(0)
            assert process.poll() is None, log.read()
            yield running
        finally:
            process.kill()
            process.wait(STOP_SECONDS)


def binary() -> str:
    """Find haproxy."""
    found = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if found is None:
        raise RuntimeError("These tests need haproxy on PATH; on Debian: apt install haproxy")
    return found


def _listener() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def _url(listener: socket.socket) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


def _answers(running: Balancer) -> bool:
    try:
        return len(running.servers()) > 0
    except httpx.TransportError:
        return False
