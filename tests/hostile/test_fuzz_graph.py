"""Whatever is asked, the answer is data, or errors that have a code, or both; never a failure.

FUZZ_EXAMPLES says how many documents each test tries.
"""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.dev import aws_headers
from gateway.errors import GatewayError, InternalError
from gateway.graph.schema import build_schema, core
from gateway.sandbox import CALLERS
from tests.gateways import GRAPHQL, Answer, Gateway, Sandbox, gateway_over
from tests.hostile.documents import Document, damaged, grown, soups
from tests.hostile.soak import texts_in
from tests.hostile.values import Known

FUZZ_EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "100"))
SCHEMA = core(build_schema(root_node=True))
TEACHING = """{
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
    """List the codes in a branch of the tree of errors."""
    below = [codes_of(each) for each in kind.__subclasses__()]
    return set().union(*below, {kind.code} if hasattr(kind, "code") else set())


CODES = codes_of(GatewayError) - {InternalError.code}


@pytest.fixture(scope="module")
def warm(shared_sandbox: Sandbox) -> Iterator[Gateway]:
    """Serve a gateway that remembers for long: this is not about the upstream."""
    with gateway_over(shared_sandbox, cache_seconds=3600) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def known(warm: Gateway) -> Known:
    """Learn some real cursors, ids and ARNs."""
    told = list(texts_in(warm.ask(TEACHING).data))

    def all_of(ending: str) -> list[str]:
        return [text for name, text in told if name.endswith(ending)]

    return Known(all_of("cursor"), all_of("id"), all_of("Arn"))


def sent(gateway: Gateway, accept: str = GRAPHQL, **body: Any) -> Answer:
    """Send a request as ada, and hold the answer against what every answer must be."""
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
def test_a_document_that_fits_the_schema_is_executed(
    warm: Gateway, known: Known, data: st.DataObject
) -> None:
    """Or it asks for too much, or by a wrong value; it is never said not to fit."""
    document: Document = data.draw(grown(SCHEMA, known))
    answer = sent(warm, query=document.query, variables=document.variables)
    codes = {error["extensions"]["code"] for error in answer.errors}

    assert not codes & {"GRAPHQL_PARSE_FAILED", "GRAPHQL_VALIDATION_FAILED"}, document
    assert "data" in answer.content or codes <= {"LIMIT_EXCEEDED", "BAD_USER_INPUT"}, document


@fuzz
@given(st.data())
def test_a_document_that_almost_fits_is_answered(
    warm: Gateway, known: Known, data: st.DataObject
) -> None:
    """As data or as errors, with variables of the right kind or of any."""
    document: Document = data.draw(damaged(SCHEMA, known) | grown(SCHEMA, known))
    names = st.sampled_from([*document.variables, "x"])
    odd = data.draw(st.dictionaries(names, JSON, max_size=2))
    accept = data.draw(st.sampled_from([GRAPHQL, "application/json"]))

    sent(warm, accept, query=document.query, variables={**document.variables, **odd})


@fuzz
@given(soups, JSON, JSON)
def test_tokens_in_any_order_are_answered(
    warm: Gateway, document: Document, variables: Any, name: Any
) -> None:
    """So are variables and an operation name that are anything."""
    sent(warm, query=document.query, variables=variables, operationName=name)
