"""GraphQL documents: grown from the schema, damaged a little, or thrown together."""

import re
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    GraphQLArgument,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    get_named_type,
    is_leaf_type,
    is_required_argument,
)
from hypothesis import strategies as st

from tests.hostile.values import Known, literal, values

DEEPEST = 4
_TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|\.\.\.|\w+|[^\s\w]')
SOUP = [
    *'{}()[]:!=|&@$"#,',
    *["...", '"""', "query", "mutation", "subscription", "fragment", "on", "@skip", "$a"],
    *["true", "null", "0", "-1", "1.5e9", '"x"', "\ufeff", "__schema", "__typename", "Query"],
    *["node", "nodes", "id", "audienceGenerationJobs", "first", "after"],
]


@dataclass
class Document:
    """A document and the values of its variables."""

    query: str
    variables: dict[str, Any] = field(default_factory=dict)


class _Gardener:
    """Grows one document that the schema allows."""

    def __init__(self, draw: st.DrawFn, schema: GraphQLSchema, known: Known) -> None:
        self._draw = draw
        self._schema = schema
        self._known = known
        self._declared: list[str] = []
        self._given: dict[str, Any] = {}
        self._aliases = 0

    def document(self) -> Document:
        """Grow it."""
        root = self._schema.query_type
        assert root is not None
        selections = self._selections(root, DEEPEST)
        declared = f"({', '.join(self._declared)})" if self._declared else ""
        return Document(f"query Fuzz{declared} {selections}", self._given)

    def _selections(self, of: Any, depth: int, *, aliased: bool = False) -> str:
        if isinstance(of, GraphQLUnionType | GraphQLInterfaceType):
            return f"{{ __typename {self._fragments(of, depth)} }}"
        assert isinstance(of, GraphQLObjectType)
        fitting = [
            name
            for name, each in of.fields.items()
            if name != "_service" and (depth > 0 or is_leaf_type(get_named_type(each.type)))
        ]
        names = (
            self._draw(st.lists(st.sampled_from(fitting), max_size=4, unique=True))
            if fitting
            else []
        )
        grown = [self._field(name, of.fields[name], depth, aliased=aliased) for name in names]
        return f"{{ {' '.join(grown) or '__typename'} }}"

    def _fragments(self, of: Any, depth: int) -> str:
        possible = sorted(self._schema.get_possible_types(of), key=lambda each: each.name)
        chosen = self._draw(st.lists(st.sampled_from(possible), max_size=2))
        # Two types may have a field of one name with different types, hence the aliases.
        return " ".join(
            f"... on {each.name} {self._selections(each, depth, aliased=True)}" for each in chosen
        )

    def _field(self, name: str, of: GraphQLField, depth: int, *, aliased: bool) -> str:
        self._aliases += 1
        alias = f"a{self._aliases}: " if aliased or self._draw(st.integers(0, 9)) == 0 else ""
        given = [
            f"{key}: {self._value(key, argument)}"
            for key, argument in of.args.items()
            if key == "first"
            or is_required_argument(argument)
            or self._draw(st.integers(0, 3)) == 0
        ]
        arguments = f"({', '.join(given)})" if given else ""
        inner = get_named_type(of.type)
        below = "" if is_leaf_type(inner) else self._selections(inner, depth - 1, aliased=aliased)
        return f"{alias}{name}{arguments}{self._directive()} {below}"

    def _value(self, name: str, argument: GraphQLArgument) -> str:
        value = self._draw(values(argument.type, name, self._known))
        if self._draw(st.integers(0, 2)):
            return literal(value)
        variable = f"v{len(self._declared)}"
        self._declared.append(f"${variable}: {argument.type}")
        self._given[variable] = value
        return f"${variable}"

    def _directive(self) -> str:
        return self._draw(st.sampled_from(["", "", "", " @include(if: true)", " @skip(if: false)"]))


@st.composite
def grown(draw: st.DrawFn, schema: GraphQLSchema, known: Known) -> Document:
    """Give documents that are valid."""
    return _Gardener(draw, schema, known).document()


@st.composite
def damaged(draw: st.DrawFn, schema: GraphQLSchema, known: Known) -> Document:
    """Give documents that were valid before a token or two were changed."""
    document = draw(grown(schema, known))
    tokens = _TOKEN.findall(document.query)
    for _ in range(draw(st.integers(1, 2))):
        place = draw(st.integers(0, len(tokens) - 1))
        tokens[place] = draw(st.sampled_from(["", f"{tokens[place]} {tokens[place]}", *SOUP]))
    return Document(" ".join(tokens), document.variables)


soups = st.lists(st.sampled_from(SOUP) | st.text(max_size=5), max_size=40).map(
    lambda tokens: Document(" ".join(tokens))
)
