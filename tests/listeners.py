"""Ports for programs, and ports that accept connections and no more."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

BACKLOG = 64


@contextmanager
def reserved_port() -> Iterator[int]:
    """Reserve a port for a program that is to listen on it: others get it only by its number."""
    with socket.socket() as address:
        address.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        address.bind(("127.0.0.1", 0))
        yield address.getsockname()[1]


@contextmanager
def silent() -> Iterator[int]:
    """Accept connections on a port and never send anything."""
    with socket.create_server(("127.0.0.1", 0), backlog=BACKLOG) as listener:
        yield listener.getsockname()[1]


@contextmanager
def full(port: int = 0) -> Iterator[int]:
    """Listen on a port whose backlog is full, so that no connection is made."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", port), backlog=0))
        for _ in range(8):
            client = stack.enter_context(socket.socket())
            client.settimeout(0)
            with suppress(BlockingIOError):
                client.connect(listener.getsockname())
        yield listener.getsockname()[1]


@contextmanager
def closing() -> Iterator[int]:
    """Close each connection on its first byte."""
    with socket.create_server(("127.0.0.1", 0), backlog=BACKLOG) as listener:

        def close_each() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection, suppress(OSError):
                        connection.recv(1)

        thread = threading.Thread(target=close_each, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


@contextmanager
def redis_replying(reply: bytes) -> Iterator[int]:
    """Send the same reply to each command in the protocol of Redis."""
    with socket.create_server(("127.0.0.1", 0), backlog=BACKLOG) as listener:

        def serve_each() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    threading.Thread(target=serve, args=(connection,), daemon=True).start()

        def serve(connection: socket.socket) -> None:
            with connection, connection.makefile("rb") as lines, suppress(OSError):
                while head := lines.readline():
                    for _ in range(int(head[1:])):
                        lines.read(int(lines.readline()[1:]) + 2)
                    connection.sendall(reply)

        thread = threading.Thread(target=serve_each, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
