"""Random documents: the answer is data, errors with a documented code, or both.

FUZZ_EXAMPLES sets the number of documents of each test.
"""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.dev import aws_headers
from gateway.errors import GatewayError, InternalError
from gateway.graph.schema import build_schema, executable_schema
from gateway.sandbox import CALLERS
from tests.gateways import GRAPHQL, Answer, Gateway, Sandbox, gateway_over
from tests.hostile.documents import Document, mutated_documents, token_lists, valid_documents
from tests.hostile.values import Known, texts_in

FUZZ_EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "50"))
SCHEMA = executable_schema(build_schema(root_node=True))
SAMPLE = """{
  audienceGenerationJobs(first: 3) { edges { cursor node { id audienceGenerationJobArn } } }
  audienceModels(first: 2) { edges { cursor node { id audienceModelArn } } }
  audienceExportJobs(first: 2) { edges { cursor node { id } } }
}"""
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
fuzz = settings(
    max_examples=FUZZ_EXAMPLES,
    suppress_health_check=list(HealthCheck),
)


def codes_of(kind: type[GatewayError]) -> set[str]:
    """Collect the codes of an error class and its subclasses."""
    below = [codes_of(each) for each in kind.__subclasses__()]
    return set().union(*below, {kind.code} if hasattr(kind, "code") else set())


CODES = codes_of(GatewayError) - {InternalError.code}


@pytest.fixture(scope="module")
def cached_gateway(shared_sandbox: Sandbox) -> Iterator[Gateway]:
    """Serve a gateway that caches for long: these tests are not about the upstream."""
    with gateway_over(shared_sandbox, cache_seconds=3600) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def known(cached_gateway: Gateway) -> Known:
    """Read some real cursors, ids and ARNs."""
    texts = list(texts_in(cached_gateway.ask(SAMPLE).data))

    def all_of(ending: str) -> list[str]:
        return [text for name, text in texts if name.endswith(ending)]

    return Known(all_of("cursor"), all_of("id"), all_of("Arn"))


def answer_to(gateway: Gateway, accept: str = GRAPHQL, **body: Any) -> Answer:
    """Send a request as ada, and check what holds for every answer."""
    headers = {"Accept": accept, **aws_headers(CALLERS["ada"])}
    answer = gateway.send("POST", json=body, headers=headers)

    assert answer.status in ({200, 400, 413} if accept == GRAPHQL else {200, 413}), answer.content
    assert {"data", "errors"} & answer.content.keys(), answer.content
    assert answer.content.keys() <= {"data", "errors", "extensions"}
    assert "errors" not in answer.content or answer.errors
    for error in answer.errors:
        assert error["extensions"]["code"] in CODES, error
        assert isinstance(error["message"], str)
        assert error["message"]
    if "data" in answer.content:
        assert answer.status == 200
    return answer


@fuzz
@given(st.data())
def test_valid_documents_are_executed(
    cached_gateway: Gateway, known: Known, data: st.DataObject
) -> None:
    """They may exceed a limit or have an unacceptable value, but are never invalid."""
    document: Document = data.draw(valid_documents(SCHEMA, known))
    answer = answer_to(cached_gateway, query=document.query, variables=document.variables)
    codes = {error["extensions"]["code"] for error in answer.errors}

    assert not codes & {"GRAPHQL_PARSE_FAILED", "GRAPHQL_VALIDATION_FAILED"}, document
    assert "data" in answer.content or codes <= {"LIMIT_EXCEEDED", "BAD_USER_INPUT"}, document


@fuzz
@given(st.data())
def test_almost_valid_documents_are_answered(
    cached_gateway: Gateway, known: Known, data: st.DataObject
) -> None:
    """Variables are of the right type, or of any type."""
    document: Document = data.draw(
        mutated_documents(SCHEMA, known) | valid_documents(SCHEMA, known)
    )
    names = st.sampled_from([*document.variables, "x"])
    odd = data.draw(st.dictionaries(names, JSON, max_size=2))
    accept = data.draw(st.sampled_from([GRAPHQL, "application/json"]))

    answer_to(cached_gateway, accept, query=document.query, variables={**document.variables, **odd})


@fuzz
@given(token_lists, JSON, JSON)
def test_random_tokens_are_answered(
    cached_gateway: Gateway, document: Document, variables: Any, name: Any
) -> None:
    """Variables and the operation name are of any type."""
    answer_to(cached_gateway, query=document.query, variables=variables, operationName=name)
