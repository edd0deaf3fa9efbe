"""Every outgoing connection checks the certificate before it sends a byte of a request."""

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from redis.exceptions import RedisError

from gateway.auth import jwks
from gateway.auth.credentials import Caller
from gateway.auth.oidc_file import Role
from gateway.auth.sts import StsClient
from gateway.errors import UpstreamUnavailableError
from gateway.telemetry.otel import OtelTracer
from gateway.upstream.cache.redis import RedisClient
from gateway.upstream.client import CleanRoomsClient, aws_client, aws_session
from tests.certificates import LOOPBACK, CertificateAuthority

REGION = "us-east-1"
CALLER = Caller.from_keys("ASIATLSTEST000000000", "secret", "token")
ROLE = Role(role_arn="arn:aws:iam::111122223333:role/reader", match={})
HANDSHAKE_SECONDS = 10.0


class TlsServer:
    """Accepts connections and keeps what clients send after the handshake."""

    def __init__(self, listener: socket.socket, certificate: Path) -> None:
        self.received = b""
        self.handshakes = threading.Semaphore(0)
        """Released once for each connection that has ended."""
        self._listener = listener
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return  # closed at the end of the test
            with connection, contextlib.suppress(OSError):
                connection.settimeout(HANDSHAKE_SECONDS)
                with self._context.wrap_socket(connection, server_side=True) as encrypted:
                    self.received += encrypted.recv(65536)
            self.handshakes.release()


@contextlib.contextmanager
def tls_server(certificate: Path) -> Iterator[TlsServer]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = TlsServer(listener, certificate)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            listener.shutdown(socket.SHUT_RDWR)
    thread.join(HANDSHAKE_SECONDS)


async def call_aws(port: int) -> None:
    async with CleanRoomsClient.open({REGION: f"https://127.0.0.1:{port}"}) as client:
        with pytest.raises(UpstreamUnavailableError):
            await client.call(CALLER, REGION, "ListAudienceGenerationJobs", {})


async def call_sts(port: int) -> None:
    async with StsClient.open(REGION, f"https://127.0.0.1:{port}", attempts=1) as client:
        with pytest.raises(UpstreamUnavailableError):
            await client.assume_role("a.b.c", ROLE, "tls-test")


def through_proxy(connect: Callable[[int], Awaitable[None]]) -> Callable[[int], Awaitable[None]]:
    async def connect_through_proxy(port: int) -> None:
        with pytest.MonkeyPatch.context() as environment:
            async with connect_proxy() as (url, targets):
                environment.setenv("HTTPS_PROXY", url)
                for name in ("NO_PROXY", "no_proxy"):
                    environment.delenv(name, raising=False)
                await connect(port)
        assert f"127.0.0.1:{port}" in targets

    return connect_through_proxy


@contextlib.asynccontextmanager
async def connect_proxy() -> AsyncIterator[tuple[str, list[str]]]:
    """Serve a proxy for CONNECT requests; yield its URL and the targets of its tunnels."""
    targets: list[str] = []

    async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        targets.append(request.split()[1].decode())
        host, _, port = targets[-1].partition(":")
        target_reader, target_writer = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(_copy(reader, target_writer), _copy(target_reader, writer))

    server = await asyncio.start_server(tunnel, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", targets


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def fetch_keys(port: int) -> None:
    with pytest.raises(jwks.FETCH_ERRORS):
        await jwks.fetch_keys("https://127.0.0.1", f"https://127.0.0.1:{port}/keys")


async def ping_redis(port: int) -> None:
    client = RedisClient(f"rediss://127.0.0.1:{port}")
    with pytest.raises((RedisError, OSError)):
        await client.topology.seed.client.ping()
    await client.close()


async def export_span(_: int) -> None:
    tracer = OtelTracer(1.0)
    async with tracer.open():
        span = tracer.start_request("test", {}, [])
        assert span is not None
        span.end({}, error=None)


CONNECTIONS: dict[str, Callable[[int], Awaitable[None]]] = {
    "aws": call_aws,
    "aws through a proxy": through_proxy(call_aws),
    "sts": call_sts,
    "sts through a proxy": through_proxy(call_sts),
    "issuer": fetch_keys,
    "redis": ping_redis,
    "traces": export_span,
}

OTHER_NAME = x509.DNSName("other.example")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    return CertificateAuthority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(autouse=True)
def _trust(authority: CertificateAuthority, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_CA_BUNDLE", "SSL_CERT_FILE", "OTEL_EXPORTER_OTLP_CERTIFICATE"):
        monkeypatch.setenv(name, str(authority.file))
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)  # the exporter would prefer them
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")  # no second attempt


async def received(
    connect: Callable[[int], Awaitable[None]], certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> bytes:
    with tls_server(certificate) as server:
        url = f"https://127.0.0.1:{server.port}"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        await connect(server.port)
        assert await asyncio.to_thread(server.handshakes.acquire, timeout=HANDSHAKE_SECONDS)
        return server.received


@pytest.mark.parametrize("connect", CONNECTIONS.values(), ids=CONNECTIONS)
async def test_a_valid_certificate_is_accepted(
    connect: Callable[[int], Awaitable[None]],
    authority: CertificateAuthority,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert await received(connect, authority.issue(LOOPBACK), monkeypatch)


@pytest.mark.parametrize("certificate", ["other name", "expired", "self-signed"])
@pytest.mark.parametrize("connect", CONNECTIONS.values(), ids=CONNECTIONS)
async def test_an_invalid_certificate_gets_no_byte_of_a_request(
    connect: Callable[[int], Awaitable[None]],
    certificate: str,
    authority: CertificateAuthority,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    invalid = {
        "other name": lambda: authority.issue(OTHER_NAME),
        "expired": lambda: authority.issue(LOOPBACK, days=-1),
        "self-signed": lambda: authority.issue(LOOPBACK, self_signed=True),
    }

    assert await received(connect, invalid[certificate](), monkeypatch) == b""


@pytest.mark.parametrize("proxy", [None, "http://127.0.0.1:1"])
async def test_the_aws_client_checks_names_and_certificates(proxy: str | None) -> None:
    """It does so through a proxy, too, where aiobotocore itself would check nothing."""
    async with aws_client(aws_session(), "cleanroomsml", REGION, None) as client:
        http: Any = client._endpoint.http_session
        context = (await http._get_session(proxy))._session.connector._ssl

    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
