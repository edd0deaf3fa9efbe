"""Responses that their clients have not taken yet, and the limits on them."""

import asyncio
import logging
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass, field

from uvicorn.protocols.http.flow_control import FlowControl

from gateway.telemetry.metrics import REJECTIONS

log = logging.getLogger(__name__)

MAX_UNSENT_BYTES = 64 * 1024 * 1024
"""Responses that clients have not taken yet, in a process. Each counts whole until its last byte is
taken, because all of it stays in memory until then."""

MIN_TAKEN_BYTES = 1024 * 1024
"""A client must take this much of a response, or the rest of it, within each period."""

HEAD_START_BYTES = 64 * 1024
"""Counted as taken, so that a response that has just begun does not seem to be the slowest."""

RESET_ON_CLOSE = (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
"""Otherwise the kernel would keep what is in its own buffer for a client that does not take it."""

UNSENT_BYTES = "unsent_bytes"
SEND_RATE = "send_rate"


@dataclass(eq=False, slots=True)
class _Response:
    transport: asyncio.Transport
    size: int
    since: float
    """When the client began to keep it waiting."""
    exceeded: str | None = None
    """The limit by which the client was disconnected."""
    _buffered: int = field(init=False)

    def __post_init__(self) -> None:
        self._buffered = self.transport.get_write_buffer_size()

    @property
    def taken(self) -> int:
        """Bytes that the client has taken while it was waited for."""
        return self._buffered - self.transport.get_write_buffer_size()

    def seconds_left(self, now: float) -> float:
        """Estimate when the client will have all of it, by its rate so far."""
        taken = self.taken
        return (self.size - taken) * (now - self.since) / (taken + HEAD_START_BYTES)

    def disconnect(self, exceeded: str) -> None:
        self.exceeded = exceeded
        with suppress(OSError):  # the connection has ended already
            self.transport.get_extra_info("socket").setsockopt(*RESET_ON_CLOSE)
        self.transport.abort()


class UnsentResponses:
    """The responses of one server that wait for their clients.

    While they exceed `max_bytes`, the client that would need longest for the rest is disconnected.
    """

    def __init__(self, max_bytes: int = MAX_UNSENT_BYTES) -> None:
        self._max_bytes = max_bytes
        self._waiting: set[_Response] = set()
        self._bytes = 0

    async def wait(
        self, transport: asyncio.Transport, flow: FlowControl, size: int, seconds: float
    ) -> None:
        """Wait until the client has taken what the transport has, or is disconnected.

        It is disconnected if it takes neither MIN_TAKEN_BYTES nor the rest in `seconds`. `size` is
        that of the response, without what was sent before.
        """
        loop = asyncio.get_running_loop()
        response = _Response(transport, size, loop.time())
        self._waiting.add(response)
        self._bytes += size
        try:
            self._disconnect_slowest(loop.time())
            await _drain(response, flow, seconds)
        finally:
            self._remove(response)
        if response.exceeded is not None:
            REJECTIONS.labels(response.exceeded).inc()
            log.warning("The client took its response too slowly, and was disconnected.")

    def _disconnect_slowest(self, now: float) -> None:
        while self._bytes > self._max_bytes:
            slowest = max(self._waiting, key=lambda response: response.seconds_left(now))
            slowest.disconnect(UNSENT_BYTES)
            self._remove(slowest)

    def _remove(self, response: _Response) -> None:
        if response in self._waiting:
            self._waiting.remove(response)
            self._bytes -= response.size


async def _drain(response: _Response, flow: FlowControl, seconds: float) -> None:
    taken = 0
    while True:
        try:
            async with asyncio.timeout(seconds):
                await flow.drain()
                return
        except TimeoutError:
            if response.taken - taken < MIN_TAKEN_BYTES:
                response.disconnect(SEND_RATE)
            taken = response.taken
