"""Connections whose bytes no client library would send, and what comes back on them."""

import re
import socket
from dataclasses import dataclass
from typing import Any

import httpx

from gateway.server.protocol import HardenedProtocol

PATIENCE_SECONDS = 20
"""How long a test waits for what must come; it fails then."""


class Hasty(HardenedProtocol):
    """Waits for nobody."""

    read_seconds = 0.2
    write_seconds = 0.2

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.timeout_keep_alive = self.read_seconds  # type: ignore[assignment]


@dataclass(frozen=True)
class Raw:
    """One answer, as it came."""

    status: int
    headers: httpx.Headers
    body: bytes


def connect(url: str) -> socket.socket:
    """Open a connection to the server of this URL."""
    at = httpx.URL(url)
    return socket.create_connection((at.host, at.port or 80), timeout=PATIENCE_SECONDS)


def read_to_end(connection: socket.socket) -> bytes:
    """Read until the server closes; it may do so with our bytes unread."""
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def answers(data: bytes) -> list[Raw]:
    """Take apart what came; fails where it is anything but whole answers, one after the other."""
    found = []
    while data:
        head, end, rest = data.partition(b"\r\n\r\n")
        assert end, data
        status_line, *lines = head.decode("latin-1").split("\r\n")
        status = re.fullmatch(r"HTTP/1\.1 (\d{3}) [A-Za-z ]+", status_line)
        assert status, data
        pairs = [line.partition(": ") for line in lines]
        headers = httpx.Headers([(name, value) for name, _, value in pairs])
        size = int(headers["content-length"])
        assert len(rest) >= size, data
        found.append(Raw(int(status[1]), headers, rest[:size]))
        data = rest[size:]
    return found
