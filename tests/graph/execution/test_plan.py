"""Plans are made once for each text, and give each request the same result as a first one."""

import tracemalloc
import weakref
from typing import Any

import pytest

from gateway.graph.execution import cost
from gateway.graph.execution.cost import FieldCount, SelectedNamedObjects, SelectedObjects
from gateway.graph.execution.cost_compiler import CostCompiler
from gateway.graph.execution.documents import DocumentRejectedError
from gateway.graph.execution.engine import Engine, GraphRequest
from gateway.graph.execution.plan import Planner, WriteByGetError
from gateway.graph.execution.selections import MAX_PLANS
from gateway.graph.node import from_global_id, to_global_id
from gateway.graph.schema import build_schema, executable_schema
from gateway.settings import Settings
from tests.graph.execution.test_executor import JOBS, Account, context_of, decoded

BYTES_PER_CHARACTER = 200
SCHEMA = executable_schema(build_schema())
TWO = "query A { __typename } query B { b: __typename }"
LISTS = """
query ($first: Int) {
  audienceGenerationJobs(first: $first) { edges { node { ...Job } } nodes { id ...Job } }
}
fragment Job on AudienceGenerationJob { name tags { key } exportJobs { nodes { name } } }
"""
SWITCHED = LISTS.replace("name tags", "name @skip(if: $no) tags").replace(
    "$first: Int", "$first: Int, $no: Boolean!"
)


@pytest.fixture
def planner() -> Planner:
    return Planner(SCHEMA, Settings())


def test_a_text_has_one_plan(planner: Planner, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = planner.plan(LISTS, None, {}, read_only=True)

    monkeypatch.setattr(CostCompiler, "compile", lambda *_: pytest.fail("compiled"))
    assert planner.plan(LISTS, None, {}, read_only=True) is plan


def test_a_text_has_a_plan_for_what_its_directives_leave(planner: Planner) -> None:
    values: list[Any] = [True, False, "invalid", True, False, []]
    plans = [planner.plan(SWITCHED, None, {"no": no}, read_only=True) for no in values]

    assert plans[3:] == plans[:3]
    assert len(set(plans)) == 3


def test_few_plans_of_an_operation_are_kept(planner: Planner) -> None:
    names = [f"v{number}" for number in range(10)]
    variables = ", ".join(f"${name}: Boolean = false" for name in names)
    fields = " ".join(f"{name}: __typename @skip(if: ${name})" for name in names)
    text = f"query ({variables}) {{ {fields} }}"
    plans = [weakref.ref(planner.plan(text, None, {name: True}, read_only=True)) for name in names]

    kept = [name for name, plan in zip(names, plans, strict=True) if plan() is not None]
    assert kept == names[-MAX_PLANS:]


def test_each_operation_has_a_plan(planner: Planner) -> None:
    names = [planner.plan(TWO, name, {}, read_only=False).name for name in ("A", "B", "A")]
    assert names == ["A", "B", "A"]

    for unknown in (None, "C"):
        with pytest.raises(DocumentRejectedError):
            planner.plan(TWO, unknown, {}, read_only=False)


def test_a_write_by_get_is_an_error_before_validation(planner: Planner) -> None:
    with pytest.raises(WriteByGetError):
        planner.plan("mutation { a }", None, {}, read_only=True)
    with pytest.raises(DocumentRejectedError):
        planner.plan("mutation { a }", None, {}, read_only=False)


@pytest.mark.parametrize("query", [LISTS, SWITCHED])
async def test_requests_of_a_text_get_what_they_select(query: str) -> None:
    """Requests with the same variables in directives share what the first one selected."""
    engine = Engine(SCHEMA, Settings())

    async def answer(engine: Engine, variables: dict[str, Any]) -> str:
        request = GraphRequest(query, None, variables)
        result = await engine.run(request, context_of(Account(JOBS)), read_only=False)
        assert result.errors == []
        return decoded(result)

    for no in (True, False, True):
        for first in (3, 1):
            variables = {"first": first, "no": no}
            expected = await answer(Engine(SCHEMA, Settings()), variables)
            assert await answer(engine, variables) == expected


@pytest.mark.parametrize("query", [LISTS, SWITCHED])
async def test_further_requests_add_nothing_to_a_plan(query: str) -> None:
    engine = Engine(SCHEMA, Settings())
    plan = engine._planner.plan(query, None, {"no": False}, read_only=True)
    sizes = []
    for first in (1, 2, 3):
        request = GraphRequest(query, None, {"first": first, "no": False})
        await engine.run(request, context_of(Account(JOBS)), read_only=False)
        sizes.append(len(plan.subfields))

    assert sizes[0] > 0
    assert set(sizes) == {sizes[0]}


def test_operations_share_the_fragments_of_their_document(planner: Planner) -> None:
    """Hundreds of both take no more memory than what they weigh in the cache allows for."""
    numbers = range(85)
    text = "".join(f"query q{n} {{ audienceModels {{ pageInfo {{ ...f{n} }} }} }}" for n in numbers)
    text += "".join(f"fragment f{n} on PageInfo {{ __typename }}" for n in numbers)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for n in numbers:
            planner.plan(text, f"q{n}", {}, read_only=True)
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()

    assert taken / planner._documents._cached_weight < BYTES_PER_CHARACTER


def test_a_list_that_several_fields_have_is_read_once(
    planner: Planner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is executed, and before its length is limited."""
    ids = [to_global_id("AudienceModel", str(number)) for number in range(1000)]
    aliases = " ".join(f"a{number}: nodes(ids: $ids) {{ id }}" for number in range(10))
    plan = planner.plan(f"query ($ids: [ID!]!) {{ {aliases} }}", None, {}, read_only=True)
    read = []

    def reading(text: str) -> tuple[str, str] | None:
        read.append(text)
        return from_global_id(text)

    monkeypatch.setattr(cost, "from_global_id", reading)
    estimate = plan.cost.estimate({"ids": ids})

    assert read == ids
    assert (estimate.pages, estimate.details) == (0, 1000)


def test_types_that_do_not_exist_cost_neither_compilation_nor_calls(planner: Planner) -> None:
    ids = [to_global_id(f"Type{number}", "1") for number in range(100)]
    text = "query ($ids: [ID!]!) { nodes(ids: $ids) { id ... on AudienceModel { tags { key } } } }"
    operation = planner.plan(text, None, {}, read_only=True).cost
    compiled = []
    ((entries, of_type),) = operation.named_objects

    def compiling(type_name: str) -> tuple[SelectedObjects, FieldCount]:
        compiled.append(type_name)
        return of_type(type_name)

    operation.named_objects[:] = [SelectedNamedObjects(entries, compiling)]
    estimate = operation.estimate({"ids": [*ids, to_global_id("AudienceModel", "1")]})

    assert compiled == ["AudienceModel"]
    assert estimate.details == 1
