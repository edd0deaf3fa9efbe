"""How many connections a process has files for."""

import resource

MAX_CONNECTIONS = 10_000

RESERVED_FILES = 512
"""For what a request needs: connections to AWS and to Redis, files, the event loop's own."""


def most_connections() -> int:
    """Return how many clients may be connected at once, by the limit of open files as it is now."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return min(MAX_CONNECTIONS, max(files - RESERVED_FILES, files // 2))
