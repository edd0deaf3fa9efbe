from codecs import BOM_UTF8
from collections.abc import AsyncIterator, Iterable
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message

from gateway.errors import OverloadedError
from gateway.http import requests
from gateway.http.parameters import MAX_JSON_VALUES, parse_body, parse_query_string
from gateway.http.requests import Accepted, BodyReader, RequestHeaders, has_no_cache, parse_accept
from gateway.http.responses import GRAPHQL, JSON, HttpError

QUERY = b'{"query": "{ __typename }"}'
LIMIT = 100


@pytest.mark.parametrize(
    ("header", "media_type"),
    [
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        ("application/json", JSON),
        ("APPLICATION/GraphQL-Response+JSON", GRAPHQL),
        ("application/graphql-response+json; charset=utf-8", GRAPHQL),
        ("application/graphql-response+json; charset=utf-16", None),
        ("application/json;q=0.5, application/graphql-response+json", GRAPHQL),
        ("application/json, application/graphql-response+json;q=0.9", JSON),
        ("application/json, application/graphql-response+json", GRAPHQL),
        ("application/json;q=0, */*", GRAPHQL),
        ("application/*;q=0, */*", None),
        ("text/html", None),
        ("application/json;q=high", None),
        ("text/html, application/xhtml+xml, application/xml;q=0.9, */*;q=0.8", JSON),
    ],
)
def test_accept_selects_the_media_type_of_highest_quality(
    header: str, media_type: str | None
) -> None:
    assert parse_accept(header).media_type == media_type


@pytest.mark.parametrize(
    ("header", "html"),
    [
        ("*/*", False),
        ("text/*", False),
        ("text/html, application/xhtml+xml, */*;q=0.8", True),
        ("text/html;q=0.5, application/json", False),
        ("text/html;q=0", False),
    ],
)
def test_html_must_be_named_explicitly(header: str, *, html: bool) -> None:
    assert parse_accept(header).html == html


def test_an_overlong_accept_header_is_disregarded() -> None:
    html = "text/html," + "x/y," * 247
    longest = html + "q" * (1000 - len(html))

    assert parse_accept(longest) == Accepted(None, None, html=True)
    assert parse_accept(longest + "q") == Accepted(JSON, None, html=False)


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ([], False),
        (["no-cache"], True),
        (["max-age=0, No-Cache"], True),
        (["max-age=0", "\tno-cache ,x"], True),
        (["no-store"], False),
        (["no-cached"], False),
        (["x-no-cache"], False),
        (['no-cache="x"'], False),
    ],
)
def test_no_cache_is_a_directive_by_itself(headers: list[str], *, found: bool) -> None:
    assert has_no_cache(headers) == found


def test_only_what_the_response_depends_on_is_kept_of_the_headers() -> None:
    sent = [
        (b"host", b"x"),
        (b"accept", b"text/html"),
        (b"x-aws-secret-access-key", b"CANARY"),
        (b"accept", b"\xff"),
        (b"user-agent", b"y"),
    ]
    headers = RequestHeaders(sent)

    assert headers.items == (sent[1], sent[2], sent[3])
    assert headers.values(b"accept") == ["text/html", "\xff"]
    assert headers.get(b"accept", "*/*") == "text/html"
    assert (headers.values(b"host"), headers.get(b"host", "none")) == ([], "none")
    assert "CANARY" not in f"{headers!r} {headers}"


@given(st.text())
def test_any_accept_header_can_be_parsed(header: str) -> None:
    assert parse_accept(header).media_type in {None, JSON, GRAPHQL}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON in UTF-8"),
        (BOM_UTF8, r"not JSON\."),
        (BOM_UTF8 * 2 + QUERY, r"not JSON\."),
        (b" " + BOM_UTF8 + QUERY, r"not JSON\."),
        (b'{"query": NaN}', "not JSON"),
        (b"[" * 5000 + b"]" * 5000, "not JSON"),
        (b'{"query": %b}' % (b"1" * 5000), "not JSON"),
        (b'{"query": "\\ud800"}', "not JSON"),
        (b'{"query": "\xc0\x80"}', "not JSON in UTF-8"),
        (b"null", "not a JSON object"),
        (b'[{"query": "{ __typename }"}]', "Batches are not supported"),
        (b"{}", "`query`"),
        (b'{"query": null}', "`query`"),
        (b'{"query": ""}', "`query`"),
        (b'{"query": ["{ __typename }"]}', "`query`"),
        (b'{"query": "{ __typename }", "variables": []}', "`variables`"),
        (b'{"query": "{ __typename }", "variables": "{}"}', "`variables`"),
        (b'{"query": "{ __typename }", "operationName": 1}', "`operationName`"),
        (b'{"query": "{ __typename }", "extensions": 1}', "`extensions`"),
    ],
)
def test_a_malformed_body_is_400(body: bytes, message: str) -> None:
    with pytest.raises(HttpError, match=message) as raised:
        parse_body(body)
    assert raised.value.status == 400


def test_a_byte_order_mark_is_skipped() -> None:
    assert parse_body(BOM_UTF8 + QUERY) == parse_body(QUERY)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "latin-1"])
def test_another_encoding_is_400(encoding: str) -> None:
    """The message names the one that is accepted."""
    body = '{"query": "{ __typename } # é"}'.encode(encoding)
    with pytest.raises(HttpError, match="Accepted: UTF-8") as raised:
        parse_body(body)
    assert raised.value.status == 400


@pytest.mark.parametrize(
    ("query_string", "message"),
    [
        (b"", "`query`"),
        (b"query=", "`query`"),
        (b"query=%FF", "UTF-8"),
        (b"query={__typename}&query={__typename}", "Duplicate"),
        (b"query={__typename}&variables={", "`variables` is not JSON"),
        (b"query={__typename}&variables=[]", "`variables`"),
        (b"query={__typename}&extensions=1", "`extensions`"),
        (b"&".join(b"a=1" for _ in range(200)), "Too many query string parameters"),
    ],
)
def test_a_malformed_query_string_is_400(query_string: bytes, message: str) -> None:
    with pytest.raises(HttpError, match=message) as raised:
        parse_query_string(query_string)
    assert raised.value.status == 400


async def read(
    *parts: bytes, reader: BodyReader | None = None, headers: Iterable[tuple[str, str]] = ()
) -> bytes:
    async def messages() -> AsyncIterator[Message]:
        for part in parts:
            yield {"type": "http.request", "body": part, "more_body": part is not parts[-1]}

    raw = [(name.encode(), value.encode()) for name, value in headers]
    if "content-type" not in dict(headers):
        raw.append((b"content-type", b"application/json"))
    reader = reader or BodyReader(LIMIT)
    reader.check(RequestHeaders(raw))
    return await reader.read(anext_of(messages()))


def anext_of(messages: AsyncIterator[Message]) -> Any:
    return lambda: anext(messages)


@pytest.mark.parametrize(
    "values",
    [
        [""],
        ["text/plain"],
        ["application/x-www-form-urlencoded"],
        ["multipart/form-data; boundary=x"],
        ["application/jsonx"],
        ["text/plain; x=application/json"],
        ["application/json; charset=utf-16"],
        ["application/json; charset=utf-8; charset=utf-16"],
        ["application/json, application/json"],
        ["; charset=utf-8"],
        ["*/*"],
        ["application/json", "application/json"],
        ["application/json", ""],
        ["application/json" + ";" * 300],
    ],
)
async def test_another_content_type_is_415(values: list[str]) -> None:
    """Only JSON in UTF-8 is accepted, which a foreign page cannot send without a preflight."""
    with pytest.raises(HttpError, match="application/json") as raised:
        await read(QUERY, headers=[("content-type", value) for value in values])
    assert raised.value.status == 415


@pytest.mark.parametrize("value", ["APPLICATION/JSON", 'application/json;charset="UTF-8"'])
async def test_case_and_quotes_of_a_content_type_do_not_matter(value: str) -> None:
    assert await read(QUERY, headers=[("content-type", value)]) == QUERY


@pytest.mark.parametrize("empty", ["[]", "{}", "0"])
def test_json_has_a_limited_number_of_values(empty: str) -> None:
    """In a body, and in the variables of a query string."""
    variables = {
        number: f'{{"v": [{",".join([empty] * number)}]}}' for number in (1000, MAX_JSON_VALUES)
    }
    for variable, is_accepted in zip(variables.values(), (True, False), strict=True):
        body = f'{{"query": "{{ __typename }}", "variables": {variable}}}'.encode()
        query_string = urlencode({"query": "{ __typename }", "variables": variable}).encode()
        for parse, content in ((parse_body, body), (parse_query_string, query_string)):
            if is_accepted:
                assert len(parse(content).variables["v"]) == 1000
                continue
            with pytest.raises(HttpError, match="Accepted: up to 10000") as raised:
                parse(content)
            assert (raised.value.status, raised.value.error.code) == (400, "LIMIT_EXCEEDED")


@pytest.mark.parametrize("coding", ["gzip", "", "identity, gzip"])
async def test_a_compressed_body_is_415(coding: str) -> None:
    with pytest.raises(HttpError) as raised:
        await read(QUERY, headers=[("content-encoding", coding)])
    assert raised.value.status == 415


async def test_a_body_over_the_limit_is_413() -> None:
    """Announced or streamed, one byte too many is rejected; the limit itself is not."""
    body = bytes(LIMIT)
    assert await read(body[:40], body[40:]) == body
    for parts, headers in (
        ([b""], [("content-length", str(LIMIT + 1))]),
        ([body, b" "], []),
    ):
        with pytest.raises(HttpError, match="up to 100 bytes") as raised:
            await read(*parts, headers=headers)
        assert (raised.value.status, raised.value.error.code) == (413, "LIMIT_EXCEEDED")


async def test_unfinished_bodies_have_a_common_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small body is still read, and what was read is released afterwards."""
    monkeypatch.setattr(requests, "MAX_PENDING_BYTES", 1000)
    monkeypatch.setattr(requests, "SMALL_BODY_BYTES", 10)
    reader = BodyReader(10_000)
    with pytest.raises(HttpError, match="incomplete"):
        await reader.read(anext_of(_pausing(reader)))

    assert await read(bytes(11), reader=reader) == bytes(11)


async def _pausing(reader: BodyReader) -> AsyncIterator[Message]:
    """Send the body of a request, let others arrive meanwhile, and disconnect."""
    yield {"type": "http.request", "body": bytes(1001), "more_body": True}
    assert await read(bytes(10), reader=reader) == bytes(10)
    with pytest.raises(OverloadedError):
        await read(bytes(11), reader=reader)
    yield {"type": "http.disconnect"}
