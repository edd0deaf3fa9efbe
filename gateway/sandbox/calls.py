"""What the sandbox was asked: a short memory of calls, for tests and the curious."""

from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass

_REMEMBERED_CALLS = 10_000


@dataclass(slots=True)
class Call:
    """One call; the status is unknown until it is answered, and stays so if it never is."""

    operation: str | None
    parameters: Mapping[str, object]
    request_id: str
    access_key_id: str | None = None
    region: str | None = None
    status: int | None = None


class CallLog:
    """The most recent calls, oldest first."""

    def __init__(self) -> None:
        self._calls: deque[Call] = deque(maxlen=_REMEMBERED_CALLS)

    def add(self, call: Call) -> None:
        """Remember a call from its beginning, so that one that hangs is seen too."""
        self._calls.append(call)

    def clear(self) -> int:
        """Forget all calls, and say how many there were."""
        count = len(self._calls)
        self._calls.clear()
        return count

    def describe(self) -> list[dict[str, object]]:
        """Give the calls as JSON values."""
        return [asdict(call) for call in self._calls]
