"""The sockets that a server listens on, and the URLs that lead to them."""

import errno
import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import IO, Any

import click

IpAddress = IPv4Address | IPv6Address

BACKLOG = 2048
"""Connections that may wait to be accepted, as many as uvicorn's own sockets have."""

UNIX_SOCKET_MODE = 0o660
"""Owner and group may connect."""

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


@contextmanager
def unix_listening(path: Path) -> Iterator[Sequence[socket.socket]]:
    """Listen on a socket file until the end of the block, and remove it then.

    The file of a process that has ended is replaced. Raises CannotListenError if another process
    listens on the file, if it is not a socket, or if it cannot be made.
    """
    with ExitStack() as stack:
        try:
            listener = _bind_unix(path, stack)
        except OSError as error:
            hint = "Choose another path with --uds."
            raise CannotListenError(str(path), error, hint) from None
        yield [listener]


def name_of(listener: socket.socket) -> str:
    """Return the address of a socket that a server of the gateway listens on, for its log."""
    address = listener.getsockname()
    if listener.family == socket.AF_UNIX:
        return f"unix:{address}"
    return f"http://{authority(*address[:2])}"


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


def _bind_unix(path: Path, stack: ExitStack) -> socket.socket:
    _remove_stale(path)
    listener = stack.enter_context(socket.socket(socket.AF_UNIX))
    previous = os.umask(0o777 & ~UNIX_SOCKET_MODE)
    try:
        listener.bind(str(path))
    finally:
        os.umask(previous)
    stack.callback(_remove, path, _identity(path))
    listener.listen(BACKLOG)
    return listener


def _remove_stale(path: Path) -> None:
    if not path.exists():
        return
    if not path.is_socket():
        raise OSError("the file exists and is not a socket")
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(0)  # a process that is slow to accept is one that listens
        code = client.connect_ex(str(path))
    if code != errno.ECONNREFUSED:
        raise OSError(code if code in {errno.EACCES, errno.EPERM} else errno.EADDRINUSE, "")
    path.unlink()


def _remove(path: Path, identity: tuple[int, int, int]) -> None:
    # Once this one has stopped listening, the next process may have made its own.
    with suppress(FileNotFoundError):
        if _identity(path) == identity:
            path.unlink()


def _identity(path: Path) -> tuple[int, int, int]:
    status = path.lstat()
    # A later file may have the same inode.
    return status.st_dev, status.st_ino, status.st_ctime_ns


def _reason(error: OSError | UnicodeError) -> str:
    if isinstance(error, UnicodeError):
        return "Invalid host name"
    # create_server adds the address to the text of an error, so the number is looked up instead;
    # the numbers of getaddrinfo are not the system's.
    named = isinstance(error, socket.gaierror) or error.errno is None
    return str(error.strerror or error) if named else os.strerror(error.errno or 0)
