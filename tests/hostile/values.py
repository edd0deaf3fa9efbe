"""Random values for arguments: of the right type, and often from earlier responses."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLScalarType,
    is_required_input_field,
)
from hypothesis import strategies as st

from gateway.graph.node import ENTITY_TYPES

Values = st.SearchStrategy[Any]


class EnumValue(str):
    """A text that a document has without quotes."""

    __slots__ = ()


@dataclass(frozen=True)
class Known:
    """Values from earlier responses."""

    cursors: list[str]
    ids: list[str]
    arns: list[str]


@st.composite
def mutated(draw: st.DrawFn, texts: list[str]) -> str:
    """Change, add or delete a character."""
    text = draw(st.sampled_from(texts))
    place = draw(st.integers(0, len(text) - 1))
    change = draw(st.text(max_size=2) | st.sampled_from(["", "A", "_", "=", "%", "/"]))
    return text[:place] + change + text[place + draw(st.integers(0, 1)) :]


def values(of: GraphQLInputType, name: str, known: Known) -> Values:
    """Values of this type for an argument or input field of this name."""
    if isinstance(of, GraphQLNonNull):
        return _some(of.of_type, name, known)
    return st.none() | _some(of, name, known)


def _some(of: Any, name: str, known: Known) -> Values:
    if isinstance(of, GraphQLList):
        return st.lists(values(of.of_type, name, known), max_size=4)
    if isinstance(of, GraphQLEnumType):
        return st.sampled_from([EnumValue(value) for value in of.values])
    if isinstance(of, GraphQLInputObjectType):
        members = {key: values(member.type, key, known) for key, member in of.fields.items()}
        required = [key for key, member in of.fields.items() if is_required_input_field(member)]
        return st.fixed_dictionaries({key: members.pop(key) for key in required}, optional=members)
    assert isinstance(of, GraphQLScalarType), of
    return _scalars(of.name, name, known)


def _scalars(scalar: str, name: str, known: Known) -> Values:
    kinds: dict[str, Callable[[], Values]] = {
        "Int": lambda: st.sampled_from([0, 1, 2, 3, 3, -1, 501, -(2**31), 2**31 - 1]),
        "Boolean": st.booleans,
        "DateTime": lambda: st.datetimes().map(lambda moment: f"{moment.isoformat()}Z"),
        "_Any": lambda: _representations(known),
    }
    return kinds[scalar]() if scalar in kinds else _texts(name, known)


def _texts(name: str, known: Known) -> Values:
    if name in {"after", "before"}:
        return st.sampled_from(known.cursors) | mutated(known.cursors) | st.text(max_size=20)
    if name in {"id", "ids"}:
        return st.sampled_from(known.ids) | mutated(known.ids) | st.text(max_size=20)
    if name.endswith("Arn"):
        return st.sampled_from(known.arns) | mutated(known.arns) | st.text(max_size=20)
    if name == "region":
        return st.sampled_from(["us-east-1", "eu-west-1", "x.example/#"])
    return st.text(max_size=20)


def _representations(known: Known) -> Values:
    keys = {name: entity.keys for name, entity in ENTITY_TYPES.items()}
    keys |= {"Query": ["id"], "x": ["id", "audienceGenerationJobArn"]}

    def named(type_name: str) -> Values:
        return st.fixed_dictionaries(
            {"__typename": st.just(type_name)},
            optional={
                **{key: _texts(key, known) | st.none() | st.integers() for key in keys[type_name]},
                "x": st.lists(st.none(), max_size=2),
            },
        )

    return st.sampled_from(sorted(keys)).flatmap(named) | st.just({})


def literal(value: Any) -> str:
    """Write a value as a GraphQL literal."""
    if isinstance(value, EnumValue):
        return str(value)
    if isinstance(value, list):
        return f"[{', '.join(map(literal, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {literal(member)}' for key, member in value.items())}}}"
    return json.dumps(value)


def texts_in(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield each text in a JSON value, with the name of its member."""
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, dict):
        for key, member in value.items():
            yield from texts_in(member, key)
    elif isinstance(value, list):
        for member in value:
            yield from texts_in(member, name)
