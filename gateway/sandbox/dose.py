"""What one switched-on fault was given to act with."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from gateway.sandbox.questions import Answer, Proceed, Question


@dataclass(frozen=True, slots=True)
class Dose:
    """The settings of a fault, checked when it was switched on, and the event of its end."""

    settings: Mapping[str, object]
    healed: asyncio.Event = field(default_factory=asyncio.Event)

    def text(self, name: str) -> str:
        """Give a setting that is text."""
        return str(self.settings[name])

    def integer(self, name: str) -> int:
        """Give a setting that is a whole number."""
        value = self.settings[name]
        if not isinstance(value, int):
            raise TypeError(f"{name} is not a whole number")
        return value

    def seconds(self, name: str) -> float:
        """Give a setting that is a time."""
        value = self.settings[name]
        if not isinstance(value, int | float):
            raise TypeError(f"{name} is not a number")
        return value


Act = Callable[[Question, Proceed, Dose], Awaitable[Answer]]
