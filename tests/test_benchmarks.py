"""`make bench` asks every server the same; its questions fit their schemas."""

from typing import cast

import orjson
import pytest
import strawberry
from graphql import (
    DocumentNode,
    GraphQLObjectType,
    GraphQLSchema,
    build_schema,
    introspection_types,
    parse,
    validate,
)

from benchmarks.contestants import PEERS
from benchmarks.execution import Execution
from benchmarks.measures.comparison import CASES
from benchmarks.peers.strawberry_app import Query
from benchmarks.questions import Question
from benchmarks.wrk import NUMBER
from gateway.graph.schema import client_sdl

QUESTIONS = pytest.mark.parametrize(
    "question", [case.question for case in CASES.values()], ids=CASES
)


def stock_sdl() -> str:
    """Print Strawberry's schema. To make it changes the introspection of all in the process."""
    fields = cast("GraphQLObjectType", introspection_types["__Type"]).fields
    is_one_of = fields["isOneOf"]
    try:
        return strawberry.Schema(Query).as_str()
    finally:
        fields["isOneOf"] = is_one_of


@QUESTIONS
@pytest.mark.parametrize("sdl", [client_sdl(), stock_sdl()], ids=["ours", "stock"])
def test_schemas_with_a_connection_answer_each_question(question: Question, sdl: str) -> None:
    assert not validate(build_schema(sdl), document(question.text()))


@QUESTIONS
@pytest.mark.parametrize("config", ["supergraph.graphql", "tailcall.graphql"])
def test_the_peers_rest_shaped_schemas_answer_each_question(
    question: Question, config: str
) -> None:
    assert not validate(rest_shaped(config), document(question.text(rest_shaped=True)))


async def test_both_executions_return_the_same_rows() -> None:
    """Ours, which is measured, and graphql-core's, for comparison."""
    execution = Execution()
    ours, stock = await execution.ours(), await execution.stock()

    assert orjson.loads(orjson.dumps(ours.data)) == stock.data


def document(text: str) -> DocumentNode:
    return parse(text.replace(NUMBER, "123456"))


def rest_shaped(config: str) -> GraphQLSchema:
    """Build the schema of a peer's configuration, whose directives are the peer's own."""
    sdl = (PEERS / config).read_text("utf-8").replace("port: PORT", "port: 0")
    return build_schema(sdl, assume_valid_sdl=True)
