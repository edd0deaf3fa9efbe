"""The estimated calls suffice for what is executed, where all lists are full."""

import asyncio
import json
from dataclasses import replace
from typing import Any, cast
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from gateway.auth.credentials import Caller
from gateway.graph.execution.engine import Engine, GraphRequest, Operation
from gateway.graph.node import to_global_id
from gateway.upstream.cache.cached_client import CachedClient
from gateway.upstream.loader import CallBudget, RequestLoader
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


class CountingBudget(CallBudget):
    spent = 0

    def spend(self) -> None:
        self.spent += 1


class BudgetedAccount(Account):
    async def fetch(self, _: Caller, request: UpstreamRequest[Any], **options: Any) -> Any:
        options["before_call"]()
        return await super().fetch(_, request)


@st.composite
def selections(draw: st.DrawFn, type_name: str, depth: int = 3) -> str:
    names = ["id", *FIELDS[type_name]]
    drawn = draw(st.lists(st.sampled_from(names), min_size=1, max_size=4, unique=True))
    selected = ["__typename"]
    for number, name in enumerate(drawn):
        alias = f"a{depth}{number}: "
        if name in LISTS and depth:
            selected.append(alias + draw(connections(name, depth)))
        elif name in OBJECTS and depth:
            below = draw(selections(OBJECTS[name], depth - 1))
            selected.append(f"{alias}{name} {{ {below} }}")
        elif name not in LISTS and name not in OBJECTS:
            selected.append(name)
    return " ".join(selected)


@st.composite
def connections(draw: st.DrawFn, name: str, depth: int = 3) -> str:
    type_name, most = LISTS[name]
    below = draw(selections(type_name, depth - 1))
    return f"{name}(first: {draw(st.integers(1, most))}) {{ nodes {{ {below} }} }}"


@st.composite
def typed(draw: st.DrawFn, *names: str) -> str:
    fragments = [f"... on {each} {{ {draw(selections(each))} }}" for each in names]
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
    return f"{{ {' '.join(f'r{number}: {each}' for number, each in enumerate(drawn))} }}"


@given(queries())
async def test_no_operation_needs_more_calls_than_estimated(query: str) -> None:
    settings = SETTINGS.model_copy(update=UNLIMITED)
    engine = Engine(SCHEMA, settings)
    operation = engine.prepare(GraphRequest(query), read_only=False)
    assert isinstance(operation, Operation), operation
    account = BudgetedAccount(JOBS)
    pages, details = CountingBudget(0, ""), CountingBudget(0, "")
    loader = RequestLoader(
        cast("CachedClient", account),
        Caller.from_keys("ASIA" + "A" * 16, "secret", "token"),
        fresh=False,
        deadline=asyncio.get_running_loop().time() + 60,
        page_budget=pages,
        item_budget=details,
    )
    result = await engine.execute(
        operation, replace(context_of(account, settings), loader_or_error=loader)
    )

    assert result.errors == []
    assert pages.spent <= operation.estimate.pages
    assert details.spent <= operation.estimate.details
