"""A request that is refused before, or instead of, being executed."""

from collections.abc import Mapping

from gateway.errors import BadUserInputError, GatewayError


class HttpError(Exception):
    """Ends a request with this status and error. `headers` go with the answer."""

    def __init__(
        self, status: int, error: GatewayError, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(error.message)
        self.status = status
        self.error = error
        self.headers = headers or {}


def bad_request(message: str, status: int = 400) -> HttpError:
    """Refuse a request for what it says."""
    return HttpError(status, BadUserInputError(message))
