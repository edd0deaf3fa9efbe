"""A name that takes long to look up costs Redis alone."""

import asyncio
import socket
import threading
from typing import Any

import pytest

from gateway.upstream.cache.host_lookup import HostLookup
from gateway.upstream.cache.redis import RedisClient

HOST = "redis.example.test"
COMMANDS = 40
"""More than there are threads for lookups of the event loop."""

LONG_SECONDS = 60


async def test_a_slow_lookup_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up, done = [], threading.Event()
    look_up = socket.getaddrinfo

    def slow(host: str, *more: Any, **options: Any) -> Any:
        if host != HOST:
            return look_up(host, *more, **options)
        looked_up.append(host)
        done.wait()
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    client = RedisClient(f"redis://{HOST}:6379")

    def get() -> Any:
        return client.execute(0.01, "key", lambda node: node.client.get("key"))

    try:
        assert await asyncio.gather(*(get() for _ in range(COMMANDS))) == [None] * COMMANDS
        async with asyncio.timeout(LONG_SECONDS):
            assert await asyncio.get_running_loop().getaddrinfo("127.0.0.1", 80)
    finally:
        done.set()
        await client.close()

    assert looked_up == [HOST]


async def test_a_host_has_its_addresses_or_an_error() -> None:
    assert "127.0.0.1" in await HostLookup("localhost").addresses()
    assert await HostLookup("::1").addresses() == ["::1"]
    for host in ("", "a" * 70, "host.invalid"):
        with pytest.raises((OSError, UnicodeError)):
            await HostLookup(f"{host}.").addresses()
