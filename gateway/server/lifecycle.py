"""uvicorn processes that drain on SIGTERM: `/readyz` fails for a while before they stop."""

import contextlib
import logging
import signal
import sys
import time
from collections.abc import Callable, Iterator
from socket import socket
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import multiprocess

from gateway.http.health import Health
from gateway.telemetry.metrics import NoSpaceError, forget_worker, shared_by_workers

log = logging.getLogger(__name__)

KEEP_ALIVE_SECONDS = 75
"""Longer than load balancers keep an idle connection (60 s at AWS): otherwise they would send
requests on connections that are being closed."""

STOP_SECONDS = 20
"""Time for requests in progress to complete once no new ones are accepted. With the default of
GATEWAY_DRAIN_SECONDS it stays within the 30 seconds that Kubernetes grants."""

JOIN_POLL_SECONDS = 0.05

REPEATED_SIGNAL_SECONDS = 2.0
"""A worker ignores signals for this long after one. A signal to the whole process group, as systemd
sends it, reaches it twice: directly and from its supervisor."""

PROTOCOL = "gateway.server.protocol:HardenedProtocol"
"""By name, so that each worker process can import it."""

CLOSE = (b"connection", b"close")


class DrainingServer(uvicorn.Server):
    """One process. The first SIGTERM or SIGHUP drains it, a second one stops it at once.

    It exits with 0.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        repeated_signal_seconds: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Ignore signals within `repeated_signal_seconds` of the last one."""
        super().__init__(config)
        self._repeated_signal_seconds = repeated_signal_seconds
        self._clock = clock
        self._stop_at: float | None = None
        self._signalled_at: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002  uvicorn's signature
        """Handle a signal. Unlike uvicorn's, it is not raised again, so the exit code stays 0."""
        now, last = self._clock(), self._signalled_at
        if last is not None and now - last < self._repeated_signal_seconds:
            return
        if self.should_exit or self._stop_at is not None:
            self.should_exit = self.force_exit = True
        elif sig == signal.SIGINT or not self.started:
            self.should_exit = True
        else:
            self._drain()
        self._signalled_at = now

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle SIGHUP as well, unless it is ignored: under nohup, and in worker processes."""
        if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
            signal.signal(signal.SIGHUP, self.handle_exit)
        with super().capture_signals():
            yield

    async def on_tick(self, counter: int) -> bool:
        if self._stop_at is not None and self._clock() >= self._stop_at:
            self.should_exit = True
        return await super().on_tick(counter)

    def _drain(self) -> None:
        state = self.config.loaded_app.state
        health: Health = state.health
        health.draining = True
        # So that connected clients open their next connection elsewhere.
        self.config.encoded_headers.append(CLOSE)
        self.server_state.default_headers = [*self.server_state.default_headers, CLOSE]
        self._stop_at = self._clock() + state.drain_seconds
        log.info("draining")


class Worker(multiprocess.Process):
    """One of several processes, running a DrainingServer."""

    @property
    def server(self) -> uvicorn.Server:
        if self._server is None:
            self._server = DrainingServer(
                self.config, repeated_signal_seconds=REPEATED_SIGNAL_SECONDS
            )
        return self._server

    def target(self, sockets: list[socket] | None = None) -> None:
        # The supervisor replaces its workers on SIGHUP, one by one. A signal to the whole process
        # group must not end all of them at once.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        super().target(sockets)

    def join(self) -> None:
        super().join()
        if self.pid is not None:
            forget_worker(self.pid)


class Supervisor(multiprocess.Multiprocess):
    """Parent of the workers; passes a second signal on to workers that are draining."""

    def join_all(self) -> None:
        while any(worker.process.is_alive() for worker in self.processes):
            if {signal.SIGTERM, signal.SIGINT} & set(self.signal_queue):
                self.terminate_all()
            self.signal_queue.clear()
            time.sleep(JOIN_POLL_SECONDS)


def serve(app: Any, host: str, port: int, workers: int) -> None:
    """Serve until a signal; `app` is the application, or the import string of its factory.

    Exits the program if it cannot start.
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
        _serve_with_workers(config)
        return
    _ignore_late_signals()
    server = DrainingServer(config)
    server.run()
    if not server.started:
        sys.exit(STARTUP_FAILURE)


def _ignore_late_signals() -> None:
    # uvicorn restores this handler when it stops. The default one would end the process with a
    # failure if another SIGTERM arrived then.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _serve_with_workers(config: uvicorn.Config) -> None:
    # uvicorn has no other way to replace the server in its workers.
    multiprocess.Process = Worker  # type: ignore[misc]
    try:
        with shared_by_workers(config.workers):
            supervisor = Supervisor(config, sockets=[config.bind_socket()])
            supervisor.run()
            _ignore_late_signals()
    except NoSpaceError as error:
        log.error("%s", error)  # noqa: TRY400  the message says it all
        sys.exit(STARTUP_FAILURE)
    if any(worker.exitcode == STARTUP_FAILURE for worker in supervisor.processes):
        sys.exit(STARTUP_FAILURE)
