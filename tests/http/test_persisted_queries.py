"""A hash instead of a query: the answer after which clients send the query.

tests/clients has the clients themselves. Apollo Client, urql and Apollo Router look for either
error; @apollo/gateway, Hive Gateway and Apollo's mobile clients for PersistedQueryNotFound only,
and some of these read the body of a 200 only.
"""

import hashlib
import json
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.requests import parse_body
from gateway.http.responses import HttpError
from tests.gateways import GRAPHQL, Answer, Gateway

QUERY = "{ __typename }"
HASH = hashlib.sha256(QUERY.encode()).hexdigest()


def persisted(sha256_hash: str, **others: Any) -> dict[str, Any]:
    return {"persistedQuery": {"version": 1, "sha256Hash": sha256_hash, **others}}


def send(gateway: Gateway, method: str, accept: str, **parameters: Any) -> Answer:
    if method == "POST":
        return gateway.send("POST", json=parameters, headers={"Accept": accept})
    texts = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in parameters.items()
    }
    return gateway.send("GET", f"/graphql?{urlencode(texts)}", headers={"Accept": accept})


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("accept", [GRAPHQL, "application/json", "*/*"])
@pytest.mark.parametrize("others", [{}, {"operationName": "Jobs", "variables": {"first": 3}}])
def test_a_hash_alone_is_answered_in_the_form_that_clients_look_for(
    gateway: Gateway, method: str, accept: str, others: dict[str, Any]
) -> None:
    answer = send(gateway, method, accept, extensions=persisted("00"), **others)

    assert answer.status == 200
    assert answer.content == {
        "errors": [
            {
                "message": "PersistedQueryNotSupported",
                "extensions": {"code": "PERSISTED_QUERY_NOT_SUPPORTED"},
            },
            {
                "message": "PersistedQueryNotFound",
                "extensions": {"code": "PERSISTED_QUERY_NOT_FOUND"},
            },
        ]
    }
    assert answer.headers["cache-control"] == "private, no-store"


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("sha256_hash", [HASH, "00", ""])
def test_with_the_query_the_hash_does_not_matter(
    gateway: Gateway, method: str, sha256_hash: str
) -> None:
    """Nothing is stored under it, so a wrong one does no harm; urql adds `miss`."""
    extensions = persisted(sha256_hash, miss=True)

    answer = send(gateway, method, GRAPHQL, query=QUERY, extensions=extensions)

    assert answer.data == {"__typename": "Query"}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
members = st.fixed_dictionaries(
    {}, optional={"version": st.just(1) | json_values, "sha256Hash": json_values}
)


def is_malformed(form: Any) -> bool:
    if not isinstance(form, dict):
        return form is not None
    return form.get("version") != 1 or not isinstance(form.get("sha256Hash"), str)


@given(form=(members | json_values).filter(is_malformed), query=st.sampled_from([QUERY, "", None]))
def test_any_other_form_is_a_400_that_names_it(form: Any, query: str | None) -> None:
    body = json.dumps({"query": query, "extensions": {"persistedQuery": form}})

    with pytest.raises(HttpError, match=r"`extensions.persistedQuery` .* Accepted: ") as raised:
        parse_body(body.encode())

    assert (raised.value.status, raised.value.error.code) == (400, "BAD_USER_INPUT")


def test_null_is_no_persisted_query() -> None:
    extensions = {"persistedQuery": None}

    request = parse_body(json.dumps({"query": QUERY, "extensions": extensions}).encode())
    assert request.query == QUERY
    with pytest.raises(HttpError, match="`query`"):
        parse_body(json.dumps({"extensions": extensions}).encode())
