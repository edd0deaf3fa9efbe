"""A proxy for CONNECT requests, which may resolve names that nobody else does, or refuse."""

import asyncio
import contextlib
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from gateway.sandbox.proxy import closing, tunnel

START_SECONDS = 60.0

REFUSALS: Mapping[str, bytes] = {
    "HTTP 502": b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",
    "HTTP 403": b"HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\n\r\ndenied",
    "HTTP 407": b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
    "its response is not HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
    "it closed the connection": b"",
}
"""What a proxy may answer instead of opening a tunnel, by the words for it."""


@dataclass
class Proxy:
    routes: Mapping[str, int]
    """`host:port` -> the port of this machine that serves it. Others are not resolved."""
    refusals: Mapping[str, bytes] = field(default_factory=dict)
    """`host:port` -> the answer to a CONNECT request for it."""
    credentials: str = ""
    """`user:password` that it requires."""
    url: str = ""
    targets: list[str] = field(default_factory=list)
    """Of the CONNECT requests, in their order."""

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with closing(writer):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            target = head.split()[1]
            self.targets.append(target)
            refusal = self._refusal(head, target)
            if refusal is None:
                await tunnel(reader, writer, ("127.0.0.1", self.routes[target]))
            else:
                writer.write(refusal)
                await writer.drain()

    def _refusal(self, head: str, target: str) -> bytes | None:
        login = b64encode(self.credentials.encode()).decode()
        if self.credentials and f"proxy-authorization: basic {login}".lower() not in head.lower():
            return REFUSALS["HTTP 407"]
        return self.refusals.get(target, None if target in self.routes else REFUSALS["HTTP 502"])


@contextlib.contextmanager
def serve_proxy(proxy: Proxy) -> Iterator[Proxy]:
    """Serve a proxy in a thread, and set its URL."""
    started = threading.Event()
    stop: list[Callable[[], object]] = []

    async def run() -> None:
        loop, stopped = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(proxy.handle, "127.0.0.1", 0)
        proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        stop.append(lambda: loop.call_soon_threadsafe(stopped.set))
        started.set()
        await stopped.wait()
        server.close()
        await asyncio.sleep(0)  # those accepted have begun; asyncio.run cancels them

    thread = threading.Thread(target=asyncio.run, args=(run(),), name="proxy", daemon=True)
    thread.start()
    try:
        assert started.wait(START_SECONDS)
        yield proxy
    finally:
        for each in stop:
            each()
        thread.join(START_SECONDS)
