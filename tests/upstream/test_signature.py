"""Requests are those of the stock client, byte by byte, and have the same signatures."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from unittest import mock
from urllib.parse import quote

import aioboto3
import pytest
from aiobotocore.config import AioConfig
from botocore import auth
from botocore.awsrequest import AWSRequest
from hypothesis import given
from hypothesis import strategies as st

from gateway import __version__
from gateway.auth.credentials import AwsCredentials
from gateway.errors import BadUserInputError, NotFoundError
from gateway.sandbox import CALLERS
from gateway.upstream.signature import RequestSigner
from tests.gateways import Sandbox
from tests.upstream.clients import GET, LIST, REGION, caller, open_client

segments = st.lists(st.text("aZ09-_.~%/\\", max_size=6), max_size=4)
queries = st.lists(
    st.tuples(st.text("abZ-.", min_size=1, max_size=3), st.text("aé +&=/%~*'", max_size=9)),
    max_size=4,
)
keys = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=40)


@given(
    host=st.sampled_from(
        [
            "https://cleanrooms-ml.us-east-1.amazonaws.com",
            "https://EXAMPLE.com:443",
            "http://127.0.0.1:9000",
            "http://[::1]:9000",
            "http://localhost:80",
        ]
    ),
    path=segments.map(lambda parts: "".join(f"/{part}" for part in parts)),
    query=queries.map(lambda pairs: "&".join(f"{name}={quote(v)}" for name, v in pairs)),
    secret=keys,
    token=st.none() | keys | st.just("with  several   spaces"),
    region=st.sampled_from(["us-east-1", "eu-central-1"]),
)
def test_signatures_are_those_of_botocore(
    host: str, path: str, query: str, secret: str, token: str | None, region: str
) -> None:
    credentials = AwsCredentials("ASIA0000000000000000", secret, token)
    url = f"{host}{path}{'?' if query else ''}{query}"

    headers = RequestSigner(host, region, "cleanrooms-ml").headers(credentials, url)

    stock = AWSRequest("GET", url, {"User-Agent": "stock"})
    now = datetime.strptime(headers["X-Amz-Date"], auth.SIGV4_TIMESTAMP)  # noqa: DTZ007  UTC
    with mock.patch.object(auth, "get_current_datetime", return_value=now):
        signer_class: Any = auth.SigV4Auth
        signer_class(credentials, "cleanrooms-ml", region).add_auth(stock)
    assert headers == {name: stock.headers[name] for name in stock.headers if name != "User-Agent"}


ODD_VALUES = [
    "a b",
    "+/=&?#%",
    "%2F%20",
    "é…\N{GRINNING FACE}",
    "~*'()!@,;:$",
    "../..//.",
    "x" * 10_240,
    "arn:aws:cleanrooms-ml:us-east-1:111122223333:audience-generation-job/x",
]


@pytest.mark.parametrize("value", ODD_VALUES, ids=lambda value: value[:12])
async def test_aws_accepts_the_signature_of_any_parameter(sandbox: Sandbox, value: str) -> None:
    """The sandbox verifies signatures before it checks parameters."""
    async with open_client(sandbox.url) as client:
        calls = (
            client.call(caller("ada"), REGION, LIST, {"nextToken": value, "maxResults": 5}),
            client.call(caller("ada"), REGION, GET, {"audienceGenerationJobArn": value}),
        )
        errors = await asyncio.gather(*calls, return_exceptions=True)

    assert {type(error) for error in errors} <= {BadUserInputError, NotFoundError}
    assert len(sandbox.calls) == 2


PER_CALL = re.compile(rb"(X-Amz-Date: |Signature=|amz-sdk-invocation-id: )([\w-]+)")


@asynccontextmanager
async def recording_server(requests: list[bytes]) -> AsyncIterator[str]:
    """Serve empty objects, and keep the bytes of each request without what differs by call."""

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                requests.append(PER_CALL.sub(rb"\1", head))
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        except asyncio.IncompleteReadError:
            writer.close()

    server = await asyncio.start_server(respond, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize("path", ["", "/prefix", "/prefix/"])
async def test_requests_are_those_of_the_stock_client(path: str) -> None:
    ada = CALLERS["ada"]
    stock_session: Any = aioboto3.Session(
        ada.access_key_id, ada.secret_access_key, ada.session_token
    )
    config = AioConfig(
        parameter_validation=False,
        user_agent=f"audience-gateway/{__version__}",
        retries={"mode": "standard", "total_max_attempts": 1},
    )
    calls: list[tuple[str, dict[str, Any]]] = [
        (LIST, {}),
        *((LIST, {"nextToken": value, "maxResults": 100}) for value in ODD_VALUES),
        *((GET, {"audienceGenerationJobArn": value}) for value in ODD_VALUES),
        ("ListTagsForResource", {"resourceArn": ODD_VALUES[-1]}),
    ]
    requests: list[bytes] = []
    async with recording_server(requests) as server:
        url = server + path
        async with open_client(url) as ours:
            for operation, parameters in calls:
                await ours.call(caller("ada"), REGION, operation, parameters)
        sent, requests[:] = list(requests), []
        async with stock_session.client(
            "cleanroomsml", REGION, endpoint_url=url, config=config
        ) as stock:
            for operation, parameters in calls:
                await stock._make_api_call(operation, parameters)

    assert sent == requests
    assert len(sent) == len(calls)
