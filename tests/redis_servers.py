"""Real Redis servers that tests may pause, kill and restart."""

import contextlib
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import redis

from tests.processes import until
from tests.programs import needs

START_SECONDS = 10.0
START_ATTEMPTS = 5
PASSWORD = "a+pass word/of:its@own"
PASSWORD_IN_URLS = "a%2Bpass%20word%2Fof%3Aits%40own"


class RedisServer:
    """A redis-server process without persistence."""

    def __init__(self, binary: str, folder: Path, *, password: str | None = None) -> None:
        self.port = 0
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
            with socket.create_server(("127.0.0.1", 0)) as listener:
                self.port = listener.getsockname()[1]
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
        options = [*words.split(), "--save", "", "--dir", str(self._folder)]
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

    def _log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")


@contextlib.contextmanager
def running_redis(*, password: str | None = None) -> Iterator[RedisServer]:
    with TemporaryDirectory() as folder:
        server = RedisServer(needs("redis-server"), Path(folder), password=password)
        try:
            server.start()
            yield server
        finally:
            server.kill()


def _responds(client: Any) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


def is_cache_key(key: bytes) -> bool:
    return re.fullmatch(rb"audience-gateway:1:[0-9a-f]{64}", key) is not None
