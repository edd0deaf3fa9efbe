"""Validation in a single pass finds the errors that graphql-core's own validation finds."""

import gc
import re
from typing import Any

import pytest
from graphql import (
    GraphQLError,
    GraphQLScalarType,
    GraphQLSchema,
    NoSchemaIntrospectionCustomRule,
    TypeInfo,
    Visitor,
    parse,
    specified_rules,
    validate,
)
from graphql import (
    build_schema as build_from_sdl,
)
from hypothesis import given
from hypothesis import strategies as st

from gateway.graph.execution.validation import MARKERS, Validator
from gateway.graph.schema import build_schema, executable_schema

SCHEMA = executable_schema(build_schema())
ADDITIONAL = (NoSchemaIntrospectionCustomRule,)
VALIDATOR = Validator(SCHEMA, ADDITIONAL, hide_suggestions=False)
JOBS = "audienceGenerationJobs"


def errors(text: str, max_errors: int = 4) -> tuple[list[str], list[str]]:
    """Return the errors of our validation, and those of graphql-core's."""
    document = parse(text)
    ours = VALIDATOR.validate(text, document, max_errors=max_errors)
    theirs = validate(SCHEMA, document, (*specified_rules, *ADDITIONAL), max_errors=max_errors)
    return described(ours), described(theirs)


def described(errors: list[GraphQLError]) -> list[str]:
    return [f"{error.message} {error.locations}" for error in errors]


class _Documents:
    """Draws documents of which many are invalid, each in a few places."""

    FIELDS = (
        *("__typename", "name", "nodes", "edges", "node", "id", "pageInfo", "hasNextPage"),
        *(JOBS, "exportJobs", "tags", "key", "missing", "__schema", "types", "fields"),
    )
    TYPES = ("Query", "AudienceGenerationJob", "AudienceModel", "Node", "ID", "Missing")
    VALUES = (
        *("1", "-1", "2.5", '"text"', "true", "null", "ACTIVE", "MISSING", "$a", "$b", "[]"),
        *("[1, $a]", "{status: ACTIVE}", "{status: [$b], nameContains: $a}"),
        *("{missing: 1}", "{status: ACTIVE, status: ACTIVE}"),
    )
    ARGUMENTS = ("first", "after", "filter", "id", "ids", "if", "missing")
    DIRECTIVES = ("skip", "include", "deprecated", "defer", "stream", "missing")

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw

    def text(self) -> str:
        definitions = [self._operation() for _ in range(self._one_of(1, 1, 1, 2))]
        definitions += [self._fragment() for _ in range(self._one_of(0, 0, 1, 2))]
        definitions += self._rarely("type T @missing { a(b: Missing): ID }")
        return "\n".join(self._draw(st.permutations(definitions)))

    def _one_of(self, *choices: Any) -> Any:
        return self._draw(st.sampled_from(choices))

    def _rarely(self, text: str) -> list[str]:
        return [text] * self._one_of(0, 0, 0, 0, 0, 0, 1)

    def _operation(self) -> str:
        if self._one_of("shorthand", "", ""):
            return self._selections(3, roots=True)
        kind = self._one_of("query", "query", "query", "mutation", "subscription")
        variables = "".join(
            f"${name}: {self._one_of('Int', 'String', 'ID!', '[ID!]!', 'Node', 'Missing')}"
            f"{self._one_of('', '', ' = 1', ' = null')} {self._directive(constant=True)} "
            for name in self._draw(st.lists(st.sampled_from("ab"), max_size=2))
        )
        name = self._one_of("", "Q")
        head = f"{kind} {name} {f'({variables})' if variables else ''} {self._directive()}"
        return f"{head} {self._selections(3, roots=True)}"

    def _fragment(self) -> str:
        head = f"fragment {self._one_of('F', 'G')} on {self._one_of(*self.TYPES)}"
        return f"{head} {self._directive()} {self._selections(2)}"

    def _selections(self, depth: int, *, roots: bool = False) -> str:
        count = self._draw(st.integers(1, 3))
        return f"{{ {' '.join(self._selection(depth, roots=roots) for _ in range(count))} }}"

    def _selection(self, depth: int, *, roots: bool) -> str:
        spread = self._one_of("", "", "", "", "F", "G", "Missing", "on", "all")
        if spread == "on":
            return f"... on {self._one_of(*self.TYPES)} {self._directive()} {self._selections(1)}"
        if spread == "all":
            return f"... {self._directive()} {self._selections(1)}"
        if spread:
            return f"...{spread} {self._directive()}"
        roots_likely = ("node", "nodes", JOBS, JOBS, "missing", "__schema", "__typename")
        name = self._one_of(*(roots_likely if roots else self.FIELDS))
        below = self._selections(depth - 1) if depth and self._one_of("below", "") else ""
        alias = self._one_of("", "", "", "a:", "b:")
        return f"{alias} {name} {self._arguments()} {self._directive()} {below}"

    def _arguments(self) -> str:
        given = self._draw(st.lists(st.sampled_from(self.ARGUMENTS), max_size=2))
        values = " ".join(f"{name}: {self._one_of(*self.VALUES)}" for name in given)
        return f"({values})" if given and self._one_of("given", "") else ""

    def _directive(self, *, constant: bool = False) -> str:
        condition = self._one_of("", "(if: true)", "(if: $a)", "(label: $a)", "(missing: 1)")
        if constant and "$" in str(condition):
            condition = "(if: false)"
        found = self._rarely(f"@{self._one_of(*self.DIRECTIVES)}{condition}")
        return " ".join(found * self._one_of(1, 1, 2))


@st.composite
def documents(draw: st.DrawFn) -> str:
    return _Documents(draw).text()


@given(documents(), st.sampled_from([0, 1, 4, 100]))
def test_generated_documents_have_the_same_errors(text: str, max_errors: int) -> None:
    ours, theirs = errors(text, max_errors)

    assert ours == theirs


INVALID = {
    "unknown field": "{ missing }",
    "unknown argument": f"{{ {JOBS}(missing: 1) {{ totalCount }} }}",
    "absent argument": "{ node { id } }",
    "leaf with selections": f"{{ {JOBS} {{ totalCount {{ a }} }} }}",
    "object without selections": f"{{ {JOBS} }}",
    "value of another type": f'{{ {JOBS}(first: "a") {{ totalCount }} }}',
    "undefined variable": f"{{ {JOBS}(first: $a) {{ totalCount }} }}",
    "undefined variable in a fragment": (
        f"query {{ ...F }} fragment F on Query {{ {JOBS}(first: $a) {{ totalCount }} }}"
    ),
    "unused variable": "query ($a: Int) { __typename }",
    "variable of another type": f"query ($a: ID) {{ {JOBS}(first: $a) {{ totalCount }} }}",
    "variable of an output type": "query ($a: Node) { __typename @skip(if: $a) }",
    "variable in an input object": (
        f"query ($a: Int) {{ {JOBS}(filter: {{ nameContains: $a }}) {{ totalCount }} }}"
    ),
    "two variables of a name": f"query ($a: Int, $a: Int) {{ {JOBS}(first: $a) {{ totalCount }} }}",
    "unknown directive": "{ __typename @missing }",
    "directive in the wrong place": "query @skip(if: true) { __typename }",
    "directive twice": "{ __typename @skip(if: true) @skip(if: true) }",
    "directive without its argument": "{ __typename @skip }",
    "deferred mutation": "mutation { ... @defer { a } }",
    "streamed object": f"{{ {JOBS} @stream {{ totalCount }} }}",
    "two labels": f'{{ {JOBS} {{ ... @defer(label: "a") {{ totalCount }} '
    '... @defer(label: "a") { totalCount } } }',
    "unused fragment": "{ __typename } fragment F on Query { __typename }",
    "undefined fragment": "{ ...F }",
    "circular fragments": ("{ ...F } fragment F on Query { ...G } fragment G on Query { ...F }"),
    "fragment on a scalar": "{ ...F } fragment F on ID { a }",
    "impossible fragment": "{ ...F } fragment F on AudienceModel { id }",
    "two fragments of a name": (
        "{ ...F } fragment F on Query { __typename } fragment F on Query { __typename }"
    ),
    "conflicting fields": f"{{ {JOBS}(first: 1) {{ totalCount }} {JOBS} {{ totalCount }} }}",
    "two operations of a name": "query A { __typename } query A { __typename }",
    "anonymous among others": "{ __typename } query A { __typename }",
    "no such operation": "subscription { a b }",
    "type definition": "type Job { id: Missing @missing }",
    "introspection": "{ __schema { types { name } } }",
    "too many errors": "{ a b c d e f g }",
    "fragments nested too deeply": "{ ...F0 }"
    + "".join(f" fragment F{n} on Query {{ ...F{n + 1} }}" for n in range(250))
    + " fragment F250 on Query { __typename }",
}


@pytest.mark.parametrize("text", INVALID.values(), ids=INVALID)
def test_each_kind_of_error_is_found(text: str) -> None:
    ours, theirs = errors(text)

    assert ours == theirs != []


@pytest.mark.parametrize("marker", MARKERS)
def test_a_rule_finds_nothing_without_its_marker(marker: str) -> None:
    rules = [rule for rule in MARKERS[marker] if rule in specified_rules]
    assert rules

    for text in INVALID.values():
        if marker not in text:
            document = parse(text)
            found = validate(SCHEMA, document, rules)
            assert described(found) == described(validate(SCHEMA, document, []))


def test_a_document_that_takes_too_much_work_is_aborted() -> None:
    fields = " ".join(f"a{n}: __typename" for n in range(30))
    spreads = " ".join(f"...F{n}" for n in range(60))
    fragments = " ".join(f"fragment F{n} on Query {{ {fields} }}" for n in range(60))

    ours, theirs = errors(f"{{ {spreads} }} {fragments}")

    assert ours == theirs == ["Validation aborted. None"]


def schema_with_a_custom_scalar() -> GraphQLSchema:
    schema = build_from_sdl("""
      scalar Even
      input Inner { even: Even, list: [[Even]], inner: Inner }
      directive @on(even: Even, list: [[Even]], inner: Inner) on FIELD
      type Query { field(even: Even, list: [[Even]], inner: Inner): ID }
    """)

    def parse_even(value: Any) -> Any:
        if value % 2:
            raise GraphQLError(f"{value} is odd.")
        return value

    scalar = schema.type_map["Even"]
    assert isinstance(scalar, GraphQLScalarType)
    scalar.coerce_input_value = scalar.parse_value = parse_even  # type: ignore[method-assign]
    return schema


EVEN_VALIDATOR = Validator(schema_with_a_custom_scalar(), (), hide_suggestions=True)

EVEN_TYPES = {"even": "Even", "list": "[[Even]]", "inner": "Inner"}

# A place of the scalar in an argument, and a literal with an odd value in this place.
PLACES = st.recursive(
    st.sampled_from(
        [
            ("even", "1"),
            ("list", "1"),
            ("list[1]", "[2, 1]"),
            ("list[1][2]", "[2, [4, 6, 1], 8]"),
        ]
    ),
    lambda inner: inner.map(
        lambda drawn: (
            f"inner.{drawn[0]}",
            f"{{{drawn[0].partition('[')[0].partition('.')[0]}: {drawn[1]}}}",
        )
    ),
)


@given(PLACES, st.sampled_from(["argument", "directive", "default"]))
def test_a_custom_scalar_s_error_has_its_place(place: tuple[str, str], where: str) -> None:
    """Whatever the scalar, and however deep in lists and objects of an argument or a default."""
    path, literal = place
    argument = re.split(r"[.[]", path)[0]
    given_as = f"({argument}: {literal})"
    text, owner = {
        "argument": (f"{{ field{given_as} }}", f"Argument '{path}'"),
        "directive": (f"{{ field @on{given_as} }}", f"Argument '{path}'"),
        "default": (
            f"query ($v: {EVEN_TYPES[argument]} = {literal}) {{ field({argument}: $v) }}",
            f"Default of variable '$v{path.removeprefix(argument)}'",
        ),
    }[where]

    (error,) = EVEN_VALIDATOR.validate(text, parse(text), max_errors=4)

    assert error.message == f"{owner} has invalid value: 1 is odd."
    (location,) = error.locations or []
    assert text[location.column - 1] == "1"


def test_validation_leaves_nothing_to_the_garbage_collector() -> None:
    text = f"query Q($n: Int) {{ {JOBS}(first: $n) {{ nodes {{ name }} }} }}"
    document = parse(text)
    gc.collect()
    gc.disable()
    try:
        assert VALIDATOR.validate(text, document, max_errors=4) == []
        assert not [each for each in gc.get_objects() if isinstance(each, TypeInfo | Visitor)]
    finally:
        gc.enable()
