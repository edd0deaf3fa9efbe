"""An answer's objects: either what the service model promises, or one clear error."""

import re
from copy import deepcopy
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.errors import UpstreamInvalidResponseError
from gateway.upstream.model import parse_item, row_shape, timestamp
from gateway.upstream.values import Page
from tests.upstream.asking import FIRST_PAGE, GET, LIST

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
    """Damage a good row a little, or replace it."""
    row: dict[str, Any] = dict(ROW)
    for name in draw(st.lists(st.sampled_from(sorted(ROW)), max_size=2)):
        row.pop(name, None)
    row |= draw(
        st.dictionaries(
            st.sampled_from([*ROW, "description", "collaborationId", "startedBy", "tomorrow"]),
            json_values,
            max_size=2,
        )
    )
    return draw(st.just(row) | json_values)


answers = st.dictionaries(
    st.sampled_from(["audienceGenerationJobs", "nextToken", "tomorrow"]), json_values
) | st.fixed_dictionaries(
    {"audienceGenerationJobs": st.lists(rows(), max_size=4)},
    optional={"nextToken": json_values, "tomorrow": json_values},
)


@given(answer=answers)
def test_any_answer_is_a_page_or_one_error(answer: dict[str, Any]) -> None:
    """A page has what the model requires of each row, and nothing is added or lost."""
    given_rows: Any = deepcopy(answer.get("audienceGenerationJobs"))
    try:
        page = FIRST_PAGE.parse(answer)
    except UpstreamInvalidResponseError as error:
        assert error.message.startswith("Clean Rooms ML returned an invalid response")  # noqa: PT017 - either will do
        return

    assert len(page.items) == len(given_rows)
    assert page.next_token is None or page.next_token == answer["nextToken"] != ""
    for row, before in zip(page.items, given_rows, strict=True):
        assert row.keys() == before.keys()
        assert all(isinstance(row[name], str) for name in REQUIRED)
        times = row_shape(LIST).timestamps
        assert all(RFC_3339.fullmatch(row[name]) for name in times)
        assert {name: row[name] for name in row if name not in times} == {
            name: before[name] for name in before if name not in times
        }


@given(answer=st.dictionaries(st.sampled_from([*row_shape(GET).strings, "tomorrow"]), json_values))
def test_any_object_is_an_item_or_one_error(answer: dict[str, Any]) -> None:
    """So it is with the one object of a Get."""
    try:
        item = parse_item(GET, answer)
    except UpstreamInvalidResponseError:
        return
    assert all(item[name] is not None for name in row_shape(GET).required)


@pytest.mark.parametrize("name", REQUIRED)
@pytest.mark.parametrize("value", [None, 5, True, [], {}, "absent"])
def test_a_row_without_what_the_model_requires_fails_its_page(name: str, value: object) -> None:
    """Left out in silence, it would be a row that nobody misses. The error names the member."""
    row = {**ROW, name: value}
    if value == "absent":
        del row[name]

    with pytest.raises(UpstreamInvalidResponseError, match=name):
        FIRST_PAGE.parse({"audienceGenerationJobs": [dict(ROW), row]})


@pytest.mark.parametrize(
    "value", [5, 1767322800.5, True, [], {}, "", "yesterday", "2026-13-01T00:00:00Z", "1767322800"]
)
def test_what_is_no_timestamp_fails_its_page(value: object) -> None:
    """Numbers too: the protocol has texts."""
    with pytest.raises(UpstreamInvalidResponseError, match="createTime"):
        FIRST_PAGE.parse({"audienceGenerationJobs": [{**ROW, "createTime": value}]})


@pytest.mark.parametrize("rows", [None, {}, "rows", 5, "absent"])
def test_a_page_without_a_list_is_none(rows: object) -> None:
    """An empty list is a page; no list is not."""
    answer = {} if rows == "absent" else {"audienceGenerationJobs": rows}
    with pytest.raises(UpstreamInvalidResponseError, match="audienceGenerationJobs"):
        FIRST_PAGE.parse(answer)


@pytest.mark.parametrize("row", [None, [], "row", 5, True])
def test_a_row_that_is_no_object_fails_its_page(row: object) -> None:
    """A null row is somebody's missing job."""
    with pytest.raises(UpstreamInvalidResponseError):
        FIRST_PAGE.parse({"audienceGenerationJobs": [dict(ROW), row]})


@pytest.mark.parametrize("token", [5, True, [], {}, ""])
def test_a_token_that_is_no_text_fails_its_page(token: object) -> None:
    """An empty one could not be asked for either."""
    with pytest.raises(UpstreamInvalidResponseError, match="nextToken"):
        FIRST_PAGE.parse({"audienceGenerationJobs": [], "nextToken": token})


def test_what_aws_adds_tomorrow_is_kept() -> None:
    """A new status and a new member pass through as they are."""
    row = {**ROW, "status": "CREATE_PAUSED", "owner": {"name": "ada"}}
    page = FIRST_PAGE.parse({"audienceGenerationJobs": [row], "nextToken": "t", "total": 1})

    assert page == Page([row], "t")


def test_an_optional_member_may_be_null() -> None:
    """Null and absent are the same to who reads it."""
    row = {**ROW, "description": None, "collaborationId": None}

    assert FIRST_PAGE.parse({"audienceGenerationJobs": [row]}).items == [row]


def test_an_item_has_no_metadata_of_the_call() -> None:
    """What botocore adds to an answer is not the object's."""
    required = dict.fromkeys(row_shape(GET).required, "2026-01-02T03:04:05Z")

    assert parse_item(GET, {**required, "ResponseMetadata": {"RequestId": "r"}}) == required


def _zone(seconds: int) -> tzinfo:
    return timezone(timedelta(seconds=seconds))


FIRST, LAST = datetime(1970, 1, 1), datetime(9998, 12, 31)  # noqa: DTZ001 - hypothesis adds zones
seconds_away = st.integers(-23 * 3600 - 3599, 23 * 3600 + 3599).map(_zone)
minutes_away = st.integers(-1439, 1439).map(lambda minutes: _zone(minutes * 60))
moments = st.datetimes(FIRST, LAST, timezones=minutes_away | st.just(_zone(0)))


def _is_the_same(text: str, moment: datetime) -> None:
    kept = timestamp(text)

    assert RFC_3339.fullmatch(kept), f"{text} became {kept}"
    assert datetime.fromisoformat(kept) == moment


@given(moment=moments)
def test_a_timestamp_keeps_its_moment(moment: datetime) -> None:
    """Whatever its offset, precision and way of writing, it comes out as RFC 3339."""
    text = moment.isoformat()
    year, week, day = moment.isocalendar()
    time = moment.timetz().isoformat()
    basic = f"{moment:%Y%m%dT%H%M%S.%f%z}"

    _is_the_same(text, moment)
    _is_the_same(text.replace("T", " "), moment)
    _is_the_same(text.replace("T", "t"), moment)
    _is_the_same(text.replace(".", ","), moment)
    _is_the_same(basic, moment)
    _is_the_same(f"{year:04}-W{week:02}-{day}T{time}", moment)
    _is_the_same(text.replace("+00:00", "Z"), moment)
    _is_the_same(moment.isoformat(timespec="minutes"), moment.replace(second=0, microsecond=0))


@given(moment=moments)
def test_a_timestamp_in_the_usual_form_is_not_touched(moment: datetime) -> None:
    """AWS's own form, with and without milliseconds, is what is shown."""
    for timespec in ("seconds", "milliseconds"):
        text = moment.astimezone(UTC).isoformat(timespec=timespec).replace("+00:00", "Z")

        assert timestamp(text) == text


@given(moment=st.datetimes(FIRST, LAST))
def test_a_timestamp_without_an_offset_is_utc(moment: datetime) -> None:
    """AWS has no other clock."""
    _is_the_same(moment.isoformat(), moment.replace(tzinfo=UTC))
    _is_the_same(f"{moment:%Y-%m-%d}", datetime(moment.year, moment.month, moment.day, tzinfo=UTC))


@given(moment=st.datetimes(FIRST, LAST, timezones=seconds_away))
@example(datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=1, seconds=7))))
def test_an_offset_with_seconds_is_no_reason_to_leave_rfc_3339(moment: datetime) -> None:
    """RFC 3339 has hours and minutes only; such a moment is written with another offset."""
    _is_the_same(moment.isoformat(), moment)


@pytest.mark.parametrize("text", ["2026-W01-1T03:04:05Z", "2026-W01-1T03:04:05.678Z"])
def test_a_week_date_is_no_rfc_3339(text: str) -> None:
    """As long as the usual form, and with the same letters in the same places."""
    _is_the_same(text, datetime.fromisoformat(text))


@pytest.mark.parametrize(
    "text", ["0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01", "0001-01-01", "9999-12-31"]
)
def test_the_ends_of_time_are_no_crash(text: str) -> None:
    """Where another offset would leave the calendar, there is a timestamp or a clear error."""
    row = {**ROW, "createTime": text}
    try:
        page = FIRST_PAGE.parse({"audienceGenerationJobs": [row]})
    except UpstreamInvalidResponseError:
        return
    assert RFC_3339.fullmatch(page.items[0]["createTime"])


@given(text=st.text(max_size=30))
@example("2026-01-02T03:04:05\u00a0Z")
@example("\uff12\uff10\uff12\uff16-01-02T03:04:05Z")
@example("9999-12-31T23:59:60Z")
def test_any_other_text_is_a_value_error(text: str) -> None:
    """Or it is a timestamp after all."""
    try:
        kept = timestamp(text)
    except ValueError:
        return
    assert RFC_3339.fullmatch(kept)
