"""The scalar DateTime accepts exactly RFC 3339, in literals as in variables."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from graphql import (
    GraphQLInputObjectType,
    OperationDefinitionNode,
    get_named_type,
    parse,
)
from graphql.execution import get_variable_values
from hypothesis import given
from hypothesis import strategies as st

from gateway.graph.execution.validation import Validator
from gateway.graph.schema import build_schema, executable_schema
from gateway.graph.types.values import parse_datetime
from tests.gateways import Gateway

SCHEMA = executable_schema(build_schema())
VALIDATOR = Validator(SCHEMA, (), hide_suggestions=True)


@st.composite
def moments(draw: st.DrawFn) -> tuple[str, datetime]:
    """Draw a date-time in the form of RFC 3339, and the moment that it is."""
    wall_clock = draw(st.datetimes()).replace(microsecond=0)
    digits = draw(st.text("0123456789", max_size=12))
    minutes = draw(st.sampled_from([0, 0, 1, 59, 60, 330, 23 * 60 + 59]))
    sign = draw(st.sampled_from("+-"))
    is_utc = draw(st.booleans())
    offset = f"{sign}{minutes // 60:02}:{minutes % 60:02}"
    text = f"{wall_clock:%m-%dT%H:%M:%S}{'.' if digits else ''}{digits}{'Z' if is_utc else offset}"
    ahead = timedelta(0) if is_utc else timedelta(minutes=int(f"{sign}{minutes}"))
    moment = wall_clock.replace(microsecond=int(f"{digits:0<6.6}"), tzinfo=timezone(ahead))
    text = f"{wall_clock.year:04}-{text}"
    return draw(st.sampled_from([text, text.lower(), text.replace("T", "t")])), moment


@given(moments())
def test_the_form_of_rfc_3339_is_accepted(moment: tuple[str, datetime]) -> None:
    """With any number of digits, of which microseconds are kept: AWS has milliseconds."""
    text, expected = moment

    assert parse_datetime(text) == expected
    assert verdicts(text) == {"literal": True, "variable": True}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # The examples of RFC 3339, section 5.8.
        ("1985-04-12T23:20:50.52Z", datetime(1985, 4, 12, 23, 20, 50, 520_000, UTC)),
        ("1996-12-19T16:39:57-08:00", datetime(1996, 12, 20, 0, 39, 57, 0, UTC)),
        ("1937-01-01T12:00:27.87+00:20", datetime(1937, 1, 1, 11, 40, 27, 870_000, UTC)),
        # A leap second is after all of the second before it, and before the next day.
        ("1990-12-31T23:59:60Z", datetime(1990, 12, 31, 23, 59, 59, 999_999, UTC)),
        ("1990-12-31T15:59:60-08:00", datetime(1990, 12, 31, 23, 59, 59, 999_999, UTC)),
        ("2012-07-01T01:59:60.25+02:00", datetime(2012, 6, 30, 23, 59, 59, 999_999, UTC)),
        ("9999-12-31T23:59:60Z", datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC)),
        # Python has no year 0000, and AWS nothing from it.
        ("0000-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
        ("0000-02-29T12:00:00+01:00", datetime(1, 1, 1, tzinfo=UTC)),
        ("2024-02-29T00:00:00-00:00", datetime(2024, 2, 29, tzinfo=UTC)),
    ],
)
def test_corners_of_rfc_3339_are_accepted(text: str, expected: datetime) -> None:
    assert parse_datetime(text) == expected
    assert verdicts(text) == {"literal": True, "variable": True}


@pytest.mark.parametrize(
    "text",
    [
        "yesterday",
        "",
        "2026-01-01",
        "2026-01-01T00:00:00",
        "2026-01-01 00:00:00Z",
        "2026-01-01T00:00Z",
        "2026-01-01T00Z",
        "2026-W01-1T00:00:00Z",
        "2026W011T000000Z",
        "2026-001T00:00:00Z",
        "20260101T000000Z",
        "2026-01-01T00:00:00,5Z",
        "2026-01-01T00:00:00.Z",
        "2026-01-01T00:00:00+0100",
        "2026-01-01T00:00:00+01",
        "2026-01-01T00:00:00+01:00:00",
        "2026-01-01T00:00:00+24:00",
        "2026-01-01T00:00:00+01:60",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:60:00Z",
        "2026-01-01T00:00:61Z",
        "2026-01-31T23:58:60Z",
        "2026-01-30T23:59:60Z",
        "2026-01-31T23:59:60+01:00",
        "9999-12-31T23:59:60-08:00",
        "2026-02-29T00:00:00Z",
        "0000-02-30T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-01-00T00:00:00Z",
        "02026-01-01T00:00:00Z",
        "+2026-01-01T00:00:00Z",
        "2026-01-01T00:00:00Z\n",
        " 2026-01-01T00:00:00Z",
        "2026-01-01T00:00:00ZZ",
        "\uff12026-01-01T00:00:00Z",
        "2026-01-01T00:00:00\uff3a",
        "1767225600",
        1767225600,
        1.5,
        True,
        ["2026-01-01T00:00:00Z"],
        {"year": 2026},
    ],
)
def test_any_other_form_is_rejected(text: Any) -> None:
    assert verdicts(text) == {"literal": False, "variable": False}


@given(moments(), st.integers(0, 40), st.characters(codec="utf-8"))
def test_no_character_may_be_added(moment: tuple[str, datetime], place: int, added: str) -> None:
    text, _ = moment
    changed = text[:place] + added + text[place:]
    is_fraction = "." in text[:place] and text[19:place].strip("0123456789") == "."
    if not (is_fraction and added in "0123456789"):
        assert verdicts(changed) == {"literal": False, "variable": False}


@given(moments(), st.integers(0, 40))
def test_no_character_may_be_absent(moment: tuple[str, datetime], place: int) -> None:
    text, _ = moment
    place %= len(text)
    is_fraction = text[19] == "." and place > 19 and text[19 : place + 1].strip("0123456789") == "."
    is_only_digit = not text[20:22].isdigit()
    if not is_fraction or is_only_digit:
        changed = text[:place] + text[place + 1 :]
        assert verdicts(changed) == {"literal": False, "variable": False}


def verdicts(value: Any) -> dict[str, bool]:
    """Return whether the value is accepted as a literal, and as a variable."""
    literal = json.dumps(value).replace('"year"', "year")
    inline = f"{{ audienceGenerationJobs(filter: {{createdAfter: {literal}}}) {{ totalCount }} }}"
    declared = parse("query ($value: DateTime) { __typename }").definitions[0]
    assert isinstance(declared, OperationDefinitionNode)
    values = get_variable_values(SCHEMA, declared.variable_definitions or (), {"value": value})
    return {
        "literal": VALIDATOR.validate(inline, parse(inline), max_errors=1) == [],
        "variable": not isinstance(values, list),
    }


def moment_inputs() -> Iterator[tuple[str, str, str]]:
    """Yield each place of a DateTime in the arguments of root fields: field, argument, member."""
    assert SCHEMA.query_type is not None
    for name, field in SCHEMA.query_type.fields.items():
        for argument, declared in field.args.items():
            of_type = get_named_type(declared.type)
            if isinstance(of_type, GraphQLInputObjectType):
                for member, inner in of_type.fields.items():
                    if get_named_type(inner.type).name == "DateTime":
                        yield name, argument, member


def test_there_are_inputs_of_moments() -> None:
    assert ("audienceGenerationJobs", "filter", "createdAfter") in set(moment_inputs())


@pytest.mark.parametrize(("field", "argument", "member"), [*moment_inputs()])
def test_the_error_names_the_argument_the_value_and_the_form(
    gateway: Gateway, field: str, argument: str, member: str
) -> None:
    """As a literal in the document, as a default, and as a variable."""
    query_type = SCHEMA.query_type
    assert query_type is not None
    input_type = query_type.fields[field].args[argument].type
    used = f"{field}({argument}: {{{member}: %s}}) {{ __typename }}"
    inline = "{ " + used % '"yesterday"' + " }"
    default = f'query ($when: DateTime = "yesterday") {{ {used % "$when"} }}'
    variable = f"query ($given: {input_type}) {{ {field}({argument}: $given) {{ __typename }} }}"
    form = "'yesterday'. Accepted: RFC 3339 with an offset, such as 2026-03-14T09:26:53Z."
    expected = [
        (inline, {}, f"Argument '{argument}.{member}' has", inline.index('"'), "VALIDATION"),
        (default, {}, "Default of variable '$when' has", default.index('"'), "VALIDATION"),
        (
            variable,
            {"given": {member: "yesterday"}},
            f"Variable '$given' has invalid value at .{member}:",
            variable.index("$"),
            "BAD_USER_INPUT",
        ),
    ]
    for query, variables, place, position, code in expected:
        (error,) = gateway.ask(query, variables).errors
        assert error["message"].startswith(place)
        assert error["message"].endswith(form)
        assert error["locations"] == [{"line": 1, "column": position + 1}]
        assert code in error["extensions"]["code"]
