"""Real Redis servers that tests may pause, kill and restart, alone and in clusters."""

import contextlib
import re
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import redis

from tests.processes import until
from tests.programs import needs

START_SECONDS = 60.0
START_ATTEMPTS = 50
PASSWORD = "a+pass word/of:its@own"
PASSWORD_IN_URLS = "a%2Bpass%20word%2Fof%3Aits%40own"


class RedisServer:
    """A redis-server process without persistence."""

    def __init__(
        self, binary: str, folder: Path, *options: str, password: str | None = None
    ) -> None:
        """`options` are those of redis-server, besides the ones for a port and a folder."""
        self.port = 0
        self._options = options
        self._binary = binary
        self._folder = folder
        self._password = password
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        login = f":{PASSWORD_IN_URLS}@" if self._password else ""
        return f"redis://{login}127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start on a free port, and wait until it responds."""
        for _ in range(START_ATTEMPTS):
            self.port = _free_port()
            # Another process may take the port in between, and the server would exit.
            if self._run():
                return
        raise RuntimeError(f"redis-server did not start: {self._log()}")

    def pause(self) -> None:
        """Stop the process, with its connections open."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        """Start it again on its port, empty."""
        self.kill()
        if not self._run():
            raise RuntimeError(f"redis-server did not start again: {self._log()}")

    @contextlib.contextmanager
    def client(self) -> Iterator[Any]:
        """Connect to it. Any, because redis-py types sync and async clients as one."""
        client = redis.Redis(port=self.port, password=self._password, protocol=2, socket_timeout=30)
        with contextlib.closing(client):
            yield client

    def commands(self) -> dict[str, int]:
        """Return how often each command was called since the last reset."""
        with self.client() as client:
            stats = client.info("commandstats")
        return {name.removeprefix("cmdstat_"): each["calls"] for name, each in stats.items()}

    def _run(self) -> bool:
        words = f"--port {self.port} --bind 127.0.0.1 --protected-mode yes --appendonly no"
        options = [*words.split(), "--save", "", "--dir", str(self._folder), *self._options]
        if self._password is not None:
            options += ["--requirepass", self._password]
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                [self._binary, *options], stdout=log, stderr=log
            )
        with self.client() as client:
            until(lambda: self._ended() or _responds(client), START_SECONDS)
        return not self._ended()

    def _ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None, "redis-server does not run"
        self._process.send_signal(number)

    def call(self, *words: object) -> Any:
        """Send one command and return its reply."""
        with self.client() as client:
            return client.execute_command(*words)

    def _log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")


@contextlib.contextmanager
def running_redis(*options: str, password: str | None = None) -> Iterator[RedisServer]:
    """Run a server; `options` are those of redis-server."""
    with TemporaryDirectory() as folder:
        server = RedisServer(needs("redis-server"), Path(folder), *options, password=password)
        try:
            server.start()
            yield server
        finally:
            server.kill()


SLOTS = 16384

BUS = 10_000
"""The port of a node for other nodes is that for clients plus this."""


class RedisCluster:
    """Servers that hold equal parts of the slots."""

    def __init__(self, primaries: Sequence[RedisServer], replicas: Sequence[RedisServer]) -> None:
        """Each replica will be that of the primary at its index."""
        self.nodes = [*primaries, *replicas]
        self._primaries = primaries
        self._replicas = replicas

    def join(self) -> None:
        """Divide the slots, and wait until each node knows of all."""
        first, *others = self.nodes
        size = SLOTS // len(self._primaries)
        for number, node in enumerate(self._primaries):
            end = SLOTS if node is self._primaries[-1] else (number + 1) * size
            node.call("CLUSTER SET-CONFIG-EPOCH", number + 1)
            node.call("CLUSTER ADDSLOTS", *range(number * size, end))
        for node in others:
            first.call("CLUSTER MEET", "127.0.0.1", node.port)
        until(lambda: all(map(self._is_joined, self.nodes)))
        for replica, primary in zip(self._replicas, self._primaries, strict=False):
            replica.call("CLUSTER REPLICATE", primary.call("CLUSTER MYID").decode())
        until(lambda: all(map(self._knows_replicas, self.nodes)))

    def move(self, slot: int, target: RedisServer) -> None:
        """Assign an empty slot to another node."""
        node_id = target.call("CLUSTER MYID").decode()
        for node in self.nodes:
            node.call("CLUSTER SETSLOT", slot, "NODE", node_id)

    def wait_until_down(self, node: RedisServer) -> None:
        """Wait until a node that works refuses to serve because another one does not."""
        until(lambda: node.call("CLUSTER INFO")["cluster_state"] == "fail")

    def _is_joined(self, node: RedisServer) -> bool:
        info = node.call("CLUSTER INFO")
        knows_all = int(info["cluster_known_nodes"]) == len(self.nodes)
        return knows_all and info["cluster_state"] == "ok"

    def _knows_replicas(self, node: RedisServer) -> bool:
        replicas = [each for _, _, _, *others in node.call("CLUSTER SLOTS") for each in others]
        return len(replicas) == len(self._replicas)


@contextlib.contextmanager
def running_cluster(
    *, replicas: int = 0, password: str | None = None, full_coverage: bool = False
) -> Iterator[RedisCluster]:
    """Run a cluster of two primaries; with `full_coverage` it is down while one of its nodes is."""
    coverage, timeout_ms = ("yes", 300) if full_coverage else ("no", 60_000)
    options = (
        "--cluster-enabled yes --cluster-announce-ip 127.0.0.1 "
        f"--cluster-node-timeout {timeout_ms} --cluster-require-full-coverage {coverage} "
        "--repl-diskless-sync-delay 0 --repl-ping-replica-period 1"
    ).split()
    with contextlib.ExitStack() as stack:
        servers = []
        for _ in range(2 + replicas):
            folder = Path(stack.enter_context(TemporaryDirectory()))
            server = RedisServer(needs("redis-server"), folder, *options, password=password)
            stack.callback(server.kill)
            server.start()
            servers.append(server)
        cluster = RedisCluster(servers[:2], servers[2:])
        cluster.join()
        yield cluster


def _free_port() -> int:
    """Return a free port; that of the bus of a cluster's node there is free, too."""
    for _ in range(START_ATTEMPTS):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port: int = listener.getsockname()[1]
            if port + BUS < 2**16:
                with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port + BUS)):
                    return port
    raise RuntimeError("no free pair of ports")


def _responds(client: Any) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


def is_cache_key(key: bytes) -> bool:
    return re.fullmatch(rb"audience-gateway:1:[0-9a-f]{64}", key) is not None
