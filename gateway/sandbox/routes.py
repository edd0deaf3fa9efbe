"""Which operation a method and a raw path ask for."""

import re
from dataclasses import dataclass
from urllib.parse import unquote

from gateway.sandbox.model import OPERATIONS, operation_model
from gateway.sandbox.problems import unknown_operation

_PLACEHOLDER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Route:
    """A method and a pattern for the path, both from the service model."""

    operation: str
    method: str
    pattern: re.Pattern[str]


def _route(operation: str) -> Route:
    http = operation_model(operation).http
    # An ARN holds slashes, so clients send it percent-encoded, as one segment of the raw path.
    pattern = _PLACEHOLDER.sub(r"(?P<\1>[^/]+)", http["requestUri"])
    return Route(operation, http["method"], re.compile(pattern))


class Routes:
    """Every operation the sandbox answers."""

    def __init__(self) -> None:
        self._routes = [_route(operation) for operation in OPERATIONS]

    def find(self, method: str, raw_path: str) -> tuple[str, dict[str, str]]:
        """Give the operation, and the members its path carries."""
        for route in self._routes:
            found = route.pattern.fullmatch(raw_path)
            if found and route.method == method:
                members = found.groupdict()
                return route.operation, {name: unquote(text) for name, text in members.items()}
        raise unknown_operation()
