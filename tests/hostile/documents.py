"""Random GraphQL documents: valid by the schema, mutated, or of random tokens."""

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

MAX_DEPTH = 4
_TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|\.\.\.|\w+|[^\s\w]')
TOKENS = [
    *'{}()[]:!=|&@$"#,',
    *["...", '"""', "query", "mutation", "subscription", "fragment", "on", "@skip", "$a"],
    *["true", "null", "0", "-1", "1.5e9", '"x"', "\ufeff", "__schema", "__typename", "Query"],
    *["node", "nodes", "id", "audienceGenerationJobs", "first", "after"],
]


@dataclass
class Document:
    query: str
    variables: dict[str, Any] = field(default_factory=dict)


class _DocumentBuilder:
    """Builds one document that the schema allows."""

    def __init__(self, draw: st.DrawFn, schema: GraphQLSchema, known: Known) -> None:
        self._draw = draw
        self._schema = schema
        self._known = known
        self._variables: list[str] = []
        self._variable_values: dict[str, Any] = {}
        self._aliases = 0

    def document(self) -> Document:
        root = self._schema.query_type
        assert root is not None
        selections = self._selections(root, MAX_DEPTH)
        variables = f"({', '.join(self._variables)})" if self._variables else ""
        return Document(f"query Fuzz{variables} {selections}", self._variable_values)

    def _selections(self, of: Any, depth: int, *, aliased: bool = False) -> str:
        if isinstance(of, GraphQLUnionType | GraphQLInterfaceType):
            return f"{{ __typename {self._fragments(of, depth)} }}"
        assert isinstance(of, GraphQLObjectType)
        names_at_depth = [
            name
            for name, each in of.fields.items()
            if name != "_service" and (depth > 0 or is_leaf_type(get_named_type(each.type)))
        ]
        names = (
            self._draw(st.lists(st.sampled_from(names_at_depth), max_size=4, unique=True))
            if names_at_depth
            else []
        )
        fields = [self._field(name, of.fields[name], depth, aliased=aliased) for name in names]
        return f"{{ {' '.join(fields) or '__typename'} }}"

    def _fragments(self, of: Any, depth: int) -> str:
        possible = sorted(self._schema.get_possible_types(of), key=lambda each: each.name)
        chosen = self._draw(st.lists(st.sampled_from(possible), max_size=2))
        # Fields of one name may have different types in two types, hence the aliases.
        return " ".join(
            f"... on {each.name} {self._selections(each, depth, aliased=True)}" for each in chosen
        )

    def _field(self, name: str, of: GraphQLField, depth: int, *, aliased: bool) -> str:
        self._aliases += 1
        alias = f"a{self._aliases}: " if aliased or self._draw(st.integers(0, 9)) == 0 else ""
        arguments = [
            f"{key}: {self._value(key, argument)}"
            for key, argument in of.args.items()
            if key == "first"
            or is_required_argument(argument)
            or self._draw(st.integers(0, 3)) == 0
        ]
        argument_list = f"({', '.join(arguments)})" if arguments else ""
        inner = get_named_type(of.type)
        below = "" if is_leaf_type(inner) else self._selections(inner, depth - 1, aliased=aliased)
        return f"{alias}{name}{argument_list}{self._directive()} {below}"

    def _value(self, name: str, argument: GraphQLArgument) -> str:
        value = self._draw(values(argument.type, name, self._known))
        if self._draw(st.integers(0, 2)):
            return literal(value)
        variable = f"v{len(self._variables)}"
        self._variables.append(f"${variable}: {argument.type}")
        self._variable_values[variable] = value
        return f"${variable}"

    def _directive(self) -> str:
        return self._draw(st.sampled_from(["", "", "", " @include(if: true)", " @skip(if: false)"]))


@st.composite
def valid_documents(draw: st.DrawFn, schema: GraphQLSchema, known: Known) -> Document:
    return _DocumentBuilder(draw, schema, known).document()


@st.composite
def mutated_documents(draw: st.DrawFn, schema: GraphQLSchema, known: Known) -> Document:
    """Documents that were valid before one or two tokens changed."""
    document = draw(valid_documents(schema, known))
    tokens = _TOKEN.findall(document.query)
    for _ in range(draw(st.integers(1, 2))):
        place = draw(st.integers(0, len(tokens) - 1))
        tokens[place] = draw(st.sampled_from(["", f"{tokens[place]} {tokens[place]}", *TOKENS]))
    return Document(" ".join(tokens), document.variables)


token_lists = st.lists(st.sampled_from(TOKENS) | st.text(max_size=5), max_size=40).map(
    lambda tokens: Document(" ".join(tokens))
)
