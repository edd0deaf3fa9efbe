"""Texts are parsed as graphql-core parses them, and leave nothing to the garbage collector."""

import gc

import graphql
import pytest
from graphql import GraphQLSyntaxError, Source, Token, get_introspection_query
from hypothesis import given
from hypothesis import strategies as st

from gateway.graph.execution.parsing import IndexedSource, parse

MAX_TOKENS = 400

TEXTS = [
    get_introspection_query(),
    "query Q($a: [Int!] = [1, 2], $b: I = {c: 1}) { f(x: $a, y: -1.5e3, z: V) @include(if: true) }",
    '{ a(b: """c\n d""", e: "f") }',
    "# a comment\n{ a # another\n ...F ... on T { b } } # and\n# more\nfragment F on T { c: d }",
    "{ a {",
    "{ a(b: ) }",
    "{ a } }",
    "{ " * 2000,
    "a " * 500,
    '{ a(b: "unended) }',
]


def parsed(text: str, *, stock: bool) -> object:
    """Return the document with the place of each node, or the error with its own."""
    try:
        if stock:
            return graphql.parse(text, max_tokens=MAX_TOKENS).to_dict(locations=True)
        return parse(text, max_tokens=MAX_TOKENS).to_dict(locations=True)
    except GraphQLSyntaxError as error:
        return error.formatted


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_parsed_as_graphql_core_does(text: str) -> None:
    assert parsed(text, stock=False) == parsed(text, stock=True)


WORDS = [*"{}()ab$:!1@[]", '"c"', "...", "on", "query", "fragment", "#\n"]


@given(st.lists(st.sampled_from(WORDS)))
def test_any_words_are_parsed_as_graphql_core_does(words: list[str]) -> None:
    text = " ".join(words)
    assert parsed(text, stock=False) == parsed(text, stock=True)


@given(st.text(alphabet="\n\r \u2028a", max_size=40), st.data())
def test_an_indexed_source_locates_as_graphql_core_does(text: str, data: st.DataObject) -> None:
    indexed = IndexedSource(text)

    for position in data.draw(st.lists(st.integers(0, len(text) + 1))):
        assert indexed.get_location(position) == Source(text).get_location(position)


@pytest.mark.parametrize("text", TEXTS)
def test_no_token_is_left_to_the_garbage_collector(text: str) -> None:
    gc.collect()
    before = tokens()
    gc.disable()
    try:
        parsed(text, stock=False)
        assert tokens() == before
    finally:
        gc.enable()


def tokens() -> int:
    return sum(type(each) is Token for each in gc.get_objects())
