"""Whether a value satisfies its shape, with AWS's words for when it does not."""

import re
from collections.abc import Iterator
from functools import cache

from botocore.model import Shape, StringShape

# The models spell the characters beyond the BMP as UTF-16 surrogates, which no Python text holds.
_SURROGATES = r"\uD800\uDBFF-\uDC00\uDFFF"
_BEYOND_BMP = r"\U00010000-\U0010FFFF"


@cache
def compile_pattern(pattern: str) -> re.Pattern[str]:
    r"""Translate a pattern of the model; its `\d` and `\w` know ASCII only, as in Java."""
    return re.compile(pattern.replace(_SURROGATES, _BEYOND_BMP), re.ASCII)


def violations(value: str | float, shape: Shape) -> Iterator[str]:
    """Name each constraint that the value breaks."""
    if isinstance(value, str):
        yield from _bounds(len(value), shape, "length")
        yield from _text(value, shape)
    else:
        yield from _bounds(value, shape, "value")


def _bounds(size: float, shape: Shape, word: str) -> Iterator[str]:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if low is not None and size < low:
        yield f"Member must have {word} greater than or equal to {low}"
    if high is not None and size > high:
        yield f"Member must have {word} less than or equal to {high}"


def _text(value: str, shape: Shape) -> Iterator[str]:
    pattern = shape.metadata.get("pattern")
    if pattern is not None and not compile_pattern(pattern).fullmatch(value):
        yield f"Member must satisfy regular expression pattern: {pattern}"
    if isinstance(shape, StringShape) and shape.enum and value not in shape.enum:
        yield f"Member must satisfy enum value set: [{', '.join(shape.enum)}]"
