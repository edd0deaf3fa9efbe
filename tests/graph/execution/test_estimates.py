"""The estimate suffices for what is executed where all lists are full, and counts nothing else."""

import asyncio
import json
from dataclasses import replace
from typing import Any, cast
from uuid import UUID

from graphql import (
    REMOVE,
    DirectiveNode,
    FieldNode,
    Node,
    SelectionSetNode,
    Visitor,
    VisitorAction,
    parse,
    print_ast,
    visit,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.auth.credentials import Caller
from gateway.graph.execution.cost import EstimatedCost
from gateway.graph.execution.engine import Engine, GraphRequest, Operation
from gateway.graph.node import to_global_id
from gateway.upstream.cache.cached_client import CachedClient
from gateway.upstream.loader import (
    PAGE_CALLS,
    CallBudget,
    RequestLoader,
)
from gateway.upstream.values import UpstreamRequest
from tests.graph.execution.test_executor import (
    SCHEMA,
    SETTINGS,
    UNLIMITED,
    Account,
    arn,
    context_of,
    job_detail,
    job_row,
)

# A linked object counts once: all jobs link to one model and to one collaboration.
JOBS = [job_detail(job_row(n, 1, full=True, status="ACTIVE"), {"k": "v"}, None) for n in range(3)]
KINDS = {
    "AudienceGenerationJob": "audience-generation-job",
    "ConfiguredAudienceModel": "configured-audience-model",
}
ARNS = [(name, arn(kind, number)) for name, kind in KINDS.items() for number in (1, 2)]
IDS = [to_global_id(name, key) for name, key in ARNS]
REPRESENTATIONS = [
    *({"__typename": name, "id": to_global_id(name, key)} for name, key in ARNS),
    *({"__typename": name, f"{name[0].lower()}{name[1:]}Arn": key} for name, key in ARNS),
    *({"__typename": "Collaboration", "id": str(UUID(int=number))} for number in (1, 2)),
]

LISTS = {"audienceGenerationJobs": ("AudienceGenerationJob", 3), "exportJobs": ("Export", 2)}
"""Field -> the type of its nodes, and how many there are."""
OBJECTS = {
    "configuredAudienceModel": "ConfiguredAudienceModel",
    "collaboration": "Collaboration",
}
FIELDS = {
    "AudienceGenerationJob": ["name", "tags { key }", *OBJECTS, "exportJobs"],
    "ConfiguredAudienceModel": ["name", "tags { key }", "audienceGenerationJobs"],
    "Collaboration": ["audienceGenerationJobs"],
    "Export": ["name"],
}


LIMITS = dict.fromkeys(("limit_tokens", "limit_aliases", "limit_directives"), 10**6)
ENGINE_SETTINGS = SETTINGS.model_copy(update=UNLIMITED | LIMITS)
ENGINE = Engine(SCHEMA, ENGINE_SETTINGS)


class CountingBudget(CallBudget):
    spent = 0

    def spend(self) -> None:
        self.spent += 1


class BudgetedAccount(Account):
    async def fetch(self, _: Caller, request: UpstreamRequest[Any], **options: Any) -> Any:
        options["before_call"]()
        return await super().fetch(_, request)


VARIABLES = {"yes": True, "no": False}
DEFINED = "query ($yes: Boolean!, $no: Boolean!, $default: Boolean = true)"
USED = "__typename @include(if: $yes) @skip(if: $no) ... @include(if: $default) { __typename }"
INCLUDED = [
    "",
    "@include(if: $yes)",
    "@skip(if: $no)",
    "@include(if: $default)",
    "@skip(if: false)",
]
EXCLUDED = ["@skip(if: $yes)", "@include(if: $no)", "@skip(if: $default)", "@include(if: false)"]
EXCLUDED += [f"{each} {INCLUDED[2]}" for each in EXCLUDED if "include" in each]

DIRECTIVES = st.sampled_from(INCLUDED) | st.sampled_from(EXCLUDED)


@st.composite
def selections(draw: st.DrawFn, type_name: str, depth: int = 3) -> str:
    names = ["id", *FIELDS[type_name]]
    drawn = draw(st.lists(st.sampled_from(names), min_size=1, max_size=4))
    selected = ["__typename"]
    for number, name in enumerate(drawn):
        alias = f"a{depth}{number}: "
        if name in LISTS and depth:
            selected.append(alias + draw(connections(name, depth)))
        elif name in OBJECTS and depth:
            below = draw(selections(OBJECTS[name], depth - 1))
            directives = draw(DIRECTIVES)
            selected.append(f"{alias}{name} {directives} {{ {below} }}")
        elif name not in LISTS and name not in OBJECTS:
            selected.append(f"... {draw(DIRECTIVES)} {{ {name} }}")
    return " ".join(selected)


@st.composite
def connections(draw: st.DrawFn, name: str, depth: int = 3) -> str:
    type_name, most = LISTS[name]
    below = draw(selections(type_name, depth - 1))
    first, directives = draw(st.integers(1, most)), draw(DIRECTIVES)
    return f"{name}(first: {first}) {directives} {{ nodes {{ {below} }} }}"


@st.composite
def typed(draw: st.DrawFn, *names: str) -> str:
    fragments = [
        f"... on {each} {draw(DIRECTIVES)} {{ {draw(selections(each))} }}" for each in names
    ]
    return f"{{ __typename {' '.join(fragments)} }}"


@st.composite
def queries(draw: st.DrawFn) -> str:
    one = draw(st.sampled_from(IDS))
    ids = draw(st.lists(st.sampled_from([*IDS, "none"]), max_size=4))
    represented = draw(st.lists(st.sampled_from(REPRESENTATIONS), max_size=6))
    literals = [
        f"{{{', '.join(f'{n}: {json.dumps(v)}' for n, v in r.items())}}}" for r in represented
    ]
    roots = [
        connections("audienceGenerationJobs"),
        typed(*KINDS).map(lambda below: f'node(id: "{one}") {below}'),
        typed(*KINDS).map(lambda below: f"nodes(ids: {json.dumps(ids)}) {below}"),
        typed(*KINDS, "Collaboration").map(
            lambda below: f"_entities(representations: [{', '.join(literals)}]) {below}"
        ),
    ]
    drawn = draw(st.lists(st.one_of(roots), min_size=1, max_size=3))
    fields = " ".join(f"r{number}: {each}" for number, each in enumerate(drawn))
    return f"{DEFINED} {{ {USED} {fields} }}"


@given(queries())
async def test_no_operation_costs_more_than_estimated(query: str) -> None:
    account = BudgetedAccount(JOBS)
    operation = ENGINE.prepare(GraphRequest(query, None, VARIABLES), read_only=False)
    assert isinstance(operation, Operation), operation
    pages, details = CountingBudget(0, PAGE_CALLS), CountingBudget(0, PAGE_CALLS)
    loader = RequestLoader(
        cast("CachedClient", account),
        Caller.from_keys("ASIA" + "A" * 16, "secret", "token"),
        fresh=False,
        deadline=asyncio.get_running_loop().time() + 60,
        page_budget=pages,
        item_budget=details,
    )
    context = replace(context_of(account, ENGINE_SETTINGS), loader_or_error=loader)
    result = await ENGINE.execute(operation, context)

    assert result.errors == []
    assert pages.spent <= operation.estimate.pages
    assert details.spent <= operation.estimate.details
    assert context.meter.values <= operation.estimate.fields


class _Excluding(Visitor):
    """Removes what directives exclude."""

    def enter(self, node: Node, *_: Any) -> VisitorAction:
        directives = [print_ast(each) for each in getattr(node, "directives", None) or ()]
        return REMOVE if any(each in EXCLUDED for each in directives) else None

    def enter_directive(self, _: DirectiveNode, *__: Any) -> VisitorAction:
        return REMOVE


class _Repeating(Visitor):
    """Selects each object again, with less of it, as the fragments of components do."""

    def leave_selection_set(self, node: SelectionSetNode, *_: Any) -> Any:
        repeated = [_again(each) for each in node.selections if isinstance(each, FieldNode)]
        return SelectionSetNode(selections=(*node.selections, *repeated))


def _again(field: FieldNode) -> FieldNode:
    if field.selection_set is None:
        return field
    first = field.selection_set.selections[0]
    assert isinstance(first, FieldNode)
    return replace(field, selection_set=SelectionSetNode(selections=(_again(first),)))


@settings(max_examples=25)
@given(queries())
def test_what_directives_exclude_costs_nothing(query: str) -> None:
    without = print_ast(visit(parse(query), _Excluding()))

    assert estimate(query) == estimate(without.replace(DEFINED, ""))


@settings(max_examples=25)
@given(queries())
def test_a_field_that_is_selected_again_costs_nothing(query: str) -> None:
    assert estimate(query) == estimate(print_ast(visit(parse(query), _Repeating())))


def estimate(query: str) -> EstimatedCost:
    operation = ENGINE.prepare(GraphRequest(query, None, VARIABLES), read_only=False)
    assert isinstance(operation, Operation), operation
    return operation.estimate
