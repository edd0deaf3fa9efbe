"""uvicorn processes: they drain on SIGTERM, reload on SIGHUP, and serve the admin port.

A process that drains fails `/readyz` for a while before it stops.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextvars import Context
from types import FrameType
from typing import Any, Literal

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import multiprocess

from gateway.http.health import Health
from gateway.http.subscriptions import Subscriptions
from gateway.listening import BACKLOG, name_of
from gateway.server.protocol import HardenedProtocol
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

ADMIN_CONNECTIONS = 100

ADMIN_STOP_SECONDS = 1

CLOSE = (b"connection", b"close")


class AdminProtocol(HardenedProtocol):
    """A connection to the admin port."""

    max_connections = ADMIN_CONNECTIONS


class ServerConfig(uvicorn.Config):
    """The options of a process, whose application has its admin application in `state.admin`."""

    def __init__(
        self,
        app: Any,
        *,
        admin_sockets: Sequence[socket.socket] = (),
        stop_seconds: int = STOP_SECONDS,
        http: type[HardenedProtocol] = HardenedProtocol,
        lifespan: Literal["on", "off"] = "on",
        **options: Any,
    ) -> None:
        """`app` is the application, or the import string of its factory."""
        super().__init__(
            app,
            factory=isinstance(app, str),
            loop="uvloop",
            http=http,
            lifespan=lifespan,
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=stop_seconds,
            **options,
        )
        self.admin_sockets = list(admin_sockets)


class AdminServer(uvicorn.Server):
    """Serves the admin port in the process of the main server, and as long."""

    def __init__(self, app: Any, sockets: list[socket.socket]) -> None:
        config = ServerConfig(
            app, http=AdminProtocol, lifespan="off", stop_seconds=ADMIN_STOP_SECONDS
        )
        config.load()
        super().__init__(config)
        self.lifespan = config.lifespan_class(config)
        self._sockets = sockets

    async def start(self) -> None:
        await self.startup(self._sockets)

    async def stop(self) -> None:
        await self.shutdown(self._sockets)


class DrainingServer(uvicorn.Server):
    """One process. The first SIGTERM drains it, a second one stops it at once.

    It exits with 0.
    """

    def __init__(
        self,
        config: ServerConfig,
        *,
        repeated_signal_seconds: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Ignore signals within `repeated_signal_seconds` of the last one."""
        super().__init__(config)
        self._admin_sockets = config.admin_sockets
        self._admin: AdminServer | None = None
        self._repeated_signal_seconds = repeated_signal_seconds
        self._clock = clock
        self._stop_at: float | None = None
        self._signalled_at: float | None = None
        self._reload_requested = False
        self._reloading: asyncio.Task[None] | None = None

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

    def request_reload(self, *_: object) -> None:
        """Reload the configuration soon: a handler of signals."""
        self._reload_requested = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._admin_sockets:
            self._admin = AdminServer(self.config.loaded_app.state.admin, self._admin_sockets)
            await self._admin.start()
        await self.announce(sockets or [])

    async def announce(self, sockets: Sequence[socket.socket]) -> None:
        """Log where the process listens, once it serves."""
        for listener in sockets:
            log.info("running on %s", name_of(listener))
        for listener in self._admin_sockets:
            log.info("admin port on %s", name_of(listener))

    async def on_tick(self, counter: int) -> bool:
        if self._stop_at is not None:
            left = self._stop_at - self._clock()
            # Not in the handler of the signal, which is not called by the event loop.
            if not self._subscriptions.draining:
                self._subscriptions.drain(max(0.0, left))
            self.should_exit = self.should_exit or left <= 0
        if self._reload_requested and (self._reloading is None or self._reloading.done()):
            self._reload_requested = False
            self._reloading = asyncio.create_task(self.config.loaded_app.state.reload())
        if self._admin is not None:
            await self._admin.on_tick(counter)
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._subscriptions.end_all()
        await super().shutdown(sockets)
        if self._admin is not None:
            await self._admin.stop()

    @property
    def _subscriptions(self) -> Subscriptions:
        subscriptions: Subscriptions = self.config.loaded_app.state.subscriptions
        return subscriptions

    def _drain(self) -> None:
        state = self.config.loaded_app.state
        health: Health = state.health
        health.draining = True
        # So that connected clients open their next connection elsewhere.
        self.config.encoded_headers.append(CLOSE)
        self.server_state.default_headers = [*self.server_state.default_headers, CLOSE]
        self._stop_at = self._clock() + state.drain_seconds
        # Not in the context of the request that the signal interrupts.
        Context().run(log.info, "draining")


class Worker(multiprocess.Process):
    """One of several processes, running a DrainingServer."""

    config: ServerConfig
    _server: DrainingServer | None

    def __init__(self, config: ServerConfig, sockets: list[socket.socket]) -> None:
        super().__init__(config, sockets)
        self._has_started = False

    @property
    def server(self) -> DrainingServer:
        if self._server is None:
            self._server = DrainingServer(
                self.config, repeated_signal_seconds=REPEATED_SIGNAL_SECONDS
            )
        return self._server

    def is_alive(self, timeout: float = 5) -> bool:
        """Return whether it responds; while it starts, whether the process exists.

        On a busy machine the start takes longer than uvicorn waits for a response.
        """
        if self._has_started:
            return super().is_alive(timeout)
        if self.parent_conn.poll(0):
            self.parent_conn.recv()
            self._has_started = True
        return self.process.is_alive()

    def start(self) -> None:
        # A SIGHUP would end the new process before it can handle it. Blocked, it waits.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        try:
            super().start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def target(self, sockets: list[socket.socket] | None = None) -> None:
        _handle_hangups(self.server.request_reload)
        self.child_conn.send("responding")
        super().target(sockets)

    def join(self) -> None:
        super().join()
        if self.pid is not None:
            forget_worker(self.pid)


class Supervisor(multiprocess.Multiprocess):
    """Parent of the workers; passes SIGHUP on, and a second signal to workers that are draining."""

    config: ServerConfig

    def __init__(self, config: ServerConfig, sockets: list[socket.socket]) -> None:
        previous = signal.getsignal(signal.SIGHUP)
        super().__init__(config, sockets)
        # uvicorn would handle the signal even where it is ignored.
        handler = signal.signal(signal.SIGHUP, previous)
        _handle_hangups(handler)

    def handle_hup(self) -> None:
        for worker in self.processes:
            if worker.pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker.pid, signal.SIGHUP)

    def join_all(self) -> None:
        # So that only the workers listen, and nothing waits for them after they have stopped.
        for listener in (*self.sockets, *self.config.admin_sockets):
            listener.close()
        while any(worker.process.is_alive() for worker in self.processes):
            if {signal.SIGTERM, signal.SIGINT} & set(self.signal_queue):
                self.terminate_all()
            self.signal_queue.clear()
            time.sleep(JOIN_POLL_SECONDS)


def serve(
    app: Any,
    sockets: Sequence[socket.socket],
    *,
    admin_sockets: Sequence[socket.socket] = (),
    workers: int = 1,
) -> None:
    """Serve until a signal; `app` is the application, or the import string of its factory.

    SIGHUP reloads the configuration, unless it is ignored, as under nohup. Exits the program if it
    cannot start.
    """
    config = ServerConfig(app, admin_sockets=admin_sockets, workers=workers)
    if workers > 1:
        _serve_with_workers(config, list(sockets))
        return
    _ignore_late_signals()
    server = DrainingServer(config)
    _handle_hangups(server.request_reload)
    server.run(list(sockets))
    if not server.started:
        sys.exit(STARTUP_FAILURE)


def _handle_hangups(handler: Any) -> None:
    """Handle SIGHUP, also one that was deferred."""
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})


def _ignore_late_signals() -> None:
    # uvicorn restores this handler when it stops. The default one would end the process with a
    # failure if another SIGTERM arrived then.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _serve_with_workers(config: ServerConfig, sockets: list[socket.socket]) -> None:
    # uvicorn has no other way to replace the server in its workers.
    multiprocess.Process = Worker  # type: ignore[assignment,misc]
    try:
        with shared_by_workers(config.workers):
            supervisor = Supervisor(config, sockets)
            supervisor.run()
            _ignore_late_signals()
    except NoSpaceError as error:
        log.error("%s", error)  # noqa: TRY400  the message says it all
        sys.exit(STARTUP_FAILURE)
    if any(worker.exitcode == STARTUP_FAILURE for worker in supervisor.processes):
        sys.exit(STARTUP_FAILURE)
