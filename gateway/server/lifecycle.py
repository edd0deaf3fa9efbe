"""The server: uvicorn, which on SIGTERM says that it is not ready before it stops to serve."""

import logging
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import multiprocess

from gateway.http.health import Health
from gateway.telemetry.metrics import forget_worker, shared_by_workers

log = logging.getLogger("gateway.server.lifecycle")

KEEP_ALIVE_SECONDS = 75
"""Longer than load balancers keep an idle connection (60 s at AWS), or they meet closed ones."""

STOP_SECONDS = 20
"""How long requests under way may take to end once nothing new is taken. With the default of
GATEWAY_DRAIN_SECONDS it stays within the 30 seconds that Kubernetes gives."""

JOIN_SECONDS = 0.05

ECHO_SECONDS = 2.0
"""Who signals the whole group, as systemd does, reaches a worker twice: by its parent, too."""

PROTOCOL = "gateway.server.protocol:BoundedProtocol"
"""What reads HTTP: by its name, so that each worker finds it."""

CLOSE = (b"connection", b"close")


class Server(uvicorn.Server):
    """One process. The first SIGTERM drains it, a second one ends it at once; it leaves with 0."""

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        echo_seconds: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take a signal within `echo_seconds` of another one for its echo."""
        super().__init__(config)
        self._echo_seconds = echo_seconds
        self._clock = clock
        self._stop_at: float | None = None
        self._told_at: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002  as it is called
        """Take a signal. It is not raised again in the end, as uvicorn does: that is no failure."""
        if self._told_at is not None and self._clock() - self._told_at < self._echo_seconds:
            return
        if self.should_exit or self._stop_at is not None:
            self.should_exit = self.force_exit = True
        elif sig == signal.SIGINT or not self.started:
            self.should_exit = True
        else:
            self._drain()
        self._told_at = self._clock()

    async def on_tick(self, counter: int) -> bool:
        """Look every tenth of a second whether to go."""
        if self._stop_at is not None and self._clock() >= self._stop_at:
            self.should_exit = True
        return await super().on_tick(counter)

    def _drain(self) -> None:
        state = self.config.loaded_app.state
        health: Health = state.health
        health.draining = True
        # Who has a connection here is to open the next one elsewhere.
        self.config.encoded_headers.append(CLOSE)
        self.server_state.default_headers = [*self.server_state.default_headers, CLOSE]
        self._stop_at = self._clock() + state.drain_seconds
        log.info("draining")


class Worker(multiprocess.Process):
    """One of several processes, with our server in it."""

    @property
    def server(self) -> uvicorn.Server:
        """The server, made in the process itself."""
        if self._server is None:
            self._server = Server(self.config, echo_seconds=ECHO_SECONDS)
        return self._server

    def join(self) -> None:
        """Wait for its end."""
        super().join()
        if self.pid is not None:
            forget_worker(self.pid)


class Supervisor(multiprocess.Multiprocess):
    """Their parent, which hands a second signal on to those that drain."""

    def join_all(self) -> None:
        """Wait for all to end."""
        while any(worker.process.is_alive() for worker in self.processes):
            if {signal.SIGTERM, signal.SIGINT} & set(self.signal_queue):
                self.terminate_all()
            self.signal_queue.clear()
            time.sleep(JOIN_SECONDS)


def serve(app: Any, host: str, port: int, workers: int) -> None:
    """Serve until told to stop; `app` is the application, or where to find what makes one.

    Ends the program where that cannot be started.
    """
    config = uvicorn.Config(
        app,
        factory=isinstance(app, str),
        host=host,
        port=port,
        workers=workers,
        loop="uvloop",
        http=PROTOCOL,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    if workers > 1:
        _serve_by_several(config)
        return
    # What the handler is set back to in the end: a late signal must not make it a failure.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    server = Server(config)
    server.run()
    if not server.started:
        sys.exit(STARTUP_FAILURE)


def _serve_by_several(config: uvicorn.Config) -> None:
    # uvicorn names no other way to have one's own server in its workers.
    multiprocess.Process = Worker  # type: ignore[misc]
    with shared_by_workers():
        supervisor = Supervisor(config, sockets=[config.bind_socket()])
        supervisor.run()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as above
    if any(worker.exitcode == STARTUP_FAILURE for worker in supervisor.processes):
        sys.exit(STARTUP_FAILURE)
