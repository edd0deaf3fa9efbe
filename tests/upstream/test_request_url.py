"""URLs of calls are those that botocore makes."""

from typing import Any

import pytest
from botocore.awsrequest import prepare_request_dict
from botocore.serialize import create_serializer
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.graph.projections import projections
from gateway.upstream.model import input_shape, service_model
from gateway.upstream.request_url import request_url

OPERATIONS = sorted(projections())
ENDPOINTS = [
    "https://cleanrooms-ml.us-east-1.amazonaws.com",
    "http://[::1]:80/",
    "http://a/b",
    "http://a/b/",
]

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@st.composite
def calls(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """Draw an operation, and its parameters in any order."""
    operation = draw(st.sampled_from(OPERATIONS))
    shape = input_shape(operation)
    names = draw(st.permutations(sorted(shape.members)))
    optional = draw(st.sets(st.sampled_from(names)))
    values = {"string": texts, "integer": st.integers(1, 100)}
    return operation, {
        name: draw(values[shape.members[name].type_name])
        for name in names
        if name in shape.required_members or name in optional
    }


@given(st.sampled_from(ENDPOINTS), calls())
@example(ENDPOINTS[0], ("GetAudienceModel", {"audienceModelArn": "arn:aws:{x}/../é ~+%2F"}))
def test_urls_are_those_of_botocore(endpoint: str, call: tuple[str, dict[str, Any]]) -> None:
    operation, parameters = call
    model = service_model().operation_model(operation)
    request: Any = create_serializer("rest-json", include_validation=False).serialize_to_request(
        parameters, model
    )
    prepare_request_dict(request, endpoint)

    assert request_url(endpoint, operation, parameters) == request["url"]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_calls_are_get_requests_without_headers_and_bodies(operation: str) -> None:
    locations = {each.serialization["location"] for each in input_shape(operation).members.values()}

    assert service_model().operation_model(operation).http["method"] == "GET"
    assert locations <= {"uri", "querystring"}
