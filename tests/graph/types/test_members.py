"""Members of a row that do not match the service model."""

import json
from typing import Any

import pytest
from starlette.responses import Response

from gateway.app import create_app
from gateway.dev import aws_headers
from gateway.sandbox import CALLERS
from gateway.settings import Settings
from tests.gateways import http
from tests.serving import serve
from tests.upstream.recorder import Received, Recorder

ADA = dict(aws_headers(CALLERS["ada"]))
TIMES = {"createTime": "2026-01-02T03:04:05Z", "updateTime": "2026-01-02T03:04:05Z"}
ARN = "arn:aws:cleanrooms-ml:us-east-1:111122223333"
MODEL = {
    "audienceModelArn": f"{ARN}:audience-model/1b2c3d4e-0000-4000-8000-000000000001",
    "configuredAudienceModelArn": (
        f"{ARN}:configured-audience-model/1b2c3d4e-0000-4000-8000-000000000002"
    ),
    "name": "whole",
    "status": "ACTIVE",
    **TIMES,
}
EXPORT = {
    "audienceGenerationJobArn": (
        f"{ARN}:audience-generation-job/1b2c3d4e-0000-4000-8000-000000000003"
    ),
    "name": "whole",
    "status": "ACTIVE",
    **TIMES,
}


@pytest.mark.parametrize(
    ("lists", "row", "member", "below"),
    [
        (
            "configuredAudienceModels",
            MODEL,
            ("outputConfig", {"roleArn": "a"}),
            "destination { s3Destination { s3Uri } }",
        ),
        (
            "configuredAudienceModels",
            MODEL,
            ("outputConfig", {"roleArn": "a", "destination": {}}),
            "destination { s3Destination { s3Uri } }",
        ),
        ("audienceExportJobs", EXPORT, ("audienceSize", {"value": 5}), "type"),
        ("audienceExportJobs", EXPORT, ("audienceSize", {"type": "ABSOLUTE"}), "value"),
    ],
)
def test_a_malformed_member_is_an_upstream_error(
    lists: str, row: dict[str, str], member: tuple[str, dict[str, Any]], below: str
) -> None:
    """The list is null, as for any invalid row, and the error names the member."""
    name, value = member

    def answer(_: Received) -> Response:
        body = json.dumps({lists: [row | {name: value}]})
        return Response(body, media_type="application/json")

    query = f"{{ {lists} {{ edges {{ node {{ name {name} {{ {below} }} }} }} }} }}"
    with (
        serve(Recorder(answer)) as upstream_url,
        serve(create_app(Settings(upstream_url=upstream_url))) as url,
    ):
        response = http("POST", f"{url}/graphql", json={"query": query}, headers=ADA).json()

    (error,) = response["errors"]
    assert error["extensions"]["code"] == "UPSTREAM_INVALID_RESPONSE"
    assert f"`{name}`" in error["message"]
    assert error["path"] == [lists, "edges", 0, "node", name]
    assert response["data"] == {lists: None}
