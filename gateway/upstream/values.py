"""The question and the answer that pass between the graph and the upstream."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Item = Mapping[str, Any]
"""One object as the upstream describes it, by its own member names. Nobody changes it."""

PAGE_SIZE = 100
"""Items asked of the upstream at once: its maximum, so that one page serves every `first`."""


@dataclass(frozen=True, slots=True)
class Listing:
    """A list of the upstream in one region: which operation, narrowed by which filters."""

    operation: str
    region: str
    filters: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class PageRequest:
    """One page of a listing: the one behind `token`, or the first."""

    listing: Listing
    token: str | None


@dataclass(frozen=True, slots=True)
class Page:
    """One answer of a list operation. May be short or empty and still carry a token."""

    items: list[Item]
    next_token: str | None


@dataclass(frozen=True, slots=True)
class ItemRequest:
    """One object of the upstream, by the parameters of its Get operation."""

    operation: str
    region: str
    parameters: tuple[tuple[str, str], ...]
