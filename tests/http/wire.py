"""Raw connections, for bytes that no client library would send."""

import re
import socket
from dataclasses import dataclass
from typing import Any

import httpx

from gateway.server.protocol import HardenedProtocol

PATIENCE_SECONDS = 60
"""After this a test fails."""


class ImpatientProtocol(HardenedProtocol):
    """With short deadlines."""

    read_seconds = 0.2
    write_seconds = 0.2
    linger_seconds = 0.2

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.timeout_keep_alive = self.read_seconds  # type: ignore[assignment]


@dataclass(frozen=True)
class RawResponse:
    status: int
    headers: httpx.Headers
    body: bytes


def connect(url: str) -> socket.socket:
    at = httpx.URL(url)
    return socket.create_connection((at.host, at.port or 80), timeout=PATIENCE_SECONDS)


def read_to_end(connection: socket.socket) -> bytes:
    """Read until the server closes, which it may do with bytes unread."""
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def parse_responses(data: bytes) -> list[RawResponse]:
    """Parse a sequence of responses; fails if it is anything but complete ones."""
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
        found.append(RawResponse(int(status[1]), headers, rest[:size]))
        data = rest[size:]
    return found
