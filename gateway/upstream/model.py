"""Checks of inputs and responses against botocore's service model of Clean Rooms ML.

Responses are checked here because the client bypasses botocore's parser.
"""

import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from itertools import chain
from typing import Any

from botocore.loaders import Loader
from botocore.model import ServiceModel, StructureShape

from gateway.errors import BadUserInputError, UpstreamInvalidResponseError

SERVICE = "cleanroomsml"

STRING_ONLY = frozenset({str})

USUAL_TIMESTAMPS = frozenset({b"0000-00-00T00:00:00Z", b"0000-00-00T00:00:00.000Z"})
"""The forms of the timestamps that AWS sends, with 0 for any digit. Both are RFC 3339."""

_DIGITS_TO_ZEROS = bytes.maketrans(b"123456789", b"000000000")


@cache
def model_loader() -> Loader:
    """Load only the models that botocore ships, not those in a home directory."""
    return Loader(extra_search_paths=[Loader.BUILTIN_DATA_PATH], include_default_search_paths=False)


@cache
def service_model() -> ServiceModel:
    description: Any = model_loader().load_service_model(SERVICE, "service-2")
    return ServiceModel(description, service_name=SERVICE)


@dataclass(frozen=True, slots=True)
class Constraint:
    """The length in characters and the pattern of a string."""

    minimum: int
    maximum: int | None
    pattern: re.Pattern[str] | None

    def accepts(self, value: str) -> bool:
        # Length first: the pattern must not be matched against a string of unlimited length.
        if len(value) < self.minimum or (self.maximum is not None and len(value) > self.maximum):
            return False
        return self.pattern is None or self.pattern.fullmatch(value) is not None

    def __str__(self) -> str:
        if self.minimum == self.maximum:
            length = f"{self.minimum} characters"
        else:
            length = f"{self.minimum} to {self.maximum} characters"
        return length if self.pattern is None else f"{length} matching {self.pattern.pattern}"


@cache
def input_constraint(operation: str, member: str) -> Constraint:
    """Return the constraint on an input member of an operation."""
    return _constraint(input_shape(operation).members[member].metadata)


@cache
def output_constraint(operation: str, member: str) -> Constraint:
    """Return the constraint on a member of the objects that an operation returns."""
    return _constraint(_row(operation)[1].members[member].metadata)


def _constraint(metadata: Mapping[str, Any]) -> Constraint:
    pattern = metadata.get("pattern")
    return Constraint(
        metadata.get("min", 0), metadata.get("max"), re.compile(pattern) if pattern else None
    )


def check_input(operation: str, member: str, value: str, *, argument: str) -> str:
    """Return the value if the upstream accepts it.

    Raises BadUserInputError, which names the GraphQL argument and what is accepted.
    """
    accepted = input_constraint(operation, member)
    if not accepted.accepts(value):
        raise BadUserInputError(f"`{argument}` is not valid. Accepted: {accepted}.")
    return value


@dataclass(frozen=True, slots=True)
class RowShape:
    """What the service model says of each object in a response."""

    list_member: str | None
    """The response member that lists the objects; None if the response is the object."""
    strings: tuple[str, ...]
    """Timestamps included: the protocol sends them as strings."""
    timestamps: tuple[str, ...]
    required: frozenset[str]
    members: frozenset[str]


@cache
def row_shape(operation: str) -> RowShape:
    """Return the shape of the objects that a List or Get operation returns."""
    list_member, row = _row(operation)
    members: Mapping[str, Any] = row.members
    timestamps = tuple(name for name in members if members[name].type_name == "timestamp")
    strings = tuple(name for name in members if members[name].type_name == "string")
    return RowShape(
        list_member,
        strings + timestamps,
        timestamps,
        frozenset(row.required_members),
        frozenset(members),
    )


def _row(operation: str) -> tuple[str | None, Any]:
    shape: Any = service_model().operation_model(operation).output_shape
    if not operation.startswith("List"):
        return None, shape
    return next((n, s.member) for n, s in shape.members.items() if s.type_name == "list")


def object_shape(operation: str) -> StructureShape:
    """Return the shape of the objects that a List or Get operation returns."""
    shape: StructureShape = _row(operation)[1]
    return shape


def input_shape(operation: str) -> StructureShape:
    shape = service_model().operation_model(operation).input_shape
    assert shape is not None  # noqa: S101  each operation of this service has inputs
    return shape


def parse_list(operation: str, response: dict[str, Any]) -> tuple[list[Any], str | None]:
    """Return the objects and the next token of a List response.

    Raises UpstreamInvalidResponseError if any object is invalid: skipping it would hide an
    object without a trace.
    """
    shape = row_shape(operation)
    assert shape.list_member is not None  # noqa: S101  a List operation lists something
    rows, token = response.get(shape.list_member), response.get("nextToken")
    if type(rows) is not list:
        raise invalid_response(f"`{shape.list_member}` is not a list")
    if token is not None and type(token) is not str:
        raise invalid_response("`nextToken` is not a string")
    if not _are_usual(shape, rows):
        for row in rows:
            _check(shape, row)
    return rows, token or None  # some services end a list with an empty token


def parse_item(operation: str, response: dict[str, Any]) -> dict[str, Any]:
    """Return the object that a Get response is; raises as parse_list does."""
    _check(row_shape(operation), response)
    return response


def _are_usual(shape: RowShape, rows: list[Any]) -> bool:
    """Return whether all rows pass `_check`, and stay as they are, because nothing is unusual.

    Nearly all pages contain only objects of strings, with usual timestamps. It is faster to find
    this out for all rows at once. Of others, nothing is known.
    """
    if set(map(type, rows)) != {dict}:
        return False
    values = chain.from_iterable(map(dict.values, rows))
    names_of_rows = set(map(tuple, rows))
    return (
        STRING_ONLY.issuperset(map(type, values))
        and all(shape.required.issubset(names) for names in names_of_rows)
        and are_usual_timestamps(
            [row[name] for name in shape.timestamps for row in rows if name in row]
        )
    )


def _check(shape: RowShape, row: Any) -> None:
    if type(row) is not dict:
        raise invalid_response("a list element is not an object")
    _check_members(shape, row)
    for name in shape.timestamps:
        value = row.get(name)
        if value is not None:
            try:
                row[name] = normalize_timestamp(value)
            except (ValueError, OverflowError) as error:
                raise invalid_response(f"`{name}` is not a timestamp") from error


def _check_members(shape: RowShape, row: dict[str, Any]) -> None:
    for name in shape.required:
        if row.get(name) is None:
            raise invalid_response(f"an object has no `{name}`")
    for name in shape.strings:
        value = row.get(name)
        if value is not None and type(value) is not str:
            raise invalid_response(f"`{name}` is not a string")


def check_not_repeated(token: str, seen: set[str]) -> None:
    """Add a page token to those seen; raises UpstreamInvalidResponseError if it is one of them."""
    if token in seen:
        raise UpstreamInvalidResponseError("Clean Rooms ML repeated a page token.")
    seen.add(token)


def invalid_response(reason: str) -> UpstreamInvalidResponseError:
    return UpstreamInvalidResponseError(f"Clean Rooms ML returned an invalid response: {reason}.")


def are_usual_timestamps(texts: list[str]) -> bool:
    """Return whether all texts are valid timestamps in a form that AWS usually sends."""
    try:
        forms = "\n".join(texts).encode().translate(_DIGITS_TO_ZEROS).split(b"\n")
        deque(map(datetime.fromisoformat, texts), maxlen=0)
    except ValueError:
        return False
    return USUAL_TIMESTAMPS.issuperset(forms)


def normalize_timestamp(text: str) -> str:
    """Check a timestamp and return it in RFC 3339 form. It stays text, as few readers compare it.

    Raises ValueError if it is invalid, OverflowError at either end of the calendar.
    """
    if are_usual_timestamps([text]):
        return text
    # Python also reads forms of ISO 8601 that RFC 3339 excludes: week dates, commas, no separators.
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
