"""The cost of an operation, estimated before anything is executed.

The estimate assumes full pages, so a shorter list costs less. A linked object counts once, however
many rows link to it. `cost_compiler` makes an OperationCost of the text once for what `@skip` and
`@include` leave of it; its estimate depends on the variables of a request.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from gateway.errors import LimitExceededError
from gateway.graph.node import ENTITY_TYPES, RESOURCE_TYPES, from_global_id
from gateway.settings import Settings
from gateway.upstream.loader import DETAIL_CALLS, PAGE_CALLS
from gateway.upstream.values import PAGE_SIZE

Variables = Mapping[str, Any]

Amount = Callable[[Variables], int]
"""A number that variables decide, such as that of the rows of a connection."""


@dataclass(frozen=True, slots=True)
class EstimatedCost:
    pages: int
    """Pages of root connections."""
    details: int
    """Calls per object or row: Get calls, and pages of nested connections."""
    fields: int
    """Fields, and scalars in lists, of the response; those of a row count once per row."""

    def check(self, settings: Settings) -> None:
        """Raise LimitExceededError if the cost exceeds a limit."""
        for calls, each in ((self.pages, PAGE_CALLS), (self.details, DETAIL_CALLS)):
            limit = getattr(settings, each.setting)
            if calls > limit:
                message = each.exceeded("may need", str(calls), limit)
                raise LimitExceededError(message, limit=each.name)
        if self.fields > settings.limit_fields:
            raise LimitExceededError(
                f"The response might have {self.fields} fields, counting those of each row and the "
                f"longest lists that AWS allows. Accepted: up to {settings.limit_fields} "
                "(GATEWAY_LIMIT_FIELDS). Request fewer rows, or fewer fields of each.",
                limit="fields",
            )


@dataclass(slots=True)
class SelectedObjects:
    """Objects of one type, by what is selected of them."""

    needs_call: bool = False
    """Whether each object is fetched by a call of its own."""
    links: list["SelectedObjects"] = field(default_factory=list)
    lists: list["SelectedList"] = field(default_factory=list)

    def details(self, number: int, variables: Variables) -> int:
        """Return the calls per object for this number of objects."""
        return (number if self.needs_call else 0) + self.details_below(number, variables)

    def details_below(self, number: int, variables: Variables) -> int:
        """Return the calls for what is selected below this number of objects."""
        total = 0
        if not number:
            return total
        for link in self.links:
            total += link.details(1, variables)
        for each in self.lists:
            pages, details = _cost_of(each, number, variables)
            # At least one, also of no rows: each list is work, and may be counted.
            total += number * max(1, pages) + details
        return total


class SelectedConnection(NamedTuple):
    rows: Amount
    nodes: SelectedObjects


SelectedList: TypeAlias = list[SelectedConnection]
"""Connections that show items of the same list, whose pages are read once."""


def _cost_of(selected: SelectedList, number: int, variables: Variables) -> tuple[int, int]:
    """Return the pages of a list, and the calls per row if there is this number of such lists."""
    most = details = 0
    for connection in selected:
        rows = connection.rows(variables)
        most = max(most, rows)
        details += connection.nodes.details(number * rows, variables)
    return math.ceil(most / PAGE_SIZE), details


class SelectedNamedObjects(NamedTuple):
    """The objects of a field that ids or representations name."""

    entries: Callable[[Variables], list[Any]]
    of_type: Callable[[str], tuple[SelectedObjects, "FieldCount"]]
    """Returns what is selected of the objects of a type, and the fields of each."""


NamedKey = tuple[str, str]
"""The type name and the key of an object."""


def _named_by(entries: list[Any]) -> Iterator[NamedKey]:
    """Yield the object that each id or representation names; it need not be valid."""
    for each in entries:
        if isinstance(each, dict):
            found = _represented_by(each)
        else:
            found = from_global_id(each) if isinstance(each, str) else None
        if found is not None and found[0] in ENTITY_TYPES:
            yield found


def _represented_by(representation: dict[str, Any]) -> NamedKey | None:
    type_name = representation.get("__typename")
    entity = ENTITY_TYPES.get(type_name) if isinstance(type_name, str) else None
    for member in entity.keys if entity else ():
        value = representation.get(member)
        if entity and isinstance(value, str):
            is_global_id = member == "id" and entity.name in RESOURCE_TYPES
            return from_global_id(value) if is_global_id else (entity.name, value)
    return None


class _NamedByType:
    """What a list of ids or representations names."""

    def __init__(self, entries: list[Any]) -> None:
        self.entries: Counter[str] = Counter()
        """Type name -> how many entries name an object of the type."""
        self.keys: dict[str, set[str]] = {}
        """Type name -> the keys of these objects."""
        for type_name, key in _named_by(entries):
            self.entries[type_name] += 1
            self.keys.setdefault(type_name, set()).add(key)


@dataclass(slots=True)
class FieldCount:
    """A number of fields: a constant, and products of other numbers with amounts."""

    constant: int = 0
    products: list[tuple[Amount, "FieldCount"]] = field(default_factory=list)

    def add(self, other: "FieldCount", times: Amount) -> None:
        """Add the other number multiplied by an amount."""
        self.products.append((times, other))

    def add_constant(self, other: "FieldCount", times: int = 1) -> None:
        """Add the other number multiplied by a constant."""
        self.constant += times * other.constant
        self.products += [(_times(times, amount), below) for amount, below in other.products]

    def number(self, variables: Variables) -> int:
        total = self.constant
        for amount, other in self.products:
            total += amount(variables) * other.number(variables)
        return total


def _times(constant: int, amount: Amount) -> Amount:
    return amount if constant == 1 else lambda variables: constant * amount(variables)


@dataclass(frozen=True, slots=True)
class OperationCost:
    """The cost of one operation, for any variables."""

    defaults: Variables
    fields: FieldCount
    lists: list[SelectedList] = field(default_factory=list)
    objects: list[SelectedObjects] = field(default_factory=list)
    named_objects: list[SelectedNamedObjects] = field(default_factory=list)

    def estimate(self, variables: Variables) -> EstimatedCost:
        """Estimate the cost with these variables, which need not be valid."""
        variables = {**self.defaults, **variables}
        pages = details = 0
        for each in self.lists:
            pages_of_list, details_of_rows = _cost_of(each, 1, variables)
            pages += pages_of_list
            details += details_of_rows
        for objects in self.objects:
            details += objects.details(1, variables)
        named_details, named_fields = self._cost_of_named(variables)
        fields = self.fields.number(variables) + named_fields
        return EstimatedCost(pages, details + named_details, fields)

    def _cost_of_named(self, variables: Variables) -> tuple[int, int]:
        """Return the calls for named objects, and their fields.

        Each is fetched once, in however many places.
        """
        details = fields = 0
        lists = [each.entries(variables) for each in self.named_objects]
        # Aliases of one field may all have the same list of thousands, that of a variable.
        named = {
            key: _NamedByType(each) for key, each in {id(each): each for each in lists}.items()
        }
        called: dict[tuple[int, str], set[str]] = {}
        for each, entries in zip(self.named_objects, lists, strict=True):
            fields += len(entries)
            by_type = named[id(entries)]
            for type_name, keys in by_type.keys.items():
                objects, fields_of_each = each.of_type(type_name)
                fields += by_type.entries[type_name] * fields_of_each.number(variables)
                details += objects.details_below(len(keys), variables)
                if objects.needs_call:
                    called[id(entries), type_name] = keys
        calls = {(type_name, key) for (_, type_name), keys in called.items() for key in keys}
        return details + len(calls), fields
