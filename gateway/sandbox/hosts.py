"""Host names of a server that runs on a developer's machine.

A page on the web can make a name of its own resolve to this machine (DNS rebinding). A browser then
takes the server for a part of that page's site, and lets the page read all responses.
"""

import re
import socket
from collections.abc import Iterable
from ipaddress import ip_address

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.listening import IpAddress

MISDIRECTED_REQUEST = 421

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:]+)(?::\d*)?")


class AllowedHosts:
    """What the `Host` header of a request may name, with any port.

    That is `localhost`, a loopback address, the host and the address that the server listens on,
    and additional names. A server that listens on all addresses also responds to all of them, and
    to the machine's own name.
    """

    def __init__(
        self, host: str, addresses: Iterable[IpAddress], names: Iterable[str] = ()
    ) -> None:
        """Allow the hosts of a server that listens on `addresses`, to which `host` resolves."""
        addresses = tuple(addresses)
        self._any_address = any(address.is_unspecified for address in addresses)
        own_name = [socket.gethostname()] if self._any_address else []
        known = ("localhost", host, *map(str, addresses), *own_name, *names)
        self._names = {name.lower() for name in known}

    def __contains__(self, header: str) -> bool:
        found = _HOST.fullmatch(header)
        if found is None:
            return False
        name = found[1].strip("[]").lower()
        return name in self._names or self._is_allowed_address(name)

    @property
    def rejection(self) -> str:
        """The message of the response to a request for another host."""
        named = ", ".join(sorted(self._names))
        addresses = "any address" if self._any_address else "loopback addresses"
        return (
            "The Host header names another host. "
            f"Accepted: {addresses}, {named}. Add names with --allowed-host."
        )

    def _is_allowed_address(self, name: str) -> bool:
        try:
            address = ip_address(name)
        except ValueError:
            return False
        return self._any_address or address.is_loopback


class AllowedHostsMiddleware:
    """Responds with `rejection` to a request without exactly one `Host` header that is allowed."""

    def __init__(self, app: ASGIApp, allowed: AllowedHosts, rejection: ASGIApp) -> None:
        self._app = app
        self._allowed = allowed
        self._rejection = rejection

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app
        if scope["type"] == "http":
            hosts = [value for name, value in scope["headers"] if name == b"host"]
            if len(hosts) != 1 or hosts[0].decode("latin-1") not in self._allowed:
                app = self._rejection
        await app(scope, receive, send)
