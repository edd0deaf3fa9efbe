"""Responses are checked as the service model says, and the parser's bypass loses nothing."""

import asyncio
import re
from collections.abc import Iterator
from copy import deepcopy
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any

import pytest
from botocore.model import ListShape, MapShape, Shape, StructureShape
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.errors import UpstreamInvalidResponseError
from gateway.graph.types.audience_generation_job import JOB
from gateway.sandbox import create_sandbox
from gateway.sandbox.api.operations import OPERATIONS as EMULATED
from gateway.upstream.model import (
    normalize_timestamp,
    parse_item,
    parse_list,
    row_shape,
    service_model,
)
from tests.sandbox.clients import Client, client
from tests.serving import serve
from tests.upstream.clients import GET, LIST, REGION, caller, open_client

OPERATIONS = sorted({*EMULATED, JOB.list_operation, JOB.get_operation})
LISTS = [operation for operation in OPERATIONS if operation.startswith("List")]
NOW = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
ARNS = {
    "GetAudienceGenerationJob": ("ListAudienceGenerationJobs", "audienceGenerationJobArn"),
    "GetAudienceModel": ("ListAudienceModels", "audienceModelArn"),
    "GetConfiguredAudienceModel": ("ListConfiguredAudienceModels", "configuredAudienceModelArn"),
    "GetTrainingDataset": ("ListTrainingDatasets", "trainingDatasetArn"),
}

RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)
ROW = {
    "audienceGenerationJobArn": "arn:aws:cleanrooms-ml:us-east-1:1:audience-generation-job/a",
    "configuredAudienceModelArn": "arn:aws:cleanrooms-ml:us-east-1:1:configured-audience-model/b",
    "createTime": "2026-01-02T03:04:05.678Z",
    "updateTime": "2026-01-02T03:04:05.678Z",
    "name": "spring",
    "status": "ACTIVE",
}
REQUIRED = sorted(row_shape(LIST).required)


def members(shape: Shape | None, path: str = "$") -> Iterator[tuple[str, Shape]]:
    """Yield every shape in a response, with its path."""
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


def method_name(operation: str) -> str:
    """Return boto3's name for an operation."""
    return "".join(f"_{char.lower()}" if char.isupper() else char for char in operation)[1:]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_no_member_of_a_response_needs_the_parser_of_botocore(operation: str) -> None:
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
def test_timestamps_occur_only_where_rows_are_checked(operation: str) -> None:
    shape = row_shape(operation)
    row = "$" if shape.list_member is None else f"$.{shape.list_member}[]"
    output = service_model().operation_model(operation).output_shape
    found = {path for path, member in members(output) if member.type_name == "timestamp"}

    assert found == {f"{row}.{name}" for name in shape.timestamps}
    assert found


@pytest.fixture(scope="module")
def static_sandbox() -> Iterator[str]:
    """Serve a sandbox whose clock stands still, so that no job changes."""
    with serve(create_sandbox(clock=lambda: NOW)) as url:
        yield url


@pytest.fixture
def boto3_client(static_sandbox: str) -> Client:
    return client(static_sandbox)


def _as_boto3(operation: str, row: Any) -> dict[str, Any]:
    timestamps = row_shape(operation).timestamps
    return {
        name: datetime.fromisoformat(value) if name in timestamps else value
        for name, value in row.items()
    }


@pytest.mark.parametrize("operation", LISTS)
async def test_pages_equal_those_of_boto3(
    operation: str, static_sandbox: str, boto3_client: Client
) -> None:
    token: str | None = None
    async with open_client(static_sandbox) as aws:
        for _ in range(2):
            parameters = {} if token is None else {"nextToken": token}
            rows, token = parse_list(
                operation, await aws.call(caller("ada"), REGION, operation, parameters)
            )
            method = getattr(boto3_client, method_name(operation))
            expected = await asyncio.to_thread(method, **parameters)

            parsed = [_as_boto3(operation, row) for row in rows]
            assert parsed == expected[row_shape(operation).list_member]
            assert token == expected.get("nextToken")
            if token is None:
                break


@pytest.mark.parametrize("operation", ARNS)
async def test_objects_equal_those_of_boto3(
    operation: str, static_sandbox: str, boto3_client: Client
) -> None:
    listing, arn = ARNS[operation]
    page = getattr(boto3_client, method_name(listing))(maxResults=20)
    async with open_client(static_sandbox) as aws:
        for row in page[row_shape(listing).list_member]:
            response = await aws.call(caller("ada"), REGION, operation, {arn: row[arn]})
            expected = getattr(boto3_client, method_name(operation))(**{arn: row[arn]})
            del response["ResponseMetadata"], expected["ResponseMetadata"]

            assert _as_boto3(operation, parse_item(operation, response)) == expected


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=12)
    | st.sampled_from(["", "yesterday", "2026-01-02", "2026-W01-1T03:04:05Z", "\x00", "é"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=5,
)


@st.composite
def rows(draw: st.DrawFn) -> Any:
    """Damage a valid row a little, or replace it."""
    row: dict[str, Any] = dict(ROW)
    for name in draw(st.lists(st.sampled_from(sorted(ROW)), max_size=2)):
        row.pop(name, None)
    row |= draw(
        st.dictionaries(
            st.sampled_from([*ROW, "description", "collaborationId", "startedBy", "unknown"]),
            json_values,
            max_size=2,
        )
    )
    return draw(st.just(row) | json_values)


responses = st.dictionaries(
    st.sampled_from(["audienceGenerationJobs", "nextToken", "unknown"]), json_values
) | st.fixed_dictionaries(
    {"audienceGenerationJobs": st.lists(rows(), max_size=4)},
    optional={"nextToken": json_values, "unknown": json_values},
)


@given(response=responses)
def test_any_response_is_a_page_or_invalid(response: dict[str, Any]) -> None:
    """A page has what the model requires of each row, and nothing is added or lost."""
    original: Any = deepcopy(response.get("audienceGenerationJobs"))
    try:
        parsed, token = parse_list(LIST, response)
    except UpstreamInvalidResponseError as error:
        assert error.message.startswith("Clean Rooms ML returned an invalid response")  # noqa: PT017 - either will do
        return

    timestamps = row_shape(LIST).timestamps
    assert len(parsed) == len(original)
    assert token == (response.get("nextToken") or None)
    for row, before in zip(parsed, original, strict=True):
        assert row.keys() == before.keys()
        assert all(isinstance(row[name], str) for name in REQUIRED)
        assert all(RFC_3339.fullmatch(row[name]) for name in timestamps)
        assert {name: row[name] for name in row if name not in timestamps} == {
            name: before[name] for name in before if name not in timestamps
        }


@given(response=st.dictionaries(st.sampled_from([*row_shape(GET).strings, "unknown"]), json_values))
def test_any_response_is_an_object_or_invalid(response: dict[str, Any]) -> None:
    try:
        item = parse_item(GET, response)
    except UpstreamInvalidResponseError:
        return
    assert all(item[name] is not None for name in row_shape(GET).required)


def page_of(*rows: object) -> dict[str, Any]:
    return {"audienceGenerationJobs": list(rows)}


NOT_STRINGS: list[Any] = [None, 5, True, [], {}]
WITHOUT_NAME = {name: value for name, value in ROW.items() if name != "name"}
INVALID: dict[str, tuple[str, dict[str, Any]]] = {
    "no list": ("audienceGenerationJobs", {}),
    **{
        f"list is {value!r}": ("audienceGenerationJobs", {"audienceGenerationJobs": value})
        for value in ["rows", *NOT_STRINGS[:3]]
    },
    **{
        f"token is {value!r}": ("nextToken", {**page_of(), "nextToken": value})
        for value in NOT_STRINGS[1:]
    },
    **{
        f"row is {value!r}": ("not an object", page_of(dict(ROW), value))
        for value in ["row", *NOT_STRINGS[:-1]]
    },
    "required member is absent": ("name", page_of(dict(ROW), WITHOUT_NAME)),
    **{
        f"required {name} is {value!r}": (name, page_of(dict(ROW), {**ROW, name: value}))
        for name in REQUIRED
        for value in NOT_STRINGS
    },
    **{
        f"timestamp is {value!r}": ("createTime", page_of({**ROW, "createTime": value}))
        for value in ("", "yesterday", "2026-13-01T00:00:00Z", "1767322800")
    },
}


@pytest.mark.parametrize(("reason", "response"), INVALID.values(), ids=INVALID)
def test_one_invalid_part_fails_the_page(reason: str, response: dict[str, Any]) -> None:
    """The error names it."""
    with pytest.raises(UpstreamInvalidResponseError, match=reason):
        parse_list(LIST, response)


def test_unknown_members_and_values_are_kept() -> None:
    row = {**ROW, "status": "CREATE_PAUSED", "owner": {"name": "ada"}}

    assert parse_list(LIST, {**page_of(row), "nextToken": "t", "total": 1}) == ([row], "t")


@pytest.mark.parametrize("end", [{}, {"nextToken": None}, {"nextToken": ""}])
def test_a_list_ends_without_a_token(end: dict[str, Any]) -> None:
    assert parse_list(LIST, {**page_of(dict(ROW)), **end}) == ([ROW], None)


def test_an_optional_member_may_be_null() -> None:
    row = {**ROW, "description": None, "collaborationId": None}

    assert parse_list(LIST, page_of(row)) == ([row], None)


def _zone(seconds: int) -> tzinfo:
    return timezone(timedelta(seconds=seconds))


FIRST, LAST = datetime(1970, 1, 1), datetime(9998, 12, 31)  # noqa: DTZ001 - hypothesis adds zones
second_offsets = st.integers(-23 * 3600 - 3599, 23 * 3600 + 3599).map(_zone)
minute_offsets = st.integers(-1439, 1439).map(lambda minutes: _zone(minutes * 60))
moments = st.datetimes(FIRST, LAST, timezones=minute_offsets | st.just(_zone(0)))


def _check_timestamp(text: str, moment: datetime) -> None:
    result = normalize_timestamp(text)

    assert RFC_3339.fullmatch(result), f"{text} became {result}"
    assert datetime.fromisoformat(result) == moment


@given(moment=moments)
def test_any_notation_of_a_moment_becomes_rfc_3339(moment: datetime) -> None:
    text = moment.isoformat()
    year, week, day = moment.isocalendar()
    time = moment.timetz().isoformat()
    basic = f"{moment:%Y%m%dT%H%M%S.%f%z}"

    _check_timestamp(text, moment)
    _check_timestamp(text.replace("T", " "), moment)
    _check_timestamp(text.replace("T", "t"), moment)
    _check_timestamp(text.replace(".", ","), moment)
    _check_timestamp(basic, moment)
    _check_timestamp(f"{year:04}-W{week:02}-{day}T{time}", moment)
    _check_timestamp(text.replace("+00:00", "Z"), moment)
    minutes = moment.replace(second=0, microsecond=0)
    _check_timestamp(moment.isoformat(timespec="minutes"), minutes)


@given(moment=moments)
def test_the_usual_notation_of_aws_is_unchanged(moment: datetime) -> None:
    for timespec in ("seconds", "milliseconds"):
        text = moment.astimezone(UTC).isoformat(timespec=timespec).replace("+00:00", "Z")

        assert normalize_timestamp(text) == text


@given(moment=st.datetimes(FIRST, LAST))
def test_a_timestamp_without_an_offset_is_utc(moment: datetime) -> None:
    midnight = datetime(moment.year, moment.month, moment.day, tzinfo=UTC)

    _check_timestamp(moment.isoformat(), moment.replace(tzinfo=UTC))
    _check_timestamp(f"{moment:%Y-%m-%d}", midnight)


@given(moment=st.datetimes(FIRST, LAST, timezones=second_offsets))
@example(datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=1, seconds=7))))
def test_an_offset_with_seconds_becomes_another(moment: datetime) -> None:
    """RFC 3339 has offsets of hours and minutes only."""
    _check_timestamp(moment.isoformat(), moment)


@pytest.mark.parametrize("text", ["2026-W01-1T03:04:05Z", "2026-W01-1T03:04:05.678Z"])
def test_a_week_date_of_the_usual_length_is_converted(text: str) -> None:
    _check_timestamp(text, datetime.fromisoformat(text))


@pytest.mark.parametrize(
    "text", ["0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01", "0001-01-01", "9999-12-31"]
)
def test_the_ends_of_the_calendar_are_valid_or_invalid(text: str) -> None:
    """Where UTC would leave the calendar, the response is invalid."""
    try:
        parsed, _ = parse_list(LIST, page_of({**ROW, "createTime": text}))
    except UpstreamInvalidResponseError:
        return
    assert RFC_3339.fullmatch(parsed[0]["createTime"])


@given(text=st.text(max_size=30))
@example("2026-01-02T03:04:05\u00a0Z")
@example("\uff12\uff10\uff12\uff16-01-02T03:04:05Z")
@example("9999-12-31T23:59:60Z")
def test_any_other_text_is_a_value_error(text: str) -> None:
    try:
        result = normalize_timestamp(text)
    except ValueError:
        return
    assert RFC_3339.fullmatch(result)
