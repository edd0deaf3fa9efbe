"""Clocks that tests move by hand."""

from datetime import UTC, datetime, timedelta


class Clock:
    """A clock in seconds; `now` moves by assignment."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class DateClock:
    """A clock in dates and times."""

    def __init__(self, now: datetime | None = None) -> None:
        """`now` None means the present."""
        self.now = now or datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **duration: float) -> None:
        self.now += timedelta(**duration)
