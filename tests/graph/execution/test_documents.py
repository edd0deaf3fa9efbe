"""Hostile documents and variables are executed or rejected with few, plain errors."""

import json
from collections.abc import Iterator

import pytest
from graphql import get_introspection_query

from gateway.dev import aws_headers
from gateway.graph.execution import documents
from gateway.graph.execution.documents import (
    MAX_DOCUMENT_CHARACTERS,
    DocumentRejectedError,
    Documents,
)
from gateway.graph.pagination.cursor import MAX_CURSOR_CHARACTERS
from gateway.graph.schema import build_schema, executable_schema
from gateway.sandbox import CALLERS
from gateway.settings import Settings
from tests.gateways import Answer, Gateway, Sandbox, gateway_over, still_sandbox
from tests.serving import serve

JOBS = "audienceGenerationJobs"
MANY = 250_000
"""Characters: about what fits into a request body."""


@pytest.fixture(scope="module")
def production() -> Iterator[Gateway]:
    """Serve a gateway without introspection."""
    with (
        serve(still_sandbox()) as url,
        gateway_over(Sandbox(url), introspection=False) as hidden,
    ):
        yield hidden


def nested(levels: int, *, of: str) -> str:
    opening, closing = ("[", "]") if of == "lists" else ('{"a":', "}")
    return opening * levels + "1" + closing * levels


def test_at_most_five_errors_are_listed(gateway: Gateway) -> None:
    """The last of them says that there are more."""
    for query, variables in (
        ("{ __typename " + "@nothing " * 10 + "}", None),
        ("{ a b c d e f g h i j }", None),
        ("query Q($i: [ID!]!) { nodes(ids: $i) { id } }", {"i": [None] * 10}),
    ):
        answer = gateway.ask(query, variables)
        assert answer.status == 400
        assert len(answer.errors) == 5
        assert "Too many" in answer.errors[-1]["message"]


def test_at_most_fifty_errors_of_execution_are_listed(gateway: Gateway) -> None:
    query = "query Q($r: [_Any!]!) { _entities(representations: $r) { __typename } }"
    answer = gateway.ask(query, {"r": [{}] * 60})

    assert answer.content["data"]["_entities"] == [None] * 60
    assert [error["path"] for error in answer.errors] == [["_entities", n] for n in range(50)]
    assert answer.content["extensions"] == {"errorsOmitted": 10}


SUGGESTED = {
    "field": (f"{{ {JOBS} {{ nodes {{ nam }} }} }}", None, "name"),
    "root field": (f"{{ {JOBS[:-2]} {{ totalCount }} }}", None, JOBS),
    "argument": (f"{{ {JOBS}(firs: 1) {{ totalCount }} }}", None, "first"),
    "enum": (f"{{ {JOBS}(filter: {{ status: ACTIV }}) {{ totalCount }} }}", None, "ACTIVE"),
    "type": ("{ node(id: 1) { ... on AudienceModell { id } } }", None, "AudienceModel"),
    "variable's type": ("query Q($a: Strin) { node(id: $a) { id } }", None, "String"),
    "directive": ("{ __typename @includ(if: true) }", None, "include"),
    "argument of a directive": ("{ __typename @include(i: true) }", None, "if"),
    "input field": (f"{{ {JOBS}(filter: {{ statu: ACTIVE }}) {{ totalCount }} }}", None, "status"),
    "field of another type": ("{ node(id: 1) { name } }", None, "AudienceModel"),
    "enum variable": (
        (
            f"query Q($s: [AudienceGenerationJobStatus!]) {{ {JOBS}(filter: {{ status: $s }}) "
            "{ totalCount } }"
        ),
        {"s": ["ACTIV"]},
        "ACTIVE",
    ),
    "input field of a variable": (
        f"query Q($f: AudienceGenerationJobFilter) {{ {JOBS}(filter: $f) {{ totalCount }} }}",
        {"f": {"statu": ["ACTIVE"]}},
        "status",
    ),
}


@pytest.mark.parametrize("misspelt", SUGGESTED)
def test_a_hidden_schema_is_not_guessed_from_suggestions(
    production: Gateway, gateway: Gateway, misspelt: str
) -> None:
    """Suggestions appear only with introspection on."""
    query, variables, meant = SUGGESTED[misspelt]
    hidden = production.ask(query, variables)
    assert hidden.status == 400
    assert "Did you mean" not in str(hidden.content)
    assert f"'{meant}'" not in str(hidden.content)

    shown = gateway.ask(query, variables)
    assert shown.status == 400
    if "directive" not in misspelt:  # graphql-core has no suggestions for the first of these
        assert "Did you mean" in str(shown.content)


CIRCULAR = "{ __schema { types { fields { type { fields { type { fields { name } } } } } } } }"
CIRCULAR_IN_FRAGMENTS = (
    "{ __schema { types { ...A } } } fragment A on __Type { fields { type { ...B } } }"
    "fragment B on __Type { fields { type { fields { name } } } }"
)


@pytest.mark.parametrize("query", [CIRCULAR, CIRCULAR_IN_FRAGMENTS])
def test_circular_introspection_is_rejected(
    production: Gateway, gateway: Gateway, query: str
) -> None:
    """Each further level multiplies the size of the response."""
    assert production.ask(query).status == 400
    answer = gateway.ask(query)
    assert (answer.status, answer.code) == (400, "GRAPHQL_VALIDATION_FAILED")
    assert "introspection depth" in answer.errors[0]["message"]


def test_the_standard_introspection_query_passes(production: Gateway, gateway: Gateway) -> None:
    """The limit on depth does not apply to introspection."""
    query = get_introspection_query(
        specified_by_url=True, directive_is_repeatable=True, input_value_deprecation=True
    )
    assert gateway.ask(query).data["__schema"]["queryType"]["name"] == "Query"
    assert production.ask(query).errors[0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"


HOSTILE = {
    "braces": "{a" * 3000,
    "few braces": "{a" * 900,
    "braces, closed": "{a" * 600 + "}" * 600,
    "lists": "{ nodes(ids: " + "[" * 900,
    "lists, closed": "{ nodes(ids: " + "[" * 190 + "1" + "]" * 190 + ") { id } }",
    "objects": "{ _entities(representations: [" + "{a: " * 600,
    "objects, closed": (
        "{ _entities(representations: [" + "{a: " * 190 + "1" + "}" * 190 + "]) { __typename } }"
    ),
    "types": "query Q($a: " + "[" * 900 + "ID" + "]" * 900 + ") { __typename }",
    "a text": f'{{ node(id: "{"x" * MANY}") {{ id }} }}',
    "escapes": '{ node(id: "' + "\\u0041" * 30_000 + '") { id } }',
    "a block": '{ node(id: """' + " \n" * 80_000 + '""") { id } }',
    "a name": "{ " + "x" * MANY + " }",
    "a number": "{ node(id: " + "9" * MANY + ") { id } }",
    "numbers": "{ nodes(ids: [" + "9" * 5000 + "]) { id } }",
    "a number for an Int": f"{{ {JOBS}(first: {'9' * 5000}) {{ totalCount }} }}",
    "a number in an entity": (
        f'{{ _entities(representations: [{{ __typename: "AudienceModel", id: {"9" * 5000} }}])'
        " { __typename } }"
    ),
    "empty lines": "\n" * 100_000 + "{ a b c d e }",
    "comments": "#\n" * 80_000 + "{ __typename }",
    "unended": '{ node(id: "' + "x" * MANY,
}


@pytest.mark.parametrize("query", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_document_gets_plain_errors(gateway: Gateway, query: str) -> None:
    """It neither crashes nor calls AWS, and the error reveals no internals."""
    answer = gateway.ask(query)
    assert_plain(answer)
    assert gateway.sandbox.calls == []


IDS = "query Q($v: [ID!]!) { nodes(ids: $v) { id } }"
FILTER = f"query Q($v: AudienceGenerationJobFilter) {{ {JOBS}(filter: $v) {{ totalCount }} }}"
ENTITIES = "query Q($v: [_Any!]!) { _entities(representations: $v) { __typename } }"
ARN = "audienceModelArn"

LISTS, OBJECTS = nested(1000, of="lists"), nested(1000, of="objects")

VARIABLES = {
    "ids in lists": (IDS, LISTS),
    "ids in objects": (IDS, OBJECTS),
    "many ids": (IDS, json.dumps(["x"] * 50_000)),
    "many nulls": (IDS, json.dumps([None] * 40_000)),
    "many lists": (IDS, json.dumps([[]] * 60_000)),
    "a filter of objects": (FILTER, OBJECTS),
    "a filter of lists": (FILTER, LISTS),
    "a name of lists": (FILTER, f'{{"nameContains": {LISTS}}}'),
    "a status of lists": (FILTER, f'{{"status": {LISTS}}}'),
    "many statuses": (FILTER, json.dumps({"status": ["NOTHING"] * 20_000})),
    "a moment of objects": (FILTER, f'{{"createdAfter": {OBJECTS}}}'),
    "unknown input fields": (FILTER, json.dumps({f"a{n}": 1 for n in range(20_000)})),
    "an entity of lists": (ENTITIES, LISTS),
    "an ARN of lists": (ENTITIES, f'[{{"__typename": "AudienceModel", "{ARN}": {LISTS}}}]'),
    "an ARN of objects": (ENTITIES, f'[{{"__typename": "AudienceModel", "{ARN}": {OBJECTS}}}]'),
    "a type of objects": (ENTITIES, f'[{{"__typename": {OBJECTS}, "id": "x"}}]'),
    "a long ARN": (ENTITIES, f'[{{"__typename": "AudienceModel", "{ARN}": "{"x" * MANY}"}}]'),
    "many entities": (ENTITIES, json.dumps([{}] * 60_000)),
}


@pytest.mark.parametrize(("query", "value"), VARIABLES.values(), ids=VARIABLES)
def test_hostile_variables_get_plain_errors(gateway: Gateway, query: str, value: str) -> None:
    answer = gateway.send(
        "POST",
        content=f'{{"query": {json.dumps(query)}, "variables": {{"v": {value}}}}}'.encode(),
        headers={"Content-Type": "application/json", **aws_headers(CALLERS["ada"])},
    )
    assert_plain(answer)
    assert 1 <= len(answer.errors) <= 5
    assert gateway.sandbox.calls == []


def assert_plain(answer: Answer) -> None:
    assert answer.status in {200, 400}
    assert {error["extensions"]["code"] for error in answer.errors} <= {
        "BAD_USER_INPUT", "GRAPHQL_PARSE_FAILED", "GRAPHQL_VALIDATION_FAILED", "LIMIT_EXCEEDED",
    }  # fmt: skip
    assert "recursion" not in str(answer.content).lower()


FRAGMENTS = "fragment A on Query { ...B ...B } fragment B on Query { __typename }"


def test_the_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds the latest documents up to a number of characters, and no rejected ones.

    Selections count too, at each spread of their fragment, as in plans.
    """
    monkeypatch.setattr(documents, "MAX_CACHED_CHARACTERS", 5000)
    known = Documents(executable_schema(build_schema()), Settings())
    for n in range(50):
        query = f"query Q{n} {{ ...A ...B }} {FRAGMENTS} # {'x' * 200}"
        known.validate(known.parse(query))
    weights = [each.weight - len(each.text) for each in known._cache.values()]
    assert set(weights) == {7}  # each spread, and at each of them what is in the fragment
    assert sum(map(len, known._cache)) + sum(weights) == known._cached_weight
    assert 4600 < known._cached_weight <= 5000
    assert query in known._cache

    before = list(known._cache)
    for n in range(5):
        for query in (f"{{ a{n} }}", f"{{ a{n}", f"{{ {f'a{n}: __typename ' * 40} }}"):
            with pytest.raises(DocumentRejectedError):
                known.validate(known.parse(query))
    assert list(known._cache) == before


def test_a_longer_text_is_rejected_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading takes time for each character, not only for each token."""
    known = Documents(executable_schema(build_schema()), Settings())
    query = "{ __typename } #"
    longest = query + "x" * (MAX_DOCUMENT_CHARACTERS - len(query))
    known.validate(known.parse(longest))

    monkeypatch.setattr(documents, "parse", lambda *_, **__: pytest.fail("read"))
    with pytest.raises(DocumentRejectedError, match="has 131073 characters"):
        known.parse(longest + "x")


def test_a_cursor_of_any_accepted_length_may_be_a_literal(gateway: Gateway) -> None:
    query = f'{{ {JOBS}(first: 1, after: "{"x" * MAX_CURSOR_CHARACTERS}") {{ totalCount }} }}'
    answer = gateway.ask(query)

    assert answer.code == "INVALID_CURSOR"


def test_more_lines_than_tokens_are_rejected() -> None:
    """Locating an error takes time in proportion to its line number."""
    known = Documents(executable_schema(build_schema()), Settings(limit_tokens=10))
    for end in ("\n", "\r", "\r\n"):
        known.parse(end * 9 + "{ __typename }")
        with pytest.raises(DocumentRejectedError) as caught:
            known.parse(end * 10 + "{ __typename }")
        assert "has 11 lines. Accepted: up to 10" in caught.value.errors[0].message
