"""The input of a call, read from its path and query as the service model says."""

import re
from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl

from botocore.model import Shape

from gateway.sandbox.constraints import violations
from gateway.sandbox.model import input_members, input_shape
from gateway.sandbox.problems import invalid

Inputs = dict[str, str | int]

_INTEGER = re.compile(r"-?[0-9]{1,18}")
_SHOWN_CHARACTERS = 200


def read_inputs(operation: str, path: Mapping[str, str], query: str) -> Inputs:
    """Give every member that was sent, checked; unknown query parameters are ignored, as in AWS."""
    texts = _texts(operation, path, query)
    return checked_inputs(operation, texts, input_members(operation))


def checked_inputs(
    operation: str,
    texts: Mapping[str, str],
    shapes: Mapping[str, Shape],
    spell: Callable[[str], str] = str,
) -> Inputs:
    """Give the texts that have a shape as values; complaints spell the members' names so."""
    inputs: Inputs = {}
    wrong: list[str] = []
    for name, shape in shapes.items():
        if name not in texts:
            continue
        # A secret is not repeated, however wrong it is.
        shown = "***" if shape.metadata.get("sensitive") else texts[name]
        try:
            inputs[name] = _value(texts[name], shape)
        except ValueError as error:
            wrong.append(_complaint(shown, spell(name), str(error)))
        else:
            reasons = violations(inputs[name], shape)
            wrong += [_complaint(shown, spell(name), reason) for reason in reasons]
    wrong += [
        _complaint(None, spell(name), "Member must not be null")
        for name in input_shape(operation).required_members
        if name not in texts
    ]
    if wrong:
        noun = "error" if len(wrong) == 1 else "errors"
        raise invalid(f"{len(wrong)} validation {noun} detected: {'; '.join(wrong)}")
    return inputs


def _texts(operation: str, path: Mapping[str, str], query: str) -> dict[str, str]:
    texts = dict(path)
    named = {
        shape.serialization["name"]: name
        for name, shape in input_members(operation).items()
        if shape.serialization.get("location") == "querystring"
    }
    for key, text in parse_qsl(query, keep_blank_values=True):
        name = named.get(key)
        if name is None:
            continue
        if name in texts:
            raise invalid(f"1 validation error detected: Member '{name}' was sent more than once")
        texts[name] = text
    return texts


def _value(text: str, shape: Shape) -> str | int:
    if shape.type_name != "integer":
        return text
    if not _INTEGER.fullmatch(text):
        raise ValueError("Member must be an integer")
    return int(text)


def _complaint(text: str | None, name: str, reason: str) -> str:
    # A token may be 10,240 characters long; its beginning is enough to recognise it.
    shown = "null" if text is None else f"'{text[:_SHOWN_CHARACTERS]}'"
    return f"Value {shown} at '{name}' failed to satisfy constraint: {reason}"
