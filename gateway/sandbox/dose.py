"""What one switched-on fault was given to act with."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from random import Random

from gateway.sandbox.questions import Answer, Proceed, Question

_SEED = 20260102


@dataclass(frozen=True, slots=True)
class Dose:
    """The settings of a fault, checked when it was switched on, and the event of its end.

    For faults that are not the same each time: a chance that is the same in each run, and turns.
    """

    settings: Mapping[str, object]
    healed: asyncio.Event = field(default_factory=asyncio.Event)
    chance: Random = field(default_factory=lambda: Random(_SEED))  # noqa: S311 - no secret
    turns: Iterator[int] = field(default_factory=count)

    def text(self, name: str) -> str:
        """Give a setting that is text."""
        return str(self.settings[name])

    def integer(self, name: str) -> int:
        """Give a setting that is a whole number."""
        value = self.settings[name]
        if not isinstance(value, int):
            raise TypeError(f"{name} is not a whole number")
        return value

    def number(self, name: str) -> float:
        """Give a setting that is any number, such as a time in seconds."""
        value = self.settings[name]
        if not isinstance(value, int | float):
            raise TypeError(f"{name} is not a number")
        return value


Act = Callable[[Question, Proceed, Dose], Awaitable[Answer]]
