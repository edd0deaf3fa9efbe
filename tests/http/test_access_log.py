"""The access line names the client program, by the headers that stock clients and routers send."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.responses import Response
from starlette.types import Message

from gateway.http.middleware import (
    MAX_CLIENT_CHARACTERS,
    AccessLogMiddleware,
    RequestLog,
    request_log_of,
)
from tests.gateways import Gateway, Sandbox
from tests.processes import gateway_process

APOLLO = ("apollographql-client-name", "apollographql-client-version")
HIVE = ("x-graphql-client-name", "x-graphql-client-version")


async def logged(headers: list[tuple[bytes, bytes]]) -> RequestLog:
    """Return what a request with these headers logs."""

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    async def send(_: Message) -> None:
        pass

    scope: dict[str, Any] = {
        "type": "http",
        "method": "POST",
        "path": "/graphql",
        "query_string": b"",
        "headers": headers,
    }
    await AccessLogMiddleware(Response())(scope, receive, send)
    return request_log_of(scope)


@pytest.mark.parametrize(("name", "version"), [APOLLO, HIVE])
async def test_a_client_is_named_with_its_version(name: str, version: str) -> None:
    log = await logged([(name.encode(), b"web app"), (version.encode(), b"1.2")])
    assert (log.client, log.client_version) == ("web app", "1.2")


async def test_a_request_without_a_client_has_empty_fields() -> None:
    log = await logged([(b"user-agent", b"x")])
    assert (log.client, log.client_version) == (None, None)


@given(
    st.lists(
        st.tuples(st.sampled_from([*APOLLO, *HIVE]), st.binary(max_size=2 * MAX_CLIENT_CHARACTERS)),
        max_size=6,
    )
)
@example([(APOLLO[0], b"x" * 60_000)])
@example([(APOLLO[0], b"\xc3\xa4"), (HIVE[0], b"plain")])
@example([(APOLLO[0], b"line\nbreak"), (APOLLO[0], b"\x1b[31m"), (APOLLO[0], b"")])
async def test_what_is_logged_is_short_and_printable(sent: list[tuple[str, bytes]]) -> None:
    """The first value of the kind that is; others are left out."""
    log = await logged([(name.encode(), value) for name, value in sent])
    for field, kind in (("client", "name"), ("client_version", "version")):
        values = [value.decode("latin-1") for name, value in sent if name.endswith(kind)]
        printable = [value for value in values if value.isascii() and value.isprintable() and value]
        expected = printable[0][:MAX_CLIENT_CHARACTERS] if printable else None
        assert getattr(log, field) == expected


def test_a_whole_answer_serves_every_client_and_names_each(shared_sandbox: Sandbox) -> None:
    """The client is no part of what an answer is kept for."""
    with gateway_process(shared_sandbox.url, cache_seconds=600) as process:
        gateway = Gateway(process.url, shared_sandbox)
        for client in ("web", "phone", "phone"):
            gateway.ask(
                "{ audienceGenerationJobs { nodes { name } } }",
                headers={"apollographql-client-name": client, HIVE[1]: f"{client} 1"},
            )
    lines = [json.loads(line) for line in process.output if '"event":"request"' in line]
    assert [(line["client"], line["client_version"], line["answer"]) for line in lines] == [
        ("web", "web 1", None),
        ("phone", "phone 1", "cache"),
        ("phone", "phone 1", "cache"),
    ]
