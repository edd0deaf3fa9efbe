"""A document over a limit is rejected before it is validated, wherever the excess hides.

The matrix follows the test suite of GraphQL Armor: each limit bare, in fragments, in nested
fragments, in circular fragments, and under misleading names.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, fields
from typing import Any, NamedTuple

import pytest
from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    OperationDefinitionNode,
    get_introspection_query,
    parse,
)
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import GatewayError, LimitExceededError, ValidationFailedError
from gateway.graph.execution import limits as limits_module
from gateway.graph.execution.documents import (
    DocumentRejectedError,
    Documents,
)
from gateway.graph.execution.limits import (
    ENTITIES,
    INTROSPECTION,
    INTROSPECTION_LISTS,
    MAX_INTROSPECTION_LISTS,
    Count,
    count_operations,
)
from gateway.graph.execution.validation import Validator
from gateway.graph.schema import build_schema, executable_schema
from gateway.settings import Settings
from tests.gateways import Gateway, Sandbox, gateway_over

SCHEMA = executable_schema(build_schema())

CONNECTION = "AudienceGenerationJobConnection"


def deep(levels: int) -> str:
    """Nest fields: jobs have exports, which have a job."""
    path = ["nodes", "exportJobs", "nodes", "audienceGenerationJob"]
    names = [path[0], *(path[1 + level % 3] for level in range(levels - 2))]
    return " { ".join([*names, "__typename"]) + " }" * len(names)


WITH: dict[str, Callable[[int], str]] = {
    "depth": deep,
    "aliases": lambda n: " ".join(f"a{each}: __typename" for each in range(n)),
    "directives": lambda n: "__typename @include(if: true) " * n,
    "selections": lambda n: "__typename " * n,
    "root_fields": lambda n: "__typename " * n,
}
"""Limit -> fields of a connection, or of the root, that have so many of what it limits."""

LIMITS = [each.name for each in fields(Count) if f"limit_{each.name}" in Settings.model_fields]

FORMS = {
    "bare": "query {{ {open} {inner} {close} }}",
    "inline": "query {{ {open} ... {{ ... on {on} {{ {inner} }} }} {close} }}",
    "fragment": "query {{ {open} ...A {close} }} fragment A on {on} {{ {inner} }}",
    "fragment twice": "query {{ {open} ...A ...A {close} }} fragment A on {on} {{ {inner} }}",
    "fragment in fragment": (
        "fragment B on {on} {{ {inner} }} query {{ {open} ...A {close} }}"
        "fragment A on {on} {{ ... {{ ...B }} }}"
    ),
    "fragment above the field": (
        "query {{ ...A }} fragment A on Query {{ {open} ...B {close} }}"
        "fragment B on {on} {{ {inner} }}"
    ),
    "spoofed names": (
        "query __schema {{ {open} ...__schema {close} }} fragment __schema on {on} {{ {inner} }}"
    ),
    "spoofed alias": "query {{ __schema: {open} {inner} {close} }}",
    "second operation": "query A {{ __typename }} query B {{ {open} {inner} {close} }}",
}

CIRCLES = {
    "self": "{{ {open} ...A {close} }} fragment A on {on} {{ {inner} ...A }}",
    "two": (
        "{{ {open} ...A {close} }} fragment A on {on} {{ {inner} ...B }}"
        "fragment B on {on} {{ ...A {inner} }}"
    ),
    "nowhere": "{{ {open} {inner} ...Nowhere {close} }}",
    "fragment twice": (
        "{{ {open} ...A {close} }} fragment A on {on} {{ {inner} }}"
        "fragment A on {on} {{ __typename }}"
    ),
    "operation twice": "query A {{ {open} {inner} {close} }} query A {{ __typename }}",
    "two nameless": "{{ {open} {inner} {close} }} {{ __typename }}",
    "unused": "{{ __typename }} fragment A on {on} {{ {inner} ...A }}",
}


def document_with(form: str, limit: str, amount: int) -> str:
    jobs = limit != "root_fields" or "alias" in form
    inner = WITH["root_fields" if not jobs else limit](amount)
    return form.format(
        open="audienceGenerationJobs {" if jobs else "",
        close="}" if jobs else "",
        on=CONNECTION if jobs else "Query",
        inner=inner,
    )


def rejection(query: str, **limits: int) -> GatewayError | None:
    """Return the first error of a document under these limits."""
    # Without the checks of Settings, which allow no limit of 0.
    limited = {f"limit_{name}": limit for name, limit in limits.items()}
    documents = Documents(SCHEMA, Settings(introspection=True).model_copy(update=limited))
    try:
        documents.validate(documents.parse(query))
    except DocumentRejectedError as rejected:
        original = rejected.errors[0].original_error
        assert isinstance(original, GatewayError)
        return original
    return None


class Expanded(NamedTuple):
    selection: Any
    depth: int
    hidden: bool
    """Below a field of INTROSPECTION, and so not counted toward the depth."""
    in_schema: bool
    """Selects from a type of the introspection schema."""


def walk(document: DocumentNode, selections: Any, at: Expanded) -> Iterator[Expanded]:
    """Expand all fragments of the selections of `at`."""
    for each in selections:
        here = at._replace(selection=each)
        yield here
        below = each.selection_set if not isinstance(each, FragmentSpreadNode) else None
        if isinstance(each, FieldNode):
            named = each.name.value in INTROSPECTION
            here = Expanded(
                each, at.depth + (not at.hidden), at.hidden or named, at.in_schema or named
            )
        elif isinstance(each, FragmentSpreadNode):
            (fragment,) = [
                definition
                for definition in document.definitions
                if isinstance(definition, FragmentDefinitionNode)
                and definition.name.value == each.name.value
            ]
            below = fragment.selection_set
            here = here._replace(in_schema=fragment.type_condition.name.value.startswith("__"))
        if below is not None:
            yield from walk(document, below.selections, here)


def expand(document: DocumentNode, operation: OperationDefinitionNode) -> Count:
    """Count an operation by expanding all of it."""
    root = Expanded(None, 0, hidden=False, in_schema=False)
    all_of_it = list(walk(document, operation.selection_set.selections, root))
    found = [(each, at) for at in all_of_it if isinstance(each := at.selection, FieldNode)]
    counted = [each for each, _ in found if each.name.value != ENTITIES]
    spread = [
        each.name.value for at in all_of_it if isinstance(each := at.selection, FragmentSpreadNode)
    ]
    of_fragments = {
        each.name.value: len(each.directives or ())
        for each in document.definitions
        if isinstance(each, FragmentDefinitionNode)
    }
    return Count(
        depth=max((at.depth + (not at.hidden) for _, at in found), default=0),
        aliases=sum(each.alias is not None for each in counted),
        root_fields=sum(at.depth == 0 for each, at in found if each in counted),
        directives=len(operation.directives or ())
        + sum(len(at.selection.directives or ()) for at in all_of_it)
        + sum(of_fragments[name] for name in spread),
        selections=len(all_of_it),
        introspection_lists=sum(
            at.in_schema and each.name.value in INTROSPECTION_LISTS for each, at in found
        ),
    )


def count_by_expanding(document: DocumentNode) -> list[Count]:
    """Count each operation of a document by expanding it."""
    return [
        expand(document, each)
        for each in document.definitions
        if isinstance(each, OperationDefinitionNode)
    ]


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("form", FORMS)
def test_a_document_at_a_limit_passes_and_one_over_it_fails(form: str, limit: str) -> None:
    """The error names the amount, the limit and the setting."""
    query = document_with(FORMS[form], limit, 8)
    has = max(getattr(each, limit) for each in count_by_expanding(parse(query)))
    if "alias" not in form or limit != "root_fields":
        assert has >= 8  # what is counted is what was hidden

    assert rejection(query, **{limit: has}) is None
    error = rejection(query, **{limit: has - 1})

    assert isinstance(error, LimitExceededError)
    assert f" {has} " in error.message
    assert f"up to {has - 1} (GATEWAY_LIMIT_{limit.upper()})." in error.message


@pytest.mark.parametrize(
    ("limit", "accepted"),
    [("depth", 15), ("aliases", 30), ("root_fields", 10), ("directives", 50)],
)
def test_the_defaults_apply_without_settings(limit: str, accepted: int) -> None:
    above = limit == "depth"  # the connection is a level of its own
    assert rejection(document_with(FORMS["bare"], limit, accepted - above)) is None
    error = rejection(document_with(FORMS["bare"], limit, accepted - above + 1))

    assert error is not None
    assert f" {accepted + 1} " in error.message


@pytest.mark.parametrize(("more", "refused"), [(0, False), (1, True)])
def test_the_default_of_selections_applies_without_settings(more: int, refused: bool) -> None:  # noqa: FBT001
    """Most of ten thousand selections are in one fragment, spread a hundred times."""
    query = (
        f"{{ audienceGenerationJobs {{ {'...A ' * 98} pageInfo {{ {'__typename ' * (99 + more)} }}"
        f" totalCount }} }} fragment A on {CONNECTION} {{ {'__typename ' * 100} }}"
    )
    assert count_operations(parse(query))[0].selections == 10000 + more
    assert (rejection(query) is not None) == refused


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("circle", CIRCLES)
def test_an_invalid_document_is_left_to_validation(circle: str, limit: str) -> None:
    """Circular and undefined fragments, and duplicate names, exceed no limit."""
    query = document_with(CIRCLES[circle], limit, 8)
    error = rejection(query, **{limit: 10**6})

    assert isinstance(error, ValidationFailedError)


@pytest.mark.parametrize("limit", LIMITS)
def test_a_circle_hides_nothing(limit: str) -> None:
    """A fragment counts although it spreads itself."""
    error = rejection(document_with(CIRCLES["self"], limit, 8), **{limit: 3})

    assert isinstance(error, LimitExceededError)


def test_only_introspection_does_not_count_toward_depth() -> None:
    """The field's name decides, not its alias; the field itself and the aliases in it count."""
    inside = "types { a: name ofType: __typename }"
    (count,) = count_operations(
        parse(f"{{ __schema {{ ...A }} }} fragment A on __Schema {{ {inside} }}")
    )
    assert count == Count(
        depth=1, aliases=2, root_fields=1, directives=0, selections=5, introspection_lists=1
    )
    (spoofed,) = count_operations(parse("{ __schema: audienceGenerationJobs { nodes { id } } }"))
    assert spoofed.depth == 3


STANDARD = get_introspection_query(
    specified_by_url=True, directive_is_repeatable=True, input_value_deprecation=True
)


def test_the_standard_introspection_query_may_be_sent_twice_in_one_operation() -> None:
    """Its lists are half of those accepted."""
    head, _, fragments = STANDARD.partition("fragment FullType")
    schema = head[head.index("{") + 1 : head.rindex("}")]
    (count,) = count_operations(parse(STANDARD))
    assert count.introspection_lists * 2 == MAX_INTROSPECTION_LISTS

    assert rejection(f"{{ {schema} b: {schema} }} fragment FullType {fragments}") is None
    error = rejection(f"{{ {schema} b: {schema} c: {schema} }} fragment FullType {fragments}")
    assert isinstance(error, LimitExceededError)
    assert "selects 30 lists of the schema" in error.message


INTROSPECTIONS = {
    "aliases": f"{{ __schema {{ {' '.join(f'a{n}: types {{ name }}' for n in range(21))} }} }}",
    "a type": f'{{ __type(name: "Query") {{ {"fields { name } " * 21} }} }}',
    "types": "{"
    + '__type(name: "Query") { fields { args { name } } interfaces { name } } ' * 7
    + "}",
    "a fragment": (
        "{ __schema { a: types { ...A } b: types { ...A } c: types { ...A } d: types { ...A } } }"
        "fragment A on __Type { fields { args { name } } ... { ...B } }"
        "fragment B on __Type { enumValues { name } inputFields { name } interfaces { name } }"
    ),
    "a fragment of the root": (
        "{ ...A ...A ...A ...A ...A ...A } fragment A on Query "
        "{ __schema { types { possibleTypes { name } } directives { locations } } }"
    ),
}


@pytest.mark.parametrize("query", INTROSPECTIONS.values(), ids=INTROSPECTIONS)
def test_an_introspection_of_many_lists_is_rejected(query: str) -> None:
    """Wherever they are, a multiple of the schema would be returned."""
    error = rejection(query)

    assert isinstance(error, LimitExceededError)
    assert f"Accepted: up to {MAX_INTROSPECTION_LISTS}." in error.message


def test_lists_outside_of_introspection_have_no_limit_of_their_own() -> None:
    (count,) = count_operations(
        parse("{ a { types { fields { x } } ...A } } fragment A on T { args }")
    )

    assert count.introspection_lists == 0


def doubling(levels: int, on: str = "Query") -> str:
    """Return fragments that each spread the next one twice."""
    chain = "".join(f"fragment F{n} on {on} {{ ...F{n + 1} ...F{n + 1} }}\n" for n in range(levels))
    return f"{{ ...F0 }} {chain} fragment F{levels} on {on} {{ __typename }}"


@pytest.mark.parametrize("levels", [10, 20, 40, 60])
def test_each_fragment_is_counted_once(monkeypatch: pytest.MonkeyPatch, levels: int) -> None:
    """It may be spread any number of times; the counts are capped."""
    read = []
    count_definition = limits_module._count_definition

    def recording(definition: Any) -> Any:
        read.append(definition)
        return count_definition(definition)

    monkeypatch.setattr(limits_module, "_count_definition", recording)
    (count,) = count_operations(parse(doubling(levels)))

    assert len(read) == levels + 2  # with the last fragment and the operation
    assert count.root_fields == min(2**levels, 2**31)


@pytest.mark.parametrize("levels", [10, 20, 40, 60])
def test_doubling_fragments_are_rejected_before_validation(
    monkeypatch: pytest.MonkeyPatch, levels: int
) -> None:
    monkeypatch.setattr(Validator, "validate", lambda *_, **__: pytest.fail("validated"))
    error = rejection(doubling(levels))

    assert isinstance(error, LimitExceededError)


def test_a_chain_longer_than_the_call_stack_is_counted() -> None:
    """GATEWAY_LIMIT_TOKENS may be set higher than Python's recursion limit."""
    chain = " ".join(f"fragment F{n} on Query {{ ...F{n + 1} }}" for n in range(5000))
    (count,) = count_operations(
        parse("{ ...F0 }" + chain + " fragment F5000 on Query { __typename }")
    )

    assert count == Count(depth=1, root_fields=1, selections=5002)


names = st.sampled_from(
    ["x", "y: x", "x @a", "__schema", "__type: x", "__type", "fields", "_entities", "e: _entities"]
)


def selected(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Draw selection sets of fields, nested fields and inline fragments."""
    nested = st.builds(lambda name, below: f"{name} {{ {below} }}", names | st.just("..."), inner)
    return st.lists(names | nested | inner, min_size=1, max_size=4).map(" ".join)


@st.composite
def documents_without_circles(draw: st.DrawFn) -> str:
    """Draw a document in which each fragment spreads later ones only."""
    number = draw(st.integers(0, 4))
    parts = []
    for n in range(-2, number):
        later = [f"...F{each}" for each in range(max(n + 1, 0), number)]
        leaves = st.sampled_from([*later, "x"])
        body = draw(st.recursive(leaves, selected, max_leaves=6))
        on = draw(st.sampled_from(["T", "__Type"]))
        head = f"query Q{-n} @a" if n < 0 else f"fragment F{n} on {on} @b"
        parts.append(f"{head} {{ {body} }}")
    return " ".join(draw(st.permutations(parts)))


@given(documents_without_circles())
def test_counting_equals_expanding(query: str) -> None:
    """This holds for any small document without circular fragments."""
    document = parse(query)
    assert list(map(asdict, count_operations(document))) == list(
        map(asdict, count_by_expanding(document))
    )


def entity_fields(number: int, selection: str = "__typename") -> str:
    """Return fields as routers merge them."""
    return " ".join(
        f"_v{n}__entities: _entities(representations: []) {{ {selection} }}" for n in range(number)
    )


ENTITY_FORMS = [name for name, form in FORMS.items() if "__schema: " not in form]


@pytest.mark.parametrize("form", ENTITY_FORMS)
@pytest.mark.parametrize("spoofed", ["__typename", "audienceModels { __typename }"])
def test_entities_count_toward_neither_root_fields_nor_aliases(form: str, spoofed: str) -> None:
    """The field's name decides, not its alias, and what is selected of the entities counts."""

    def query(inner: str) -> str:
        return FORMS[form].format(open="", close="", on="Query", inner=inner)

    assert rejection(query(entity_fields(100))) is None
    for root_fields in (
        "__typename " * 11,
        " ".join(f"_entities{n}: {spoofed}" for n in range(11)),
    ):
        error = rejection(query(entity_fields(11) + root_fields))
        assert isinstance(error, LimitExceededError)
        assert "GATEWAY_LIMIT_ROOT_FIELDS" in error.message
    below = "... on AudienceModel { " + " ".join(f"b{n}: name" for n in range(31)) + " }"
    error = rejection(query(entity_fields(1, below)))
    assert isinstance(error, LimitExceededError)
    assert "GATEWAY_LIMIT_ALIASES" in error.message


JOBS = "audienceGenerationJobs"

REJECTED = {
    "101 aliases of __typename": "{" + " ".join(f"a{n}: __typename" for n in range(101)) + "}",
    "101 aliases of a list": "{" + " ".join(f"a{n}: {JOBS} {{ __typename }}" for n in range(101)),
    "aliases in a fragment spread twice": (
        f"{{ {JOBS} {{ ...A ...A }} }} fragment A on {CONNECTION} "
        "{" + " ".join(f"a{n}: totalCount" for n in range(16))
    ),
    "too deep": f"{{ {JOBS} {{ {deep(15)} }}",
    "too many root fields": "{" + f"{JOBS} {{ __typename }}" * 11,
    "1,000 directives": "{ __typename " + "@include(if: true) " * 200 + "@a " * 400,
    "500 of a field": "{" + "__typename " * 500,
    "1,900 of a field": f"{{ {JOBS} {{ nodes {{ {'name ' * 1900} }} }}",
    "2,000 of a field": f"{{ {JOBS} {{ nodes {{ {'name ' * 2000} }} }}",
    "490 lists": f"{{ {JOBS} {{ {'nodes { name }' * 490} }}",
    "lists in lists": "{" + f"{JOBS} {{ {'nodes { id }' * 45} }}" * 10,
    "lists in rows": f"{{ {JOBS} {{ nodes {{ {'tags { key } ' * 450} }}",
    "lists with arguments": (
        f"{{ {JOBS} {{ nodes {{ {'exportJobs(first: 1) { totalCount }' * 200} }}"
    ),
    "aliases of one name": f"{{ {JOBS} {{ nodes {{ {'name: id ' * 30} {'name ' * 1500} }}",
    "fields in inline fragments": f"{{ {JOBS} {{ {'... { __typename }' * 490} }}",
    "fragments side by side": (
        f"{{ {JOBS} {{ {' '.join(f'...F{n}' for n in range(200))} }} }}"
        + "".join(f"fragment F{n} on {CONNECTION} {{ totalCount }}" for n in range(200))[:-1]
    ),
    "a long chain of fragments": (
        "{ ...F0 }" + "".join(f"fragment F{n} on Query {{ ...F{n + 1} }}" for n in range(240))
        + "fragment F240 on Query { __typename"
    ),
    "doubling fragments": doubling(20)[:-1],
}  # fmt: skip


@pytest.mark.parametrize("query", REJECTED.values(), ids=REJECTED)
def test_a_rejected_query_costs_no_call(gateway: Gateway, query: str) -> None:
    closed = query + "}" * (query.count("{") - query.count("}"))
    answer = gateway.ask(closed)

    assert (answer.status, answer.code) == (400, "LIMIT_EXCEEDED")
    assert gateway.sandbox.calls == []


@pytest.mark.parametrize("limit", LIMITS)
def test_a_setting_is_applied(sandbox: Sandbox, limit: str) -> None:
    query = document_with(FORMS["bare"], limit, 6)
    (count,) = count_operations(parse(query))
    with gateway_over(sandbox, **{f"limit_{limit}": getattr(count, limit) - 1}) as narrow:
        answer = narrow.ask(query)
    assert f"GATEWAY_LIMIT_{limit.upper()}" in answer.errors[0]["message"]
    assert answer.code == "LIMIT_EXCEEDED"


def test_a_query_of_a_real_client_passes(gateway: Gateway) -> None:
    """Forty components each have a fragment on the same job, and some fields in common."""
    common = "__typename id name status"
    parts = [
        f"fragment Row{n} on AudienceGenerationJob {{ {common} createTime collaborationId"
        f" configuredAudienceModel {{ __typename id name }} ...Id }}"
        for n in range(40)
    ]
    query = (
        "query Page { audienceGenerationJobs(first: 2) { __typename edges { __typename cursor node"
        f" {{ {common} {' '.join(f'...Row{n}' for n in range(40))} }} }}"
        " pageInfo { __typename hasNextPage endCursor } } }"
        f" fragment Id on AudienceGenerationJob {{ __typename id }} {' '.join(parts)}"
    )
    edges = gateway.ask(query).data["audienceGenerationJobs"]["edges"]

    assert edges[0]["node"]["configuredAudienceModel"]["name"]
