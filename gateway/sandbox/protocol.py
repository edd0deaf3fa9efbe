"""HTTP/1.1 as the sandbox speaks it."""

from typing import Any, Final

from uvicorn.protocols.http.h11_impl import H11Protocol


class SandboxProtocol(H11Protocol):
    """Ignores offers to upgrade, which Java's and Apache's HTTP clients make with every request.

    uvicorn's faster protocol would lose the body of such a request.
    """

    def _unsupported_upgrade_warning(self) -> None:
        pass


SERVER_OPTIONS: Final[dict[str, Any]] = {
    "http": SandboxProtocol,
    "h11_max_incomplete_event_size": 64 * 1024,  # room for a long nextToken and session token
}
"""Options of uvicorn for a server of the sandbox."""
