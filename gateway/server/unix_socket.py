"""A Unix domain socket to listen on, for a proxy on the same machine."""

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gateway.server.lifecycle import BACKLOG

MODE = 0o660
"""Owner and group may connect."""


@contextmanager
def unix_listener(path: Path) -> Iterator[socket.socket]:
    """Listen on a socket file until the end of the block, and remove it then.

    The file of a process that has ended is replaced. Raises OSError if another process listens on
    the file, if it is not a socket, or if it cannot be made.
    """
    _remove_stale(path)
    with socket.socket(socket.AF_UNIX) as listener:
        previous = os.umask(0o777 & ~MODE)
        try:
            listener.bind(str(path))
        finally:
            os.umask(previous)
        made = _identity(path)
        try:
            listener.listen(BACKLOG)
            yield listener
        finally:
            # Once this one has stopped listening, the next process may have made its own.
            with suppress(FileNotFoundError):
                if _identity(path) == made:
                    path.unlink()


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


def _identity(path: Path) -> tuple[int, int, int]:
    status = path.lstat()
    # A later file may have the same inode.
    return status.st_dev, status.st_ino, status.st_ctime_ns
