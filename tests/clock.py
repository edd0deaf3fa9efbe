"""A clock for tests of what happens in time."""


class Clock:
    """A clock moved by hand, in seconds."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """Give its time."""
        return self.now
