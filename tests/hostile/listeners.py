"""Addresses where something listens that is no upstream at all."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

_BACKLOG = 64
_CROWD = 8


@contextmanager
def silent() -> Iterator[int]:
    """Listen on a port where connections are made and never a word is said."""
    with socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG) as listener:
        yield listener.getsockname()[1]


@contextmanager
def full() -> Iterator[int]:
    """Listen on a port where no connection is made any more: the backlog is full."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(_CROWD):
            one = stack.enter_context(socket.socket())
            one.settimeout(0)
            with suppress(BlockingIOError):
                one.connect(listener.getsockname())
        yield listener.getsockname()[1]


@contextmanager
def closing() -> Iterator[int]:
    """Listen on a port where each connection is closed as soon as it has said something."""
    with socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG) as listener:

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
