"""Clean Rooms ML over HTTP, each call signed as its caller. The only module with aioboto3."""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus
from typing import Any, Protocol
from uuid import uuid4

import aioboto3
import aiohttp
import orjson
from aiobotocore.config import AioConfig
from aiobotocore.httpsession import AIOHTTPSession
from aiobotocore.session import AioSession
from botocore.configprovider import BOTOCORE_DEFAUT_SESSION_VARIABLES
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError, create_parser
from yarl import URL

from gateway import __version__
from gateway.auth.credentials import AwsCredentials, Caller
from gateway.outgoing import HttpSession, open_http_session, proxy_for
from gateway.upstream.errors import ResponseTooLargeError, translate_errors
from gateway.upstream.model import SERVICE, model_loader
from gateway.upstream.request_url import request_url
from gateway.upstream.signature import RequestSigner

MAX_RESPONSE_BYTES = 8 * 1024 * 1024
"""Larger than any valid response: a page of 100 rows takes some 100 KB."""

NO_RETRIES = {"mode": "standard", "total_max_attempts": 1}
"""ResilientClient retries, with one budget for all regions."""

_error_parser = create_parser("rest-json")


class UpstreamClient(Protocol):
    async def call(
        self, caller: Caller, region: str, operation: str, parameters: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Call as the caller and return the parsed response; raises a GatewayError."""


class CleanRoomsClient:
    """Makes single attempts, for all callers."""

    def __init__(self, endpoints: "Mapping[str, _Endpoint]") -> None:
        """`endpoints` are those of the regions."""
        self._endpoints = endpoints

    @classmethod
    @asynccontextmanager
    async def open(cls, urls: Mapping[str, str | None]) -> AsyncIterator["CleanRoomsClient"]:
        """Open a client for regions with these URLs; None is AWS's own endpoint of the region."""
        session = aws_session()
        async with AsyncExitStack() as clients:
            endpoints = {}
            for region, url in sorted(urls.items()):
                client = await clients.enter_async_context(
                    aws_client(session, SERVICE, region, url)
                )
                endpoints[region] = await _Endpoint.of(client)
            yield cls(endpoints)

    def address(self, region: str) -> str:
        """Return the URL of a region's endpoint."""
        return self._endpoints[region].url

    async def call(
        self, caller: Caller, region: str, operation: str, parameters: Mapping[str, Any]
    ) -> dict[str, Any]:
        with translate_errors(operation):
            return await self._endpoints[region].call(caller.credentials, operation, parameters)


class _Endpoint:
    """Makes the calls in a region with the parts of one botocore client.

    The client itself would resolve the endpoint, run the hooks of all services and choose a signer
    for each call, which takes as long as the rest of it. All calls here are GET requests to one
    service, and differ in caller and parameters only.
    """

    def __init__(self, client: Any, url: str, signer: RequestSigner) -> None:
        self.url = url
        self._signer = signer
        self._http: _HttpSession = client._endpoint.http_session  # noqa: SLF001
        self._proxy = proxy_for(url)
        self._user_agent: str = client._user_agent_creator.to_string()  # noqa: SLF001

    @classmethod
    async def of(cls, client: Any) -> "_Endpoint":
        """Return the endpoint of a client's service, which is the same for all operations."""
        model = client.meta.service_model
        operation = model.operation_model(model.operation_names[0])
        context: dict[str, Any] = {"client_config": client.meta.config}
        url, _, _ = await client._resolve_endpoint_ruleset(operation, {}, context)  # noqa: SLF001
        scope, default = context.get("signing", {}), client._request_signer  # noqa: SLF001
        region = scope.get("region", default.region_name)
        service = scope.get("signing_name", default.signing_name)
        return cls(client, url, RequestSigner(url, region, service))

    async def call(
        self, credentials: AwsCredentials, operation: str, parameters: Mapping[str, Any]
    ) -> dict[str, Any]:
        url = request_url(self.url, operation, parameters)
        headers = {
            "User-Agent": self._user_agent,
            **self._signer.headers(credentials, url),
            "amz-sdk-invocation-id": str(uuid4()),
            "amz-sdk-request": "attempt=1",
            "Accept-Encoding": "identity",
        }
        session = await self._http.open()
        async with session.request(
            "GET", url=URL(url, encoded=True), headers=headers, proxy=self._proxy
        ) as response:
            body = await response.read()
        # Strict, because a request id that is not UTF-8 could not be logged.
        received = {name.decode().lower(): value.decode() for name, value in response.raw_headers}
        if response.status >= HTTPStatus.MULTIPLE_CHOICES:
            raise ClientError(_parse_error(response.status, received, body), operation)
        parsed = _parse(body)
        parsed["ResponseMetadata"] = {
            "RequestId": received.get("x-amzn-requestid"),
            "HTTPHeaders": received,
        }
        return parsed


def aws_session() -> Any:
    """Return a session that signs with the credentials of callers only."""
    return aioboto3.Session(botocore_session=_CallerSession())


def aws_client(session: Any, service: str, region: str, url: str | None, **config: Any) -> Any:
    """Return an async context manager of a client; `config` goes to its AioConfig."""
    return session.client(service, region_name=region, endpoint_url=url, config=_config(**config))


class _CallerSession(AioSession):
    """Ignores the environment's credentials and AWS_* settings."""

    def __init__(self) -> None:
        unset = {
            name: (None, None, default, convert)
            for name, (_, _, default, convert) in BOTOCORE_DEFAUT_SESSION_VARIABLES.items()
        }
        nowhere = (None, None, os.devnull, None)
        super().__init__(
            session_vars={**unset, "config_file": nowhere, "credentials_file": nowhere}
        )
        self.register_component("data_loader", model_loader())

    async def get_credentials(self) -> None:  # type: ignore[override]  # aiobotocore's is async
        """Return none: each call is signed with those of its caller."""


def _config(**options: Any) -> AioConfig:
    return AioConfig(
        **{"retries": NO_RETRIES, **options},
        parameter_validation=False,  # the graph validates against the same model
        ignore_configured_endpoint_urls=True,
        # botocore would build one from the environment for each call.
        user_agent=f"audience-gateway/{__version__}",
        http_session_cls=_HttpSession,
    )


class _HttpSession(AIOHTTPSession):
    """Connects as all parts of the gateway do.

    botocore's own TLS context does not check host names, and through a proxy aiobotocore checks no
    certificate at all.
    """

    _exit_stack: AsyncExitStack

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._proxy_config = _Proxies()
        self._opened: HttpSession | None = None

    async def open(self) -> HttpSession:
        """Return the session, which is opened when it is first used."""
        if self._opened is None:
            self._opened = await self._exit_stack.enter_async_context(
                open_http_session(
                    skip_auto_headers={"Content-Type"},
                    auto_decompress=False,
                    response_class=_BoundedResponse,
                )
            )
        return self._opened

    async def _get_session(self, _: str | None) -> HttpSession:
        return await self.open()


class _Proxies:
    """What aiobotocore asks of botocore's ProxyConfiguration."""

    def proxy_url_for(self, url: str) -> URL | None:
        return proxy_for(url)

    def proxy_headers_for(self, _: str) -> Mapping[str, str]:
        return {}  # aiohttp sends the credentials in the URL


class _BoundedResponse(aiohttp.ClientResponse):
    """Limits the size of a body."""

    async def read(self) -> bytes:
        if self._body is None:
            try:
                self._body = await self._read_bounded()
            except BaseException:
                self.close()
                raise
        # With the body set, this only does the rest, such as releasing the connection.
        return await super().read()

    async def _read_bounded(self) -> bytes:
        parts: list[bytes] = []
        size = 0
        async for part in self.content.iter_any():
            size += len(part)
            if size > MAX_RESPONSE_BYTES:
                raise ResponseTooLargeError
            parts.append(part)
        return b"".join(parts)


def _parse(body: bytes) -> dict[str, Any]:
    """Return the JSON of a response as it is.

    botocore's parser walks the shape of the service model for each value, which takes most of the
    time of a call, and only turns timestamps into datetimes: this service renames no member and
    sends none in a header. `parse_list` and `parse_item` check what a response must contain.
    """
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ResponseParserError("the body is not JSON") from error
    if not isinstance(parsed, dict):
        raise ResponseParserError("the body is not a JSON object")
    return parsed


def _parse_error(status: int, headers: Mapping[str, str], body: bytes) -> Any:
    """Return what botocore reads in an error response; without a code, the HTTP status is it."""
    response = {"status_code": status, "headers": headers, "body": body}
    try:
        parsed: Any = _error_parser.parse(response, None)  # type: ignore[arg-type]  # stubs
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        parsed = {}
    details = parsed.get("Error")
    if isinstance(details, dict) and isinstance(details.get("Code"), str):
        return parsed
    metadata = {"HTTPStatusCode": status, "HTTPHeaders": headers}
    return {"Error": {"Code": str(status), "Message": ""}, "ResponseMetadata": metadata}
