"""Answers, cut to the shape that the service model gives them."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape

from gateway.sandbox.model import operation_model

# Any: JSON values, whose kind the shape knows and the type checker cannot.
Shaper = Callable[[Any], Any]

MILLISECONDS = 1000


@cache
def output_shaper(operation: str) -> Shaper:
    """Give the function that shapes a whole answer."""
    shape = operation_model(operation).output_shape
    if shape is None:
        raise LookupError(f"{operation} has no output")
    return _shaper(shape)


@cache
def row_shaper(operation: str, member: str) -> Shaper:
    """Give the function that shapes one item of a list answer."""
    shape = operation_model(operation).output_shape
    rows = shape.members[member] if shape else None
    if not isinstance(rows, ListShape):
        raise TypeError(f"{operation} has no list {member}")
    return _shaper(rows.member)


def iso8601(milliseconds: int) -> str:
    """Write a moment as AWS does: UTC, three decimals and a Z."""
    moment = datetime.fromtimestamp(milliseconds / MILLISECONDS, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _shaper(shape: Shape) -> Shaper:
    if isinstance(shape, StructureShape):
        return _structure_shaper(shape)
    if isinstance(shape, ListShape):
        item = _shaper(shape.member)
        return lambda values: [item(value) for value in values]
    if isinstance(shape, MapShape):
        entry = _shaper(shape.value)
        return lambda values: {key: entry(value) for key, value in values.items()}
    if shape.type_name == "timestamp":
        return _timestamp_shaper(shape)
    return lambda value: value


def _structure_shaper(shape: StructureShape) -> Shaper:
    members = [
        (name, member.serialization.get("name", name), _shaper(member))
        for name, member in shape.members.items()
    ]
    required = frozenset(shape.required_members)

    def shaped(value: dict[str, Any]) -> dict[str, Any]:
        if not required <= value.keys():
            raise KeyError(f"{shape.name} lacks {sorted(required - value.keys())}")
        return {sent: shaper(value[name]) for name, sent, shaper in members if name in value}

    return shaped


def _timestamp_shaper(shape: Shape) -> Shaper:
    # REST-JSON sends Unix seconds unless the shape names another format.
    if shape.serialization.get("timestampFormat", "unixTimestamp") == "iso8601":
        return iso8601
    return lambda milliseconds: milliseconds / MILLISECONDS
