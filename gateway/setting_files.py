"""Reading the files that settings and other variables of the environment name."""

import errno
import os
import stat
from pathlib import Path

MAX_FILE_BYTES = 4 * 1024 * 1024
"""All public authorities together take less than 1 MiB."""


def read_setting_file(path: Path) -> bytes:
    """Return what a file contains; raises OSError, whose `strerror` says why it cannot be read.

    Only a regular file can be read again, by each worker and on SIGHUP. A named pipe would also
    block the reader, and with it the end of the process.
    """
    with open(path, "rb", opener=_open_at_once) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise OSError(errno.EFBIG, f"it is too large. Accepted: up to {MAX_FILE_BYTES} bytes")
    return content


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)
