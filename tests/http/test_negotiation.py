"""The Accept header decides the media type, by RFC 9110's rules."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.negotiation import GRAPHQL, JSON, accepted


@pytest.mark.parametrize(
    ("header", "media_type"),
    [
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        ("application/json", JSON),
        ("application/graphql-response+json", GRAPHQL),
        ("APPLICATION/GraphQL-Response+JSON", GRAPHQL),
        ("application/graphql-response+json; charset=utf-8", GRAPHQL),
        ("application/graphql-response+json; charset=utf-16", None),
        ("application/json;q=0.5, application/graphql-response+json", GRAPHQL),
        ("application/json, application/graphql-response+json;q=0.9", JSON),
        ("application/json, application/graphql-response+json", GRAPHQL),
        (f"{GRAPHQL}; charset=utf-8, {JSON}; charset=utf-8", GRAPHQL),
        ("application/json;q=0, */*", GRAPHQL),
        ("application/*;q=0, */*", None),
        ("text/plain", None),
        ("text/html", None),
        ("application/json;q=high", None),
        ("text/html, application/xhtml+xml, application/xml;q=0.9, */*;q=0.8", JSON),
    ],
)
def test_the_best_of_what_there_is(header: str, media_type: str | None) -> None:
    """The most specific range decides; the higher wins, the GraphQL type if named among equals."""
    assert accepted(header).media_type == media_type


@pytest.mark.parametrize(
    ("header", "html"),
    [
        ("", False),
        ("*/*", False),
        ("text/*", False),
        ("text/html", True),
        ("text/html, application/xhtml+xml, */*;q=0.8", True),
        ("text/html;q=0.5, application/json", False),
        ("text/html;q=0", False),
    ],
)
def test_html_is_for_who_names_it(header: str, *, html: bool) -> None:
    """A page is sent to browsers, not to whoever takes anything."""
    assert accepted(header).html == html


@given(st.text())
def test_any_header_has_an_answer(header: str) -> None:
    """Nonsense is nothing that is accepted, never a failure."""
    assert accepted(header).media_type in {None, JSON, GRAPHQL}
