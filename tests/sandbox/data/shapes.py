"""Whether JSON satisfies a shape of the service model, judged apart from the sandbox's own code."""

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


def faults_of(value: Any, shape: Shape, path: str = "$") -> Iterator[str]:
    """Name every way in which the value is not what the shape says."""
    if isinstance(value, KINDS[shape.type_name]):
        yield from _constraints(value, shape, path)
        yield from _members(value, shape, path)
    else:
        yield f"{path} is no {shape.type_name}"


def _members(value: Any, shape: Shape, path: str) -> Iterator[str]:
    if isinstance(shape, StructureShape):
        for name in value.keys() - shape.members.keys():
            yield f"{path}.{name} is not in the model"
        for name in set(shape.required_members) - value.keys():
            yield f"{path}.{name} is missing"
        for name in value.keys() & shape.members.keys():
            yield from faults_of(value[name], shape.members[name], f"{path}.{name}")
    elif isinstance(shape, ListShape):
        for number, item in enumerate(value):
            yield from faults_of(item, shape.member, f"{path}[{number}]")
    elif isinstance(shape, MapShape):
        for key, item in value.items():
            yield from faults_of(key, shape.key, f"{path}[{key}] as key")
            yield from faults_of(item, shape.value, f"{path}[{key}]")


def _constraints(value: Any, shape: Shape, path: str) -> Iterator[str]:
    size = value if isinstance(value, int | float) else len(value)
    if not shape.metadata.get("min", size) <= size <= shape.metadata.get("max", size):
        yield f"{path} is outside its bounds"
    if shape.type_name == "timestamp" and not TIMESTAMP.fullmatch(value):
        yield f"{path} is no ISO 8601 time"
    if isinstance(shape, StringShape) and shape.enum and value not in shape.enum:
        yield f"{path} is none of the enum"
    pattern = shape.metadata.get("pattern", ".*" if isinstance(value, str) else None)
    # The name patterns allow every character through pairs of surrogates, which Python has not.
    if pattern and "uD800" not in pattern and not re.fullmatch(pattern, value, re.DOTALL):
        yield f"{path} does not match {pattern}"
