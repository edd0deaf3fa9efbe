"""The nodes of a Redis: one server, or those of a cluster, which its replies reveal.

A client library for clusters exists (redis.asyncio.cluster), but reads the nodes again within a
command after each failed connection, and closes all connections if that command is cancelled: one
dead node would cost the time limit and the connections of all others.

Source: https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/
"""

import asyncio
import random
import re
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from contextvars import Context
from ipaddress import IPv6Address
from typing import Any, NamedTuple

from redis.crc import key_slot
from redis.exceptions import AskError, MovedError

from gateway.upstream.cache.redis_node import Address, RedisNode, url_at

SLOTS = 16384

REFRESH_SECONDS = 1.0
"""At least between two readings of the slots."""

READ_SECONDS = 1.0
"""Time limit of one node's reply with the slots."""

MAX_NODES = 1000
"""What Redis itself recommends at most."""

_NAME = re.compile(r"[a-z0-9._-]+")
"""A host name, or an IPv4 address."""


class SlotRange(NamedTuple):
    """Slots from `first` to `last`, and the primary that holds them."""

    first: int
    last: int
    address: Address


async def read_slots(node: RedisNode) -> list[SlotRange]:
    """Ask a node of a cluster which primary holds which slots.

    Raises redis.exceptions.ResponseError if it belongs to no cluster, and ValueError among others
    if the reply has another form.
    """
    client: Any = node.client  # redis-py types this method for some clients only
    reply: Any = await client.execute_command("CLUSTER SLOTS")
    if len(reply) > SLOTS:
        raise ValueError("there are more ranges than slots")
    ranges = [
        SlotRange(int(first), int(last), _address(primary, node))
        for first, last, primary, *_ in reply
    ]
    are_valid = all(0 <= each.first <= each.last < SLOTS for each in ranges)
    if not are_valid or sum(each.last - each.first + 1 for each in ranges) > SLOTS:
        raise ValueError("the slots are out of range, or overlap")
    return ranges


def _address(primary: Sequence[Any], node: RedisNode) -> Address:
    """Return the address in a reply of `node`: preferred endpoint, port, id, other endpoints."""
    endpoint, port, *more = primary
    host = (endpoint or b"").decode()
    if node.url.startswith("rediss://") and len(more) > 1:
        # Certificates are for host names; the preferred endpoint may be an address.
        others = [each.decode() for each in more[1]]
        host = dict(zip(others[::2], others[1::2], strict=False)).get("hostname") or host
    return _host(host, node), int(port)


def _host(host: str, node: RedisNode) -> str:
    """Return a host in a reply of `node`, which leaves out its own if that is not configured.

    In lower case, as `address_of` returns it: the address is the same.
    """
    return node.address[0] if host in {"", "?"} else host.lower()


def _is_host(text: str) -> bool:
    """Return whether this is a host name or an address that a URL can contain."""
    if ":" not in text:
        return _NAME.fullmatch(text) is not None
    try:
        return IPv6Address(text).scope_id is None
    except ValueError:
        return False


class RedisTopology:
    """The node in a URL and, once a reply shows that it belongs to a cluster, all primaries."""

    def __init__(self, seed: RedisNode, make_node: Callable[[str], RedisNode]) -> None:
        """`make_node` makes a node from its URL."""
        self.seed = seed
        self._make_node = make_node
        self.nodes = {self.seed.address: self.seed}
        self._by_slot: dict[int, Address] = {}
        self._refreshing: asyncio.Task[None] | None = None
        self._refreshed_at = 0.0
        self._retiring: set[asyncio.Task[None]] = set()
        self._is_retired = False

    def node_of(self, key: str) -> RedisNode:
        """Return the node that holds a key; one that may redirect to it if that is not known."""
        address = self._by_slot.get(key_slot(key.encode())) if self._by_slot else None
        if address is not None:
            return self.node_at(address)
        if not self.seed.breaker.tripped:
            return self.seed
        return next((each for each in self.nodes.values() if not each.breaker.tripped), self.seed)

    async def follow(
        self, node: RedisNode, key: str, redirection: AskError, seconds: float
    ) -> RedisNode | None:
        """Return the node that `node` referred to for a key; None if this topology is retired.

        If the key's slot has moved for good, the nodes of the cluster are read first, for at most
        `seconds`.
        """
        slot = key_slot(key.encode())
        has_moved = isinstance(redirection, MovedError)
        if has_moved and self._by_slot.get(slot) in {None, node.address} and not self._is_retired:
            await asyncio.wait({self.refresh()}, timeout=seconds)
        if self._is_retired:
            return None
        address = _host(redirection.host, node), redirection.port
        if not has_moved:
            return self.node_at(address).asking
        if self._by_slot.get(slot) in {None, node.address}:
            # The slots were read before it moved, or cannot be read.
            self._by_slot[slot] = address
            self._retire(self._failing().difference(self._by_slot.values()))
        return self.node_at(self._by_slot[slot])

    def refresh_if_cluster(self) -> None:
        """Look for the node that took over the slots of one that fails."""
        if self._by_slot and not self._is_retired:
            self.refresh()

    def refresh(self) -> "asyncio.Task[None]":
        """Read the slots in the background, unless that is under way or was just done."""
        now = time.monotonic()
        task = self._refreshing
        if task is None or (task.done() and now - self._refreshed_at >= REFRESH_SECONDS):
            self._refreshed_at = now
            task = self._refreshing = _start(self._refresh())
        return task

    def adopt(self, ranges: Sequence[SlotRange]) -> None:
        """Use these nodes, and close those that are no longer primaries."""
        self._by_slot = {}
        for first, last, address in ranges:
            self._by_slot.update(dict.fromkeys(range(first, last + 1), address))
        self._retire(self.nodes.keys() - {each.address for each in ranges})

    def node_at(self, address: Address) -> RedisNode:
        """Return the node with this address; the one in the URL if it is none."""
        if address not in self.nodes:
            host, port = address
            is_valid = _is_host(host) and 0 < port < 2**16
            if not is_valid or len(self.nodes) >= MAX_NODES:
                return self.seed
            self.nodes[address] = self._make_node(url_at(self.seed.url, address))
        return self.nodes[address]

    async def retire(self) -> None:
        """Find no other nodes, and close these once their commands have ended."""
        self._is_retired = True
        if self._refreshing is not None:
            self._refreshing.cancel()
        await asyncio.gather(*self._retiring, *(node.retire() for node in self.nodes.values()))

    async def close(self) -> None:
        if self._refreshing is not None:
            self._refreshing.cancel()
        for task in self._retiring:
            task.cancel()
        closing = [node.close() for node in self.nodes.values()]
        await asyncio.gather(*self._retiring, *closing, return_exceptions=True)

    async def _refresh(self) -> None:
        working = [each for each in self.nodes.values() if not each.breaker.tripped]
        nodes = working or [*self.nodes.values()]
        # In any order, because one that was cut off may have an old view.
        for node in random.sample(nodes, len(nodes)):
            with suppress(Exception):  # another node may know
                async with asyncio.timeout(READ_SECONDS):
                    ranges = await read_slots(node)
                self.adopt(ranges)
                return
        self._forget_failing()

    def _forget_failing(self) -> None:
        """Ask other nodes for the slots of those that fail: they redirect to who took over."""
        failing = self._failing()
        self._by_slot = {
            slot: address for slot, address in self._by_slot.items() if address not in failing
        }

    def _failing(self) -> set[Address]:
        return {address for address, each in self.nodes.items() if each.breaker.tripped}

    def _retire(self, addresses: set[Address]) -> None:
        for address in addresses - {self.seed.address}:
            task = _start(self.nodes.pop(address).retire())
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)


def _start(coroutine: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
    """Run in the background, in a context of its own: no caller is charged for what serves all."""
    return Context().run(asyncio.create_task, coroutine)
