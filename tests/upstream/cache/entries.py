"""Values in a cache of responses, as results of a Get operation."""

from typing import Any

from gateway.auth.credentials import Caller
from gateway.upstream.cache.memory import ResponseCache, Stored, Version
from gateway.upstream.values import ItemRequest
from tests.upstream.clients import GET, REGION

REQUEST = ItemRequest(GET, REGION, ())
STORED_AT = 1_800_000_000.0


async def put(
    cache: ResponseCache, caller: Caller, key: str, value: Any, seconds: float
) -> Version:
    """Store a value; returns the version of the result."""
    stored = Stored(value, STORED_AT, Version(STORED_AT + seconds), STORED_AT)
    await cache.set(caller, key, REQUEST, stored, seconds)
    return stored.version


async def take(cache: ResponseCache, caller: Caller, key: str) -> Any:
    """Return a value, or None."""
    stored = await cache.get(caller, key, REQUEST)
    assert stored is None or stored.stored_at == STORED_AT
    return None if stored is None else stored.value
