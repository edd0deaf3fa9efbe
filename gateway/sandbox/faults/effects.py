"""The effects of faults on errors, timing, pages, rows, and the HTTP response itself.

An effect gets the call, the handler that it wraps, and the parameters of the fault.
"""

import asyncio
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from itertools import count
from random import Random
from typing import Any

import orjson
from starlette.types import Receive

from gateway.sandbox.api.model import (
    ApiError,
    access_denied,
    credentials_expired,
    not_authorized,
    validation_error,
)
from gateway.sandbox.api.operations import (
    LIST_OPERATIONS,
    ApiCall,
    ApiResponse,
    Handler,
    TokenPosition,
    encode_token,
)
from gateway.sandbox.data.accounts import ANONYMOUS

_SEED = 20260102
_FORBIDDEN_STS_CODES = frozenset({"IDPRejectedClaim", "RegionDisabledException", "AccessDenied"})
_SIGN_IN_PAGE = b"<!doctype html><title>Sign in</title><p>Please sign in to this network.</p>"
# Spaces at the end keep both JSON and XML well-formed.
_PADDING = b" " * 2**16
_PADDINGS_PER_MEGABYTE = 2**20 // len(_PADDING)
_GZIP_WBITS = 16 + zlib.MAX_WBITS

# Any: rows are JSON objects.
Row = dict[str, Any]


class NoResponseError(Exception):
    """The connection is closed, so no response can be sent."""


@dataclass(frozen=True, slots=True)
class FaultParameters:
    """The parameters of an active fault, and its state across calls."""

    # Any: validated when the fault was requested, against the types of the defaults.
    values: Mapping[str, Any]
    healed: asyncio.Event = field(default_factory=asyncio.Event)
    # The same failures in every run.
    rng: Random = field(default_factory=lambda: Random(_SEED))  # noqa: S311  no secret
    counter: Iterator[int] = field(default_factory=count)

    def __getitem__(self, name: str) -> Any:
        return self.values[name]


Effect = Callable[[ApiCall, Handler, FaultParameters], Awaitable[ApiResponse]]


async def throttle(_call: ApiCall, _next: Handler, parameters: FaultParameters) -> ApiResponse:
    seconds = parameters["retry_after"]
    headers = {"Retry-After": f"{seconds:g}", "x-amz-retry-after": f"{seconds * 1000:.0f}"}
    status, code = HTTPStatus.TOO_MANY_REQUESTS, "ThrottlingException"
    raise ApiError(status, code, "Rate exceeded", headers if seconds else None)


async def internal_error(_call: ApiCall, _next: Handler, _: FaultParameters) -> ApiResponse:
    message = "An internal error occurred. Try again."
    raise ApiError(HTTPStatus.INTERNAL_SERVER_ERROR, "InternalServerException", message)


async def unavailable(_call: ApiCall, _next: Handler, _: FaultParameters) -> ApiResponse:
    message = "Service is unavailable."
    raise ApiError(HTTPStatus.SERVICE_UNAVAILABLE, "ServiceUnavailableException", message)


async def denied(call: ApiCall, _next: Handler, _: FaultParameters) -> ApiResponse:
    if call.caller is ANONYMOUS:
        raise not_authorized(call.operation)
    raise access_denied(call.caller.arn, call.operation)


async def expired_credentials(_call: ApiCall, _next: Handler, _: FaultParameters) -> ApiResponse:
    raise credentials_expired()


async def sts_error(_call: ApiCall, _next: Handler, parameters: FaultParameters) -> ApiResponse:
    code = parameters["code"]
    forbidden = code in _FORBIDDEN_STS_CODES
    status = HTTPStatus.FORBIDDEN if forbidden else HTTPStatus.BAD_REQUEST
    raise ApiError(status, code, "The sandbox returns this error on request.")


async def expired_next_token(_call: ApiCall, _next: Handler, _: FaultParameters) -> ApiResponse:
    raise validation_error("Invalid nextToken: the token has expired")


async def slow(call: ApiCall, next_handler: Handler, parameters: FaultParameters) -> ApiResponse:
    await asyncio.sleep(parameters["seconds"])
    return await next_handler(call)


async def hang(call: ApiCall, next_handler: Handler, parameters: FaultParameters) -> ApiResponse:
    healed = asyncio.ensure_future(parameters.healed.wait())
    disconnected = asyncio.ensure_future(_disconnect(call.receive))
    try:
        await asyncio.wait({healed, disconnected}, return_when=asyncio.FIRST_COMPLETED)
        if disconnected.done():
            raise NoResponseError
    finally:
        healed.cancel()
        disconnected.cancel()
    return await next_handler(call)


async def reset(call: ApiCall, _next: Handler, _: FaultParameters) -> ApiResponse:
    # ASGI cannot close a connection, so this uses uvicorn's transport; other servers see an error.
    transport = getattr(getattr(call.receive, "__self__", None), "transport", None)
    if transport is None:
        raise ConnectionResetError("the sandbox closes this connection")
    transport.abort()
    # uvicorn would send a 500 after a return before it notices.
    await _disconnect(call.receive)
    raise NoResponseError


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def flaky(call: ApiCall, next_handler: Handler, parameters: FaultParameters) -> ApiResponse:
    if parameters.rng.random() >= parameters["rate"]:
        return await next_handler(call)
    failures = (internal_error, unavailable, reset, slow)
    failure = failures[next(parameters.counter) % len(failures)]
    return await failure(call, next_handler, parameters)


async def drip(call: ApiCall, next_handler: Handler, parameters: FaultParameters) -> ApiResponse:
    async def stream(body: bytes) -> AsyncIterator[bytes]:
        size = parameters["bytes"]
        for start in range(0, len(body), size):
            yield body[start : start + size]
            await asyncio.sleep(parameters["seconds"])

    return replace(await next_handler(call), stream=stream)


async def half(call: ApiCall, next_handler: Handler, parameters: FaultParameters) -> ApiResponse:
    async def stream(body: bytes) -> AsyncIterator[bytes]:
        middle = len(body) // 2
        yield body[:middle]
        await parameters.healed.wait()
        yield body[middle:]

    return replace(await next_handler(call), stream=stream)


async def huge(call: ApiCall, next_handler: Handler, parameters: FaultParameters) -> ApiResponse:
    async def stream(body: bytes) -> AsyncIterator[bytes]:
        for chunk in _padded(body, parameters["megabytes"]):
            yield chunk

    return replace(await next_handler(call), stream=stream)


async def gzip(call: ApiCall, next_handler: Handler, parameters: FaultParameters) -> ApiResponse:
    async def stream(body: bytes) -> AsyncIterator[bytes]:
        compressor = zlib.compressobj(wbits=_GZIP_WBITS)
        for chunk in _padded(body, parameters["megabytes"]):
            compressed = compressor.compress(chunk)
            if compressed:
                yield compressed
            # Compression blocks the event loop, so other calls get a turn in between.
            await asyncio.sleep(0)
        yield compressor.flush()

    response = await next_handler(call)
    headers = {**response.headers, "Content-Encoding": "gzip"}
    return replace(response, headers=headers, stream=stream)


def _padded(body: bytes, megabytes: int) -> Iterator[bytes]:
    yield body
    for _ in range(megabytes * _PADDINGS_PER_MEGABYTE):
        yield _PADDING


async def short_pages(
    call: ApiCall, next_handler: Handler, parameters: FaultParameters
) -> ApiResponse:
    size = min(parameters["size"], call.page_size)
    return await next_handler(replace(call, inputs={**call.inputs, "maxResults": size}))


async def empty_pages(
    call: ApiCall, next_handler: Handler, parameters: FaultParameters
) -> ApiResponse:
    position = call.position
    if position.empty_pages >= parameters["count"]:
        return await next_handler(call)
    following = TokenPosition(position.after_ms, position.empty_pages + 1)
    token = encode_token(following, call.list_key, long=call.long_tokens)
    return ApiResponse(orjson.dumps({_rows_member(call): [], "nextToken": token}))


async def long_tokens(call: ApiCall, next_handler: Handler, _: FaultParameters) -> ApiResponse:
    return await next_handler(replace(call, long_tokens=True))


async def repeat_token(call: ApiCall, next_handler: Handler, _: FaultParameters) -> ApiResponse:
    return await _with_body(call, next_handler, lambda body: body | {"nextToken": call.next_token})


async def empty_token(call: ApiCall, next_handler: Handler, _: FaultParameters) -> ApiResponse:
    return await _with_body(call, next_handler, lambda body: {"nextToken": ""} | body)


async def keys_query(call: ApiCall, next_handler: Handler, _: FaultParameters) -> ApiResponse:
    return await _with_body(
        call, next_handler, lambda body: body | {"jwks_uri": body["jwks_uri"] + "?appid=sandbox"}
    )


async def unknown_status(
    call: ApiCall, next_handler: Handler, parameters: FaultParameters
) -> ApiResponse:
    status = {"status": parameters["status"]}
    return await _with_rows(call, next_handler, lambda row: row | status, parameters["rows"])


async def missing_field(
    call: ApiCall, next_handler: Handler, parameters: FaultParameters
) -> ApiResponse:
    def without_field(row: Row) -> Row:
        return {name: value for name, value in row.items() if name != parameters["field"]}

    return await _with_rows(call, next_handler, without_field)


async def unusual_timestamp(
    call: ApiCall, next_handler: Handler, parameters: FaultParameters
) -> ApiResponse:
    created = {"createTime": parameters["value"]}
    return await _with_rows(call, next_handler, lambda row: row | created)


async def wrong_type(
    call: ApiCall, next_handler: Handler, parameters: FaultParameters
) -> ApiResponse:
    member, value = parameters["member"], parameters["value"]
    if not call.is_list or member not in {"rows", "nextToken"}:
        return await _with_rows(call, next_handler, lambda row: row | {member: value})
    name = _rows_member(call) if member == "rows" else member
    return await _with_body(call, next_handler, lambda body: body | {name: value})


async def null_row(call: ApiCall, next_handler: Handler, _: FaultParameters) -> ApiResponse:
    name = _rows_member(call)
    return await _with_body(call, next_handler, lambda body: body | {name: [None, *body[name][1:]]})


async def _with_rows(
    call: ApiCall, next_handler: Handler, change: Callable[[Row], Row], rows: int = 1
) -> ApiResponse:
    """Change the first rows of a list, or the one object of a Get."""

    def change_body(body: Row) -> Row:
        if not call.is_list:
            return change(body)
        name = _rows_member(call)
        return body | {name: [*map(change, body[name][:rows]), *body[name][rows:]]}

    return await _with_body(call, next_handler, change_body)


async def _with_body(
    call: ApiCall, next_handler: Handler, change: Callable[[Row], Row]
) -> ApiResponse:
    response = await next_handler(call)
    return replace(response, body=orjson.dumps(change(orjson.loads(response.body))))


def _rows_member(call: ApiCall) -> str:
    return LIST_OPERATIONS[call.operation].member


async def html(_call: ApiCall, _next: Handler, _: FaultParameters) -> ApiResponse:
    return ApiResponse(_SIGN_IN_PAGE, media_type="text/html")


async def truncated(call: ApiCall, next_handler: Handler, _: FaultParameters) -> ApiResponse:
    response = await next_handler(call)
    return replace(response, body=response.body[: len(response.body) // 2])


async def redirect(_call: ApiCall, _next: Handler, parameters: FaultParameters) -> ApiResponse:
    return ApiResponse(b"", parameters["status"], {"Location": parameters["location"]})


async def headers(call: ApiCall, next_handler: Handler, parameters: FaultParameters) -> ApiResponse:
    value = "x" * parameters["size"]
    added = {f"X-Filler-{number}": value for number in range(parameters["count"])}
    return await _with_headers(call, next_handler, added)


async def not_utf8(call: ApiCall, next_handler: Handler, _: FaultParameters) -> ApiResponse:
    response = await next_handler(call)
    return replace(response, body=response.body.replace(b'"', b'"\xff', 1))


async def deep(call: ApiCall, next_handler: Handler, parameters: FaultParameters) -> ApiResponse:
    response = await next_handler(call)
    nested = b"[" * parameters["depth"] + b"]" * parameters["depth"]
    return replace(response, body=response.body.replace(b"{", b'{"deep":' + nested + b",", 1))


async def cookie(call: ApiCall, next_handler: Handler, _: FaultParameters) -> ApiResponse:
    return await _with_headers(call, next_handler, {"Set-Cookie": "sandbox=crumb; Path=/"})


async def _with_headers(
    call: ApiCall, next_handler: Handler, added: Mapping[str, str]
) -> ApiResponse:
    response = await next_handler(call)
    return replace(response, headers={**response.headers, **added})
