"""Serve an ASGI application over real HTTP within a `with` block."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from gateway.server.lifecycle import KEEP_ALIVE_SECONDS

START_SECONDS = 60.0
STOP_SECONDS = 60.0
GRACEFUL_SECONDS = 1


class NotifyingServer(uvicorn.Server):
    """Sets an event once it serves, or has failed to start; stops at once."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.settled = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets=sockets)
        self.settled.set()

    async def main_loop(self) -> None:
        """Wait for `stop`, where uvicorn polls `should_exit` every tenth of a second."""
        while not self.should_exit:
            await self.on_tick(0)  # updates the Date header
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), 1)

    def stop(self) -> None:
        self.should_exit = True
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stopped.set)

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            # uvicorn leaves with SystemExit when a lifespan fails; `serve` reports that instead.
            with contextlib.suppress(SystemExit):
                super().run(sockets=sockets)
        finally:
            self.settled.set()


@contextlib.contextmanager
def serve(
    app: ASGIApp,
    *,
    log_level: str = "warning",
    http: str | type[asyncio.Protocol] = "auto",
    certificate: Path | None = None,
) -> Iterator[str]:
    """Yield the base URL of the application, served on a free port of this machine.

    `http` is uvicorn's setting of that name: the protocol class. With a file of a certificate and
    its key it is served over TLS.
    """
    config = uvicorn.Config(
        app,
        log_config=None,  # the test run's logging stays as pytest set it up
        log_level=log_level,
        http=http,
        access_log=False,
        ws="none",
        timeout_keep_alive=KEEP_ALIVE_SECONDS,  # else it closes what a client is about to use
        timeout_graceful_shutdown=GRACEFUL_SECONDS,  # a request that hangs must not hold a test
        ssl_certfile=certificate,
        ssl_keyfile=certificate,
    )
    server = NotifyingServer(config)
    # Bound here and handed over, so that nobody else can take the port in between.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        thread = threading.Thread(
            target=server.run, args=([listener],), name=f"serve-{port}", daemon=True
        )
        thread.start()
        try:
            settled = server.settled.wait(START_SECONDS)
            if not settled or not server.started:
                raise RuntimeError("The application did not start; see its log.")
            yield f"{'https' if certificate else 'http'}://127.0.0.1:{port}"
        finally:
            _stop(server, thread)


def _stop(server: NotifyingServer, thread: threading.Thread) -> None:
    server.stop()
    thread.join(STOP_SECONDS)
    if thread.is_alive():
        server.force_exit = True
        thread.join(STOP_SECONDS)
    if thread.is_alive():
        raise RuntimeError("The server's thread did not end.")
