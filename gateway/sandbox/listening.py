"""The sockets that a server listens on, and the URLs that lead to them."""

import errno
import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import IO, Any

import click

IpAddress = IPv4Address | IPv6Address

BACKLOG = 2048
"""Connections that may wait to be accepted, as many as uvicorn's own sockets have."""

_UNAVAILABLE = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
"""The address, or its whole family, does not exist on this machine."""


class CannotListenError(click.ClickException):
    """A server cannot listen where it was told to."""

    def __init__(self, place: str, error: OSError | UnicodeError, hint: str) -> None:
        super().__init__(f"cannot listen on {place}: {_reason(error)}. {hint}")
        self.in_use = isinstance(error, OSError) and error.errno == errno.EADDRINUSE

    def show(self, file: IO[Any] | None = None) -> None:  # noqa: ARG002  click's signature
        click.echo(f"gateway: {self.message}", err=True)


@contextmanager
def listening(
    host: str, port: int | None, port_option: str = "--port"
) -> Iterator[Sequence[socket.socket]]:
    """Listen on a port of all addresses of a host until the end of the block.

    A name may have several addresses. `::` is all addresses of the machine, IPv4 included. Port 0
    is a free one, the same for all addresses. A port of None is none.

    Raises CannotListenError, which names `port_option` as a way out.
    """
    with ExitStack() as stack:
        if port is None:
            yield ()
            return
        try:
            sockets = _listen(host, port, stack)
        except (OSError, UnicodeError) as error:
            hint = f"Choose another address with --host or {port_option}."
            raise CannotListenError(authority(host, port), error, hint) from None
        yield sockets


def url_of(host: str, listeners: Sequence[socket.socket], scheme: str = "http") -> str:
    """Return the URL of a server that listens on a host, for clients on this machine.

    The published port of a container has the same URL outside of it.
    """
    if any(address.is_unspecified for address in addresses_of(listeners)):
        host = "localhost"
    return f"{scheme}://{authority(host, port_of(listeners))}"


def authority(host: str, port: int) -> str:
    """Return a host, which may be an IPv6 address, and a port as a URL has them."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def addresses_of(listeners: Sequence[socket.socket]) -> list[IpAddress]:
    return [ip_address(listener.getsockname()[0]) for listener in listeners]


def port_of(listeners: Sequence[socket.socket]) -> int:
    port: int = listeners[0].getsockname()[1]
    return port


def _listen(host: str, port: int, stack: ExitStack) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    unavailable: OSError | None = None
    for family, (address, _, *scope) in _resolve(host, port):
        bound_port = port_of(sockets) if sockets else port
        try:
            sockets.append(stack.enter_context(_bind(family, (address, bound_port, *scope))))
        except OSError as error:
            # `localhost` may have an IPv6 address where IPv6 is disabled.
            if error.errno not in _UNAVAILABLE:
                raise
            unavailable = error
    if unavailable and not sockets:
        raise unavailable
    return sockets


def _resolve(host: str, port: int) -> Iterable[tuple[int, tuple[Any, ...]]]:
    """Return the addresses of a host, each with its family."""
    found = socket.getaddrinfo(
        _existing_wildcard(host), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    return dict.fromkeys((family, address) for family, *_, address in found)


def _existing_wildcard(host: str) -> str:
    """Return a host, or the wildcard of IPv4 for that of IPv6 on a machine without IPv6."""
    return "0.0.0.0" if host == "::" and not socket.has_dualstack_ipv6() else host  # noqa: S104


def _bind(family: int, address: tuple[Any, ...]) -> socket.socket:
    both = family == socket.AF_INET6 and ip_address(address[0]).is_unspecified
    return socket.create_server(address, family=family, backlog=BACKLOG, dualstack_ipv6=both)


def _reason(error: OSError | UnicodeError) -> str:
    if isinstance(error, UnicodeError):
        return "Invalid host name"
    # create_server adds the address to the text of an error, so the number is looked up instead;
    # the numbers of getaddrinfo are not the system's.
    named = isinstance(error, socket.gaierror) or error.errno is None
    return str(error.strerror or error) if named else os.strerror(error.errno or 0)
