"""Any response of the upstream becomes a result or a GatewayError, and leaves nothing behind."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import unquote

import pytest
from starlette.responses import Response

from gateway.errors import (
    GatewayError,
    UpstreamInvalidResponseError,
    UpstreamUnavailableError,
)
from gateway.upstream.client import MAX_RESPONSE_BYTES
from gateway.upstream.errors import CODES
from tests.gateways import Sandbox
from tests.serving import serve
from tests.upstream.clients import caller, list_jobs, open_client
from tests.upstream.recorder import Received, Recorder

ADA = caller("ada")
EMPTY_PAGE = b'{"audienceGenerationJobs": []}'
HTML = b"<!doctype html><title>Sign in</title><p>arn:aws:iam::111122223333:role/x"


async def errors_of(respond: Callable[[str], Response], requests: list[str]) -> list[GatewayError]:
    """Return the errors of concurrent calls, each answered by `respond` with its own request."""

    async def call(request: str) -> GatewayError:
        with pytest.raises(GatewayError) as caught:
            await list_jobs(client, ADA, nextToken=request)
        assert "arn:" not in str(caught.value)
        return caught.value

    def app(received: Received) -> Response:
        return respond(unquote(received.query.removeprefix("nextToken=")))

    upstream = Recorder(app)
    with serve(upstream) as url:
        async with open_client(url) as client:
            errors = await asyncio.gather(*map(call, requests))
    assert len(upstream.requests) == len(requests)
    return errors


async def test_redirects_are_not_followed(sandbox: Sandbox) -> None:
    """A redirect would take the session token along; the sandbox's fault redirects, too."""
    statuses = ["300", "301", "302", "303", "304", "307", "308"]
    target = Recorder()
    with serve(target) as target_url:
        location = f"{target_url}/target"
        errors = await errors_of(
            lambda status: Response(b"", int(status), {"Location": location}), statuses
        )
        sandbox.fault("redirect", location=location)
        async with open_client(sandbox.url) as client:
            with pytest.raises(UpstreamInvalidResponseError):
                await list_jobs(client, ADA)

    assert {type(error) for error in errors} == {UpstreamInvalidResponseError}
    assert target.requests == []
    assert sandbox.count() == 1


async def test_cookies_are_not_stored() -> None:
    upstream = Recorder(lambda _: Response(EMPTY_PAGE, 200, {"Set-Cookie": "a=ada; Path=/"}))
    with serve(upstream) as url:
        # By name, because no cookie jar accepts cookies from an IP address.
        async with open_client(url.replace("127.0.0.1", "localhost")) as client:
            for name in ("ada", "grace", "ada"):
                await list_jobs(client, caller(name))

    assert len(upstream.requests) == 3
    assert not [request for request in upstream.requests if "cookie" in request.headers]


NOT_OBJECTS = {
    "empty": b"",
    "null": b"null",
    "list": b"[]",
    "text": b'"text"',
    "truncated": b'{"audienceGenerationJobs": [',
    "html": HTML,
    "invalid utf-8": b'{"a": "\xff"}',
    "nan": b'{"a": NaN}',
    "gzip": gzip.compress(EMPTY_PAGE),
    "deep": b'{"a":' * 20_000,
    "deep list": b"[" * 20_000,
}
INVALID_ERRORS = {
    "no message": b'{"message": []}',
    "null type": b'{"message": null, "__type": null}',
    "object type": b'{"__type": {}}',
    "number type": b'{"__type": 5}',
    "list code": b'{"code": ["x"]}',
}


async def error_types(status: int, bodies: dict[str, bytes]) -> dict[str, type[GatewayError]]:
    """Return the type of error for each body."""
    errors = await errors_of(lambda name: Response(bodies[name], status), list(bodies))
    return dict(zip(bodies, map(type, errors), strict=True))


@pytest.mark.parametrize(
    ("status", "bodies"), [(200, NOT_OBJECTS), (206, NOT_OBJECTS), (204, {"empty": b""})]
)
async def test_a_success_without_a_json_object_is_invalid(
    status: int, bodies: dict[str, bytes]
) -> None:
    expected = dict.fromkeys(bodies, UpstreamInvalidResponseError)

    assert await error_types(status, bodies) == expected


async def test_a_server_error_with_any_body_is_unavailable() -> None:
    """A proxy's 501 or a load balancer's 503 has no body of AWS."""
    bodies = NOT_OBJECTS | INVALID_ERRORS

    assert await error_types(501, bodies) == dict.fromkeys(bodies, UpstreamUnavailableError)


async def test_a_client_error_with_any_body_is_a_gateway_error() -> None:
    bodies = NOT_OBJECTS | INVALID_ERRORS

    assert len(await error_types(418, bodies)) == len(bodies)


THROTTLING_OR_TIMEOUT = {name for name in CODES if "Thrott" in name or "Timeout" in name} | {
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "SlowDown",
}


async def test_the_error_code_is_read_in_every_notation() -> None:
    """It is in a header or in the body, with a namespace before it or a URL behind it."""
    notations = {
        "header": lambda code: Response(b"{}", 400, {"x-amzn-ErrorType": code}),
        "url": lambda code: Response(b"{}", 400, {"x-amzn-ErrorType": f"{code}:http://a/b"}),
        "body": lambda code: Response(b'{"__type": "%s"}' % code.encode(), 400),
        "namespace": lambda code: Response(b'{"__type": "com.aws.ml#%s"}' % code.encode(), 400),
        "code": lambda code: Response(b'{"code": "%s"}' % code.encode(), 400),
    }
    cases = [
        (code, notation) for code in CODES.keys() - THROTTLING_OR_TIMEOUT for notation in notations
    ]

    def respond(request: str) -> Response:
        code, notation = request.split("-")
        return notations[notation](code)

    errors = await errors_of(respond, [f"{code}-{notation}" for code, notation in cases])

    assert len(errors) > 100
    for (code, notation), error in zip(cases, errors, strict=True):
        assert type(error) is CODES[code][0], notation
        assert error.extensions()["aws"]["code"] == code, notation


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


@asynccontextmanager
async def tcp_server(handler: Handler) -> AsyncIterator[str]:
    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


BARELY_HTTP = [
    b"SSH-2.0-OpenSSH_9\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX: \xff\r\nContent-Length: 2\r\n\r\n[]",
    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n[]",
]


async def test_invalid_http_is_an_upstream_error() -> None:
    async def error_type(response: bytes) -> type[BaseException]:
        async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(response)
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

        async with tcp_server(respond) as url, open_client(url) as client:
            with pytest.raises(GatewayError) as caught:
                await list_jobs(client, ADA)
        return caught.type

    types = await asyncio.gather(*map(error_type, BARELY_HTTP))

    assert set(types) <= {UpstreamUnavailableError, UpstreamInvalidResponseError}


@pytest.mark.parametrize("length", [b"Content-Length: 1000000000", b"Connection: close"])
async def test_a_response_over_the_limit_is_not_read_to_its_end(length: bytes) -> None:
    sent = 0
    ended = asyncio.Event()

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n" + length + b"\r\n\r\n")
        with suppress(ConnectionError):
            while not reader.at_eof():
                writer.write(bytes(65536))
                sent += 65536
                await writer.drain()
        writer.close()
        ended.set()

    async with tcp_server(respond) as url, open_client(url) as client:
        with pytest.raises(UpstreamInvalidResponseError):
            await list_jobs(client, ADA)
        await ended.wait()

    assert MAX_RESPONSE_BYTES <= sent < 4 * MAX_RESPONSE_BYTES


async def test_a_response_at_the_limit_is_read() -> None:
    """Its connection serves the next call."""
    upstream = Recorder(lambda _: Response(EMPTY_PAGE.ljust(MAX_RESPONSE_BYTES)))
    with serve(upstream) as url:
        async with open_client(url) as client:
            for _ in range(2):
                assert (await list_jobs(client, ADA))["audienceGenerationJobs"] == []
