"""Validation of JSON against a shape of the service model, independent of the sandbox."""

import re
from collections.abc import Iterator
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StringShape, StructureShape

KINDS: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "double": (int, float),
    "boolean": bool,
    "timestamp": str,
    "structure": dict,
    "list": list,
    "map": dict,
}
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def violations(value: Any, shape: Shape, path: str = "$") -> Iterator[str]:
    """Yield each way in which a value violates its shape."""
    if isinstance(value, KINDS[shape.type_name]):
        yield from _constraints(value, shape, path)
        yield from _members(value, shape, path)
    else:
        yield f"{path} is not a {shape.type_name}"


def _members(value: Any, shape: Shape, path: str) -> Iterator[str]:
    if isinstance(shape, StructureShape):
        for name in value.keys() - shape.members.keys():
            yield f"{path}.{name} is not in the model"
        for name in set(shape.required_members) - value.keys():
            yield f"{path}.{name} is missing"
        for name in value.keys() & shape.members.keys():
            yield from violations(value[name], shape.members[name], f"{path}.{name}")
    elif isinstance(shape, ListShape):
        for number, item in enumerate(value):
            yield from violations(item, shape.member, f"{path}[{number}]")
    elif isinstance(shape, MapShape):
        for key, item in value.items():
            yield from violations(key, shape.key, f"{path}[{key}] as key")
            yield from violations(item, shape.value, f"{path}[{key}]")


def _constraints(value: Any, shape: Shape, path: str) -> Iterator[str]:
    size = value if isinstance(value, int | float) else len(value)
    if not shape.metadata.get("min", size) <= size <= shape.metadata.get("max", size):
        yield f"{path} is outside its bounds"
    if shape.type_name == "timestamp" and not TIMESTAMP.fullmatch(value):
        yield f"{path} is not an ISO 8601 time"
    if isinstance(shape, StringShape) and shape.enum and value not in shape.enum:
        yield f"{path} is not in the enum"
    pattern = shape.metadata.get("pattern", ".*" if isinstance(value, str) else None)
    # The name patterns allow every character through surrogate pairs, which Python strings lack.
    if pattern and "uD800" not in pattern and not re.fullmatch(pattern, value, re.DOTALL):
        yield f"{path} does not match {pattern}"
