"""Every outgoing connection checks the certificate before it sends a byte of a request."""

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from redis.exceptions import RedisError

from gateway.auth import jwks
from gateway.auth.credentials import Caller
from gateway.auth.oidc_file import Role
from gateway.auth.sts import StsClient
from gateway.errors import UpstreamUnavailableError
from gateway.outgoing import AUTHORITIES
from gateway.telemetry.otel import OtelTracer
from gateway.upstream.cache.redis import RedisClient
from gateway.upstream.client import CleanRoomsClient
from tests.certificates import LOOPBACK, CertificateAuthority
from tests.proxies import Proxy, serve_proxy

REGION = "us-east-1"
CALLER = Caller.from_keys("ASIATLSTEST000000000", "secret", "token")
ROLE = Role(role_arn="arn:aws:iam::111122223333:role/reader", match={})
HANDSHAKE_SECONDS = 60.0


class TlsServer:
    """Accepts connections and keeps what clients send after the handshake."""

    def __init__(self, listener: socket.socket, certificate: Path) -> None:
        self.received = b""
        self.handshakes = threading.Semaphore(0)
        """Released once for each connection that has ended."""
        self._listener = listener
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        self._context.set_alpn_protocols(["h2"])  # for gRPC; others ask for none, or do without

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
        target = f"127.0.0.1:{port}"
        with (
            pytest.MonkeyPatch.context() as environment,
            serve_proxy(Proxy({target: port})) as proxy,
        ):
            environment.setenv("HTTPS_PROXY", proxy.url)
            for name in ("NO_PROXY", "no_proxy"):
                environment.delenv(name, raising=False)
            await connect(port)
        assert target in proxy.targets

    return connect_through_proxy


async def fetch_keys(port: int) -> None:
    with pytest.raises(jwks.FETCH_ERRORS):
        await jwks.fetch_keys("https://127.0.0.1", f"https://127.0.0.1:{port}/keys")


async def ping_redis(port: int) -> None:
    client = RedisClient(f"rediss://127.0.0.1:{port}")
    with pytest.raises((RedisError, OSError)):
        await client.topology.seed.client.ping()
    await client.close()


async def export_span(_: int) -> None:
    """Export by HTTP, in a thread as the gateway does."""
    tracer = OtelTracer(1.0)
    async with tracer.open():
        span = tracer.start_request("test", {}, [])
        assert span is not None
        span.end({}, error=None)


async def export_span_by_grpc(port: int) -> None:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
        await export_span(port)


DIRECT: dict[str, Callable[[int], Awaitable[None]]] = {
    "aws": call_aws,
    "sts": call_sts,
    "issuer": fetch_keys,
    "traces": export_span,
    "traces by grpc": export_span_by_grpc,
}
THROUGH_PROXY = {
    f"{name} through a proxy": through_proxy(connect) for name, connect in DIRECT.items()
}
WITHOUT_PROXY = {**DIRECT, "redis": ping_redis}
CONNECTIONS = {**WITHOUT_PROXY, **THROUGH_PROXY}

OTHER_NAME = x509.DNSName("other.example")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    return CertificateAuthority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(autouse=True)
def _trust(authority: CertificateAuthority, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in AUTHORITIES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
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


@pytest.mark.parametrize("connect", CONNECTIONS.values(), ids=CONNECTIONS)
async def test_a_valid_certificate_is_accepted(
    connect: Callable[[int], Awaitable[None]],
    authority: CertificateAuthority,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert await received(connect, authority.issue(LOOPBACK), monkeypatch)


@pytest.mark.parametrize("variable", ["AWS_CA_BUNDLE", "SSL_CERT_FILE"])
@pytest.mark.parametrize("connect", WITHOUT_PROXY.values(), ids=WITHOUT_PROXY)
async def test_each_variable_names_the_authorities_of_all_connections(
    connect: Callable[[int], Awaitable[None]],
    variable: str,
    authority: CertificateAuthority,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in AUTHORITIES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, str(authority.file))

    assert await received(connect, authority.issue(LOOPBACK), monkeypatch)
