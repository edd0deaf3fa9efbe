"""Answers that no upstream should give: each is one of our errors, and nothing is carried on."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

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

HTML = b"<!doctype html><title>Sign in</title><p>arn:aws:iam::111122223333:role/x"


async def test_a_redirect_is_not_followed() -> None:
    """Where it points sees nothing, least of all the session token."""
    statuses = (300, 301, 302, 303, 304, 307, 308)
    sink = Recorder()
    with serve(sink) as trap:

        def away(received: Received) -> Response:
            status = int(received.query.removeprefix("nextToken="))
            return Response(b"", status, {"Location": f"{trap}/caught"})

        upstream = Recorder(away)
        with serve(upstream) as url:
            async with open_client(url) as aws:
                errors = await asyncio.gather(
                    *(list_jobs(aws, caller("ada"), nextToken=str(status)) for status in statuses),
                    return_exceptions=True,
                )

    assert [type(error) for error in errors] == [UpstreamInvalidResponseError] * len(statuses)
    assert sink.requests == []
    assert len(upstream.requests) == len(statuses)


async def test_the_sandbox_s_redirect_is_not_followed(sandbox: Sandbox) -> None:
    """So it is with the fault that developers can switch on."""
    sink = Recorder()
    with serve(sink) as trap:
        sandbox.fault("redirect", location=f"{trap}/caught")
        async with open_client(sandbox.url) as aws:
            with pytest.raises(UpstreamInvalidResponseError):
                await list_jobs(aws, caller("ada"))

    assert sink.requests == []
    assert sandbox.count() == 1


async def test_a_cookie_is_not_kept() -> None:
    """What one caller's answer sets is in nobody's next call, not even that caller's."""

    def bake(_: Received) -> Response:
        crumbs = {"Set-Cookie": "crumb=ada; Path=/"}
        return Response(b'{"audienceGenerationJobs": []}', 200, crumbs)

    upstream = Recorder(bake)
    with serve(upstream) as url:
        # A name, for no cookie jar takes cookies from a bare address.
        async with open_client(url.replace("127.0.0.1", "localhost")) as aws:
            for name in ("ada", "grace", "ada"):
                await list_jobs(aws, caller(name))

    assert len(upstream.requests) == 3
    assert not [seen for seen in upstream.requests if "cookie" in seen.headers]


NO_OBJECTS = {
    "empty": b"",
    "null": b"null",
    "list": b"[]",
    "text": b'"text"',
    "cut off": b'{"audienceGenerationJobs": [',
    "html": HTML,
    "no utf-8": b'{"a": "\xff"}',
    "nan": b'{"a": NaN}',
    "gzip": gzip.compress(b'{"audienceGenerationJobs": []}'),
    "deep": b'{"a":' * 20_000,
    "deep list": b"[" * 20_000,
}
ODD_OBJECTS = {
    "no message": b'{"message": []}',
    "null type": b'{"message": null, "__type": null}',
    "object type": b'{"__type": {}}',
    "number type": b'{"__type": 5}',
    "list code": b'{"code": ["x"]}',
}


async def _told(status: int, bodies: dict[str, bytes]) -> dict[str, type[BaseException]]:
    """Ask once for each body, all at once, and give what kind of error each came to."""

    def answer(received: Received) -> Response:
        body = list(bodies.values())[int(received.query.removeprefix("nextToken="))]
        return Response(body, status, media_type="application/json")

    with serve(Recorder(answer)) as url:
        async with open_client(url) as aws:
            errors = await asyncio.gather(
                *(
                    list_jobs(aws, caller("ada"), nextToken=str(number))
                    for number in range(len(bodies))
                ),
                return_exceptions=True,
            )
    for error in errors:
        assert isinstance(error, BaseException), error
        assert "arn:" not in str(error)
    return dict(zip(bodies, map(type, errors), strict=True))


@pytest.mark.parametrize("status", [200, 206])
async def test_a_success_that_is_no_json_object_makes_no_sense(status: int) -> None:
    """It is the upstream's fault, and told as such."""
    assert await _told(status, NO_OBJECTS) == dict.fromkeys(
        NO_OBJECTS, UpstreamInvalidResponseError
    )


async def test_no_content_is_no_page() -> None:
    """204 is a success without anything to read."""
    assert await _told(204, {"": b""}) == {"": UpstreamInvalidResponseError}


async def test_a_failure_with_an_odd_body_is_still_the_server_s() -> None:
    """A proxy's 501 or a load balancer's 503 need not hold what AWS would have written."""
    bodies = NO_OBJECTS | ODD_OBJECTS

    assert await _told(501, bodies) == dict.fromkeys(bodies, UpstreamUnavailableError)


async def test_a_refusal_with_an_odd_body_is_never_internal() -> None:
    """Whatever the body of a 4xx, the error is one that callers may see."""
    told = await _told(418, NO_OBJECTS | ODD_OBJECTS)

    assert {name: kind for name, kind in told.items() if not issubclass(kind, GatewayError)} == {}


RETRIED = {name for name in CODES if "Thrott" in name or "RequestTimeout" in name} | {
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "SlowDown",
}


async def test_aws_s_code_is_read_wherever_it_stands() -> None:
    """In a header or in the body, with a namespace before it or an address behind it."""
    forms = {
        "header": lambda code: Response(b"{}", 400, {"x-amzn-ErrorType": code}),
        "address": lambda code: Response(b"{}", 400, {"x-amzn-ErrorType": f"{code}:http://a/b"}),
        "body": lambda code: Response(b'{"__type": "%s"}' % code.encode(), 400),
        "space": lambda code: Response(b'{"__type": "com.aws.ml#%s"}' % code.encode(), 400),
        "code": lambda code: Response(b'{"code": "%s"}' % code.encode(), 400),
    }

    def answer(received: Received) -> Response:
        code, form = received.query.removeprefix("nextToken=").split("-")
        return forms[form](code)

    async def told(code: str, form: str) -> tuple[str, str, GatewayError]:
        with pytest.raises(GatewayError) as caught:
            await list_jobs(aws, caller("ada"), nextToken=f"{code}-{form}")
        return code, form, caught.value

    with serve(Recorder(answer)) as url:
        async with open_client(url) as aws:
            cases = [(code, form) for code in CODES.keys() - RETRIED for form in forms]
            results = await asyncio.gather(*(told(code, form) for code, form in cases))

    assert len(results) > 100
    assert [
        (code, form, error)
        for code, form, error in results
        if type(error) is not CODES[code][0] or error.extensions()["aws"]["code"] != code
    ] == []


@asynccontextmanager
async def wire(answer: bytes) -> AsyncIterator[str]:
    """Answer each connection with these bytes, whatever it says, and close it."""

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve_one, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"


BARELY_HTTP = [
    b"SSH-2.0-OpenSSH_9\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX: \xff\r\nContent-Length: 2\r\n\r\n[]",
    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n[]",
]


async def test_what_is_hardly_http_is_the_upstream_s_fault() -> None:
    """Whatever the bytes on the wire, what comes out is an error that callers may see."""

    async def told(answer: bytes) -> type[BaseException]:
        async with wire(answer) as url, open_client(url) as aws:
            with pytest.raises(GatewayError) as caught:
                await list_jobs(aws, caller("ada"))
        return caught.type

    kinds = await asyncio.gather(*map(told, BARELY_HTTP))

    assert set(kinds) <= {UpstreamUnavailableError, UpstreamInvalidResponseError}


@pytest.mark.parametrize("announced", [True, False])
async def test_an_answer_that_is_larger_than_any_is_given_up(announced: bool) -> None:  # noqa: FBT001 - a case
    """No more of it is taken than the limit and what was under way; it makes no sense."""
    sent = 0
    ended = asyncio.Event()

    async def pour(incoming: asyncio.StreamReader, outgoing: asyncio.StreamWriter) -> None:
        nonlocal sent
        await incoming.readuntil(b"\r\n\r\n")
        length = b"Content-Length: 1000000000\r\n" if announced else b"Connection: close\r\n"
        outgoing.write(b"HTTP/1.1 200 OK\r\n" + length + b"\r\n")
        with suppress(ConnectionError):
            while not incoming.at_eof():
                outgoing.write(bytes(65536))
                sent += 65536
                await outgoing.drain()
        outgoing.close()
        ended.set()

    server = await asyncio.start_server(pour, "127.0.0.1", 0)
    async with server, open_client(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as aws:
        with pytest.raises(UpstreamInvalidResponseError):
            await list_jobs(aws, caller("ada"))
        await ended.wait()

    assert MAX_RESPONSE_BYTES <= sent < 4 * MAX_RESPONSE_BYTES


async def test_an_answer_just_within_the_limit_is_read() -> None:
    """And the connection serves the next call."""
    empty = b'{"audienceGenerationJobs": []}'
    upstream = Recorder(lambda _: Response(empty.ljust(MAX_RESPONSE_BYTES)))
    with serve(upstream) as url:
        async with open_client(url) as aws:
            for _ in range(2):
                assert (await list_jobs(aws, caller("ada")))["audienceGenerationJobs"] == []
