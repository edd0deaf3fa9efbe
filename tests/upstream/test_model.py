"""The parser's short cut loses nothing that the service model or stock boto3 knows."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.model import ListShape, MapShape, Shape, StructureShape

from gateway.graph.types.audience_generation_job import JOB
from gateway.sandbox import create_sandbox
from gateway.sandbox.api.operations import OPERATIONS as EMULATED
from gateway.upstream.model import parse_item, parse_list, row_shape, service_model
from tests.sandbox.clients import Client, client
from tests.serving import serve
from tests.upstream.asking import REGION, caller, opened

OPERATIONS = sorted({*EMULATED, JOB.list_operation, JOB.get_operation})
LISTS = [operation for operation in OPERATIONS if operation.startswith("List")]
NOW = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
ARNS = {
    "GetAudienceGenerationJob": ("ListAudienceGenerationJobs", "audienceGenerationJobArn"),
    "GetAudienceModel": ("ListAudienceModels", "audienceModelArn"),
    "GetConfiguredAudienceModel": ("ListConfiguredAudienceModels", "configuredAudienceModelArn"),
    "GetTrainingDataset": ("ListTrainingDatasets", "trainingDatasetArn"),
}


def members(shape: Shape | None, path: str = "$") -> Iterator[tuple[str, Shape]]:
    """Give every shape in an answer, with the way to it."""
    if shape is None:
        return
    yield path, shape
    if isinstance(shape, StructureShape):
        for name, member in shape.members.items():
            yield from members(member, f"{path}.{name}")
    elif isinstance(shape, ListShape):
        yield from members(shape.member, f"{path}[]")
    elif isinstance(shape, MapShape):
        yield from members(shape.value, f"{path}{{}}")


def snake(operation: str) -> str:
    """Give boto3's name for an operation."""
    return "".join(f"_{char.lower()}" if char.isupper() else char for char in operation)[1:]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_no_member_of_an_answer_needs_a_parser(operation: str) -> None:
    """None is renamed, sent in a header or a status, a blob, a document, or a stream."""
    model = service_model().operation_model(operation)
    shape = model.output_shape
    assert model.service_model.protocol == "rest-json"
    assert shape is not None
    assert not model.has_streaming_output
    assert not model.has_event_stream_output
    assert "payload" not in shape.serialization

    for path, member in members(shape):
        renamed = member.serialization.keys() - {"timestampFormat"}
        assert not renamed, f"{path} has {sorted(renamed)}"
        assert member.type_name not in {"blob", "long"}, path
        assert not getattr(member, "is_document_type", False), path


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_timestamp_of_an_answer_is_held_against_the_model(operation: str) -> None:
    """There is none deeper than where the rows are checked."""
    shape = row_shape(operation)
    row = "$" if shape.list_member is None else f"$.{shape.list_member}[]"
    output = service_model().operation_model(operation).output_shape
    found = {path for path, member in members(output) if member.type_name == "timestamp"}

    assert found == {f"{row}.{name}" for name in shape.timestamps}
    assert found


@pytest.fixture(scope="module")
def still_url() -> Iterator[str]:
    """Serve a sandbox in which no job moves."""
    with serve(create_sandbox(clock=lambda: NOW)) as url:
        yield url


@pytest.fixture
def stock(still_url: str) -> Client:
    """Give stock boto3's client."""
    return client(still_url)


def _parsed(operation: str, row: Any) -> dict[str, Any]:
    times = row_shape(operation).timestamps
    return {
        name: datetime.fromisoformat(value) if name in times else value
        for name, value in row.items()
    }


@pytest.mark.parametrize("operation", LISTS)
async def test_a_page_is_what_stock_boto3_gives(
    operation: str, still_url: str, stock: Client
) -> None:
    """The first two pages have the same rows, values and token."""
    token: str | None = None
    async with opened(still_url) as aws:
        for _ in range(2):
            more = {} if token is None else {"nextToken": token}
            answer = await aws.call(caller("ada"), REGION, operation, more)
            items, next_token = parse_list(operation, answer)
            expected = await asyncio.to_thread(getattr(stock, snake(operation)), **more)

            rows = expected[row_shape(operation).list_member]
            assert [_parsed(operation, row) for row in items] == rows
            assert next_token == expected.get("nextToken")
            token = next_token
            if token is None:
                break


@pytest.mark.parametrize("operation", ARNS)
async def test_an_object_is_what_stock_boto3_gives(
    operation: str, still_url: str, stock: Client
) -> None:
    """Every member of the first twenty objects is the same, however deep."""
    listing, arn = ARNS[operation]
    rows = getattr(stock, snake(listing))(maxResults=20)[row_shape(listing).list_member]
    async with opened(still_url) as aws:
        for row in rows:
            answer = await aws.call(caller("ada"), REGION, operation, {arn: row[arn]})
            expected = getattr(stock, snake(operation))(**{arn: row[arn]})
            del expected["ResponseMetadata"]

            assert _parsed(operation, parse_item(operation, answer)) == expected
