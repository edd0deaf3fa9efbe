"""Clean Rooms ML over HTTP, each call signed as the person asking. All of aioboto3 is in here."""

import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from http import HTTPStatus
from typing import Any

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
from botocore.parsers import ResponseParserError

from gateway import __version__
from gateway.auth.credentials import AwsCredentials, Caller
from gateway.upstream.errors import AnswerTooLargeError, translated
from gateway.upstream.model import SERVICE, loader

CONNECT_SECONDS = 2.0
ATTEMPT_SECONDS = 5.0
CONNECTIONS = 100

MAX_ANSWER_BYTES = 8 * 1024 * 1024
"""More than any answer has: a page of 100 rows takes some 100 KB."""

ONCE = {"mode": "standard", "total_max_attempts": 1}
"""botocore's retries are off: those of calls.py have one budget for all regions."""

_keys: ContextVar[AwsCredentials] = ContextVar("keys of the caller whose call is being made")


class CleanRoomsClient:
    """One client per region serves every caller: the credentials travel with the call.

    A session or client per caller would cost 50 ms and 8 MB each.
    """

    def __init__(self, clients: Mapping[str, Any]) -> None:
        self._clients = clients

    @classmethod
    @asynccontextmanager
    async def open(
        cls, regions: frozenset[str], url: str | None
    ) -> AsyncIterator["CleanRoomsClient"]:
        """Hold a client for each region until the application ends; `url` None is AWS's own."""
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
        """Say where a region is asked."""
        address: str = self._clients[region].meta.endpoint_url
        return address

    async def call(
        self, caller: Caller, region: str, operation: str, parameters: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Make one attempt as the caller and return the parsed answer.

        Raises a GatewayError for whatever goes wrong.
        """
        client = self._clients[region]
        token = _keys.set(caller.credentials)
        try:
            with translated(operation):
                # The client's generated methods do no more than rename this one.
                answer: dict[str, Any] = await client._make_api_call(operation, parameters)  # noqa: SLF001
                return answer
        finally:
            _keys.reset(token)


def aws_session() -> Any:
    """Make a session that knows no credentials but the callers'."""
    return aioboto3.Session(botocore_session=_CallersSession())


def aws_client(session: Any, service: str, region: str, url: str | None, **config: Any) -> Any:
    """Make a client, to be entered as a context; `config` goes to its AioConfig."""
    return session.client(service, region_name=region, endpoint_url=url, config=_config(**config))


class _CallersCredentials(AioCredentials):
    """Reads who is asking from the call's own context, at the moment of signing."""

    def __init__(self) -> None:
        super().__init__("nobody", "nobody", method="caller")

    async def get_frozen_credentials(self) -> AwsCredentials:  # type: ignore[override]  # the signer reads three names
        return _keys.get()


class _CallersSession(AioSession):
    """A session that knows no credentials but the callers', and reads no AWS_* setting.

    AWS_CA_BUNDLE alone is heeded, as are HTTPS_PROXY and its kin: they say whom to trust and
    which way to go, not whom to be.
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
        self.register_component("data_loader", loader())

    async def get_credentials(self) -> AioCredentials:  # type: ignore[override]  # aiobotocore's is async
        return _CallersCredentials()


def _config(**options: Any) -> AioConfig:
    return AioConfig(
        **{"retries": ONCE, **options},
        connect_timeout=CONNECT_SECONDS,
        read_timeout=ATTEMPT_SECONDS,
        max_pool_connections=CONNECTIONS,
        parameter_validation=False,  # the graph has checked them against the same model
        ignore_configured_endpoint_urls=True,
        # botocore would put one together from the environment, anew for each call.
        user_agent=f"audience-gateway/{__version__}",
        http_session_cls=_HttpSession,
    )


class _HttpSession(AIOHTTPSession):
    """Follows no redirect and keeps no cookie.

    aiohttp would carry the caller's session token to the host that a redirect names, and
    one caller's cookies into another's calls.
    """

    _sessions: dict[str | None, "_NoRedirectSession"]
    _exit_stack: AsyncExitStack
    _create_connector: Callable[[str | None], aiohttp.TCPConnector]
    _timeout: aiohttp.ClientTimeout

    async def _get_session(self, proxy_url: str | None) -> "_NoRedirectSession":
        if proxy_url not in self._sessions:
            session = await self._exit_stack.enter_async_context(
                aiohttp.ClientSession(
                    connector=self._create_connector(proxy_url),
                    # In all, too: an answer that drips never meets a socket's timeout.
                    timeout=attrs.evolve(self._timeout, total=CONNECT_SECONDS + ATTEMPT_SECONDS),
                    skip_auto_headers={"Content-Type"},
                    auto_decompress=False,
                    cookie_jar=aiohttp.DummyCookieJar(),
                    response_class=_BoundedResponse,
                )
            )
            # Retries are botocore's: aiohttp's own would double each of them.
            session._retry_connection = False  # noqa: SLF001
            self._sessions[proxy_url] = _NoRedirectSession(session)
        return self._sessions[proxy_url]


class _BoundedResponse(aiohttp.ClientResponse):
    """Reads no more of a body than any answer has."""

    async def read(self) -> bytes:
        if self._body is None:
            try:
                self._body = await self._bounded()
            except BaseException:
                self.close()
                raise
        # What follows, the release of the connection included, is as it always is.
        return await super().read()

    async def _bounded(self) -> bytes:
        parts: list[bytes] = []
        size = 0
        async for part in self.content.iter_any():
            size += len(part)
            if size > MAX_ANSWER_BYTES:
                raise AnswerTooLargeError
            parts.append(part)
        return b"".join(parts)


class _NoRedirectSession:
    """The one method of aiohttp's session that is used, with redirects off."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    def request(self, method: str, **options: Any) -> Any:
        return self._session.request(method, allow_redirects=False, **options)


class _ParserFactory(AioResponseParserFactory):
    """Hands out one REST-JSON parser: it holds no state, and making it for each call shows."""

    def __init__(self) -> None:
        super().__init__()
        self._parser = _Parser()

    def create_parser(self, protocol_name: str) -> Any:
        if protocol_name == "rest-json":
            return self._parser
        return super().create_parser(protocol_name)


def _readable(error: Any, response: Any) -> Any:
    """Leave an error as it is if it can be judged by its code; else by its HTTP status."""
    found = error.get("Error") if isinstance(error, dict) else None
    if isinstance(found, dict) and isinstance(found.get("Code"), str):
        return error
    status = response["status_code"]
    metadata = {"HTTPStatusCode": status, "HTTPHeaders": dict(response["headers"])}
    return {"Error": {"Code": str(status), "Message": ""}, "ResponseMetadata": metadata}


class _Parser(AioRestJSONParser):
    """Reads an answer's body as it stands; the error path stays botocore's.

    The stock parser walks the model's shape for each value, which takes most of the time of
    a call, to turn timestamps into datetimes and nothing else: no member of this service is
    renamed or sent in a header. What an answer must hold is checked in rows.py.
    """

    async def parse(self, response: Any, shape: Any) -> Any:
        try:
            parsed = await super().parse(response, shape)
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
            if response["status_code"] < HTTPStatus.MULTIPLE_CHOICES:
                raise ResponseParserError("the answer is not as its model says") from error
            parsed = {}
        of_error = response["status_code"] >= HTTPStatus.MULTIPLE_CHOICES
        # An error is read twice: for its code, then for the members that its shape models.
        if of_error and not (shape is not None and shape.metadata.get("exception")):
            return _readable(parsed, response)
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
