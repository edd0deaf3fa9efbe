"""Clean Rooms ML over HTTP, each call signed as its caller. The only module with aioboto3."""

import os
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from http import HTTPStatus
from typing import Any, Protocol

import aioboto3
import aiohttp
import attrs
import orjson
from aiobotocore.config import AioConfig
from aiobotocore.credentials import AioCredentials
from aiobotocore.httpsession import AIOHTTPSession
from aiobotocore.parsers import AioResponseParserFactory, AioRestJSONParser
from aiobotocore.session import AioSession
from botocore.configprovider import BOTOCORE_DEFAUT_SESSION_VARIABLES
from botocore.httpsession import get_cert_path
from botocore.parsers import ResponseParserError

from gateway import __version__
from gateway.auth.credentials import AwsCredentials, Caller
from gateway.upstream.errors import ResponseTooLargeError, translate_errors
from gateway.upstream.model import SERVICE, model_loader

CONNECT_SECONDS = 2.0
ATTEMPT_SECONDS = 5.0
CONNECTIONS = 100

MAX_RESPONSE_BYTES = 8 * 1024 * 1024
"""Larger than any valid response: a page of 100 rows takes some 100 KB."""

NO_RETRIES = {"mode": "standard", "total_max_attempts": 1}
"""ResilientClient retries, with one budget for all regions."""

_credentials: ContextVar[AwsCredentials] = ContextVar("credentials of the current call")


class UpstreamClient(Protocol):
    async def call(
        self, caller: Caller, region: str, operation: str, parameters: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Call as the caller and return the parsed response; raises a GatewayError."""


class CleanRoomsClient:
    """Makes single attempts. One client per region serves all callers.

    Credentials are passed in a context variable: a client per caller would cost 50 ms and 8 MB.
    """

    def __init__(self, clients: Mapping[str, Any]) -> None:
        self._clients = clients

    @classmethod
    @asynccontextmanager
    async def open(
        cls, regions: frozenset[str], url: str | None
    ) -> AsyncIterator["CleanRoomsClient"]:
        """Open a client for each region; without a `url`, for AWS's own endpoint."""
        session = aws_session()
        async with AsyncExitStack() as clients:
            yield cls(
                {
                    region: await clients.enter_async_context(
                        aws_client(session, SERVICE, region, url)
                    )
                    for region in sorted(regions)
                }
            )

    def address(self, region: str) -> str:
        """Return the URL of a region's endpoint."""
        url: str = self._clients[region].meta.endpoint_url
        return url

    async def call(
        self, caller: Caller, region: str, operation: str, parameters: Mapping[str, Any]
    ) -> dict[str, Any]:
        client = self._clients[region]
        token = _credentials.set(caller.credentials)
        try:
            with translate_errors(operation):
                # The generated methods of the client only wrap this one.
                response: dict[str, Any] = await client._make_api_call(operation, parameters)  # noqa: SLF001
                return response
        finally:
            _credentials.reset(token)


def aws_session() -> Any:
    """Return a session that signs with the credentials of callers only."""
    return aioboto3.Session(botocore_session=_CallerSession())


def aws_client(session: Any, service: str, region: str, url: str | None, **config: Any) -> Any:
    """Return an async context manager of a client; `config` goes to its AioConfig."""
    return session.client(service, region_name=region, endpoint_url=url, config=_config(**config))


class _CallerCredentials(AioCredentials):
    """Reads the caller's credentials from the context of the call when it is signed."""

    def __init__(self) -> None:
        super().__init__("unset", "unset", method="caller")

    async def get_frozen_credentials(self) -> AwsCredentials:  # type: ignore[override]  # the signer reads three names
        return _credentials.get()


class _CallerSession(AioSession):
    """Ignores the environment's credentials and all AWS_* settings but AWS_CA_BUNDLE.

    AWS_CA_BUNDLE concerns the connection, as HTTPS_PROXY does, not the identity.
    """

    def __init__(self) -> None:
        unset = {
            name: (None, None, default, convert)
            for name, (_, _, default, convert) in BOTOCORE_DEFAUT_SESSION_VARIABLES.items()
        }
        nowhere = (None, None, os.devnull, None)
        super().__init__(
            session_vars={
                **unset,
                "config_file": nowhere,
                "credentials_file": nowhere,
                "ca_bundle": BOTOCORE_DEFAUT_SESSION_VARIABLES["ca_bundle"],
            }
        )
        self.register_component("response_parser_factory", _ParserFactory())
        self.register_component("data_loader", model_loader())

    async def get_credentials(self) -> AioCredentials:  # type: ignore[override]  # aiobotocore's is async
        return _CallerCredentials()


def _config(**options: Any) -> AioConfig:
    return AioConfig(
        **{"retries": NO_RETRIES, **options},
        connect_timeout=CONNECT_SECONDS,
        read_timeout=ATTEMPT_SECONDS,
        max_pool_connections=CONNECTIONS,
        parameter_validation=False,  # the graph validates against the same model
        ignore_configured_endpoint_urls=True,
        # botocore would build one from the environment for each call.
        user_agent=f"audience-gateway/{__version__}",
        http_session_cls=_HttpSession,
    )


class _HttpSession(AIOHTTPSession):
    """Follows no redirects and stores no cookies.

    aiohttp would send the caller's session token to the target of a redirect, and one caller's
    cookies with another's calls.
    """

    _sessions: dict[str | None, "_NoRedirectSession"]
    _exit_stack: AsyncExitStack
    _timeout: aiohttp.ClientTimeout
    _verify: Any
    """True, or the file of AWS_CA_BUNDLE."""
    _connector_args: dict[str, Any]

    def _create_connector(self, _: str | None) -> aiohttp.TCPConnector:
        # botocore's context does not check host names, which it leaves to urllib3, and through a
        # proxy aiobotocore checks no certificate at all.
        context = ssl.create_default_context(cafile=get_cert_path(self._verify))
        return aiohttp.TCPConnector(limit=CONNECTIONS, ssl=context, **self._connector_args)

    async def _get_session(self, proxy_url: str | None) -> "_NoRedirectSession":
        if proxy_url not in self._sessions:
            session = await self._exit_stack.enter_async_context(
                aiohttp.ClientSession(
                    connector=self._create_connector(proxy_url),
                    # A total, because a slow trickle of data never exceeds a socket timeout.
                    timeout=attrs.evolve(self._timeout, total=CONNECT_SECONDS + ATTEMPT_SECONDS),
                    skip_auto_headers={"Content-Type"},
                    auto_decompress=False,
                    cookie_jar=aiohttp.DummyCookieJar(),
                    response_class=_BoundedResponse,
                )
            )
            # aiohttp's own retry would double each attempt.
            session._retry_connection = False  # noqa: SLF001
            self._sessions[proxy_url] = _NoRedirectSession(session)
        return self._sessions[proxy_url]


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


class _NoRedirectSession:
    """The one method of aiohttp's session that aiobotocore uses, with redirects off."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    def request(self, method: str, **options: Any) -> Any:
        return self._session.request(method, allow_redirects=False, **options)


class _ParserFactory(AioResponseParserFactory):
    """Shares one REST-JSON parser: it is stateless, and creating it per call takes time."""

    def __init__(self) -> None:
        super().__init__()
        self._parser = _Parser()

    def create_parser(self, protocol_name: str) -> Any:
        if protocol_name == "rest-json":
            return self._parser
        return super().create_parser(protocol_name)


def _with_code(error: Any, response: Any) -> Any:
    """Return the error if it has a code, else one that has the HTTP status as its code."""
    details = error.get("Error") if isinstance(error, dict) else None
    if isinstance(details, dict) and isinstance(details.get("Code"), str):
        return error
    status = response["status_code"]
    metadata = {"HTTPStatusCode": status, "HTTPHeaders": dict(response["headers"])}
    return {"Error": {"Code": str(status), "Message": ""}, "ResponseMetadata": metadata}


class _Parser(AioRestJSONParser):
    """Returns the JSON of a response as it is; errors are parsed by botocore.

    The stock parser walks the shape of the service model for each value, which takes most of the
    time of a call, and only turns timestamps into datetimes: this service renames no member and
    sends none in a header. `parse_list` and `parse_item` check what a response must contain.
    """

    async def parse(self, response: Any, shape: Any) -> Any:
        try:
            parsed = await super().parse(response, shape)
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
            if response["status_code"] < HTTPStatus.MULTIPLE_CHOICES:
                raise ResponseParserError("the response contradicts the service model") from error
            parsed = {}
        is_error = response["status_code"] >= HTTPStatus.MULTIPLE_CHOICES
        # botocore parses an error twice: for its code, then for the members of its shape.
        if is_error and not (shape is not None and shape.metadata.get("exception")):
            return _with_code(parsed, response)
        return parsed

    def _parse_payload(
        self, response: Any, shape: Any, member_shapes: Any, final_parsed: dict[str, Any]
    ) -> None:
        if response["status_code"] >= HTTPStatus.MULTIPLE_CHOICES:
            super()._parse_payload(response, shape, member_shapes, final_parsed)  # type: ignore[misc]  # not in the stubs
            return
        try:
            body = orjson.loads(response["body"])
        except orjson.JSONDecodeError as error:
            raise ResponseParserError("the body is not JSON") from error
        if not isinstance(body, dict):
            raise ResponseParserError("the body is not a JSON object")
        final_parsed.update(body)
