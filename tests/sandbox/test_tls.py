"""The sandbox over TLS, and its proxy: rehearsals of a company network."""

import re
import signal
import socket
import ssl
import stat
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner
from cryptography import x509

from gateway.sandbox.certificates import write_certificates
from gateway.sandbox.cli import sandbox
from tests.gateways import TIMEOUT_SECONDS, TLS, http
from tests.processes import Process, gateway_command, until
from tests.sandbox.wire import DISCOVERY

NAME = "cleanrooms-ml.us-east-1.amazonaws.com"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tls") / "new"


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[Process]:
    arguments = ("sandbox", "--port", "0", "--tls", str(folder), "--allowed-host", NAME)
    with gateway_command(*arguments) as process:
        yield process


@pytest.fixture(scope="module")
def trust(served: Process) -> ssl.SSLContext:
    """Trust the file that it prints."""

    def printed() -> list[str]:
        return re.findall(r"SSL_CERT_FILE=(\S+)", "".join(served.output))

    until(printed)
    return ssl.create_default_context(cafile=printed()[0])


def discover(url: str, trust: ssl.SSLContext, proxy: str | None = None) -> str:
    """Return the issuer in the discovery document."""
    with httpx.Client(
        verify=trust, proxy=proxy, trust_env=False, timeout=TIMEOUT_SECONDS
    ) as client:
        issuer: str = client.get(url + DISCOVERY).json()["issuer"]
    return issuer


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_the_printed_authority_is_that_of_the_certificate(
    host: str, served: Process, trust: ssl.SSLContext
) -> None:
    url = served.url.replace("127.0.0.1", host)

    assert served.url.startswith("https://")
    assert discover(url, trust) == f"{url}/oidc"
    with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
        discover(url, TLS)


def test_the_control_commands_trust_it_too(
    served: Process, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "authority.pem"))
    listed = CliRunner().invoke(sandbox, ["faults", "--url", served.url])

    assert listed.exit_code == 0, listed.output


def test_the_key_is_readable_by_its_owner_only(served: Process, folder: Path) -> None:
    assert served.url
    assert {path.name for path in folder.iterdir()} == {"authority.pem", "server.pem"}
    assert stat.S_IMODE((folder / "server.pem").stat().st_mode) == 0o600
    assert "PRIVATE" not in (folder / "authority.pem").read_text(encoding="ascii")


def test_the_key_is_secret_and_only_in_the_folder_whatever_was_there(tmp_path: Path) -> None:
    other, server = tmp_path / "other", tmp_path / "server.pem"
    other.write_text("other")
    server.symlink_to(other)
    write_certificates(tmp_path, ["localhost"])
    assert other.read_text() == "other"

    server.chmod(0o644)
    write_certificates(tmp_path, ["localhost"])
    assert stat.S_IMODE(server.lstat().st_mode) == 0o600


def test_certificates_conform_to_rfc_5280(tmp_path: Path) -> None:
    """Python 3.13 requires it."""
    files = write_certificates(tmp_path, ["sandbox.example", "::1"])
    context = ssl.create_default_context(cafile=files.authority)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(files.server)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(to_client, to_server, server_hostname="sandbox.example")
    other = server.wrap_bio(to_server, to_client, server_side=True)
    for side in (client, other, client, other):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue

    names = x509.load_pem_x509_certificate(files.server.read_bytes()).extensions
    assert client.version() == "TLSv1.3"
    assert client.getpeercert()
    assert len(list(names.get_extension_for_class(x509.SubjectAlternativeName).value)) == 2


def test_a_folder_that_cannot_be_written_is_named() -> None:
    ended = CliRunner().invoke(sandbox, ["--port", "0", "--tls", "/proc/none"])

    assert ended.exit_code == 2
    assert "/proc/none cannot be written" in ended.output


def test_the_proxy_leads_any_name_to_the_sandbox(served: Process, trust: ssl.SSLContext) -> None:
    to = served.url.removeprefix("https://")
    arguments = ("sandbox", "proxy", "--port", "0", "--to", to, "--login", "user:p@ss")
    with gateway_command(*arguments) as proxy:
        address = proxy.url.removeprefix("http://")
        issuer = discover(f"https://{NAME}", trust, f"http://user:p%40ss@{address}")
        with pytest.raises(httpx.ProxyError, match="407"):
            discover(f"https://{NAME}", trust, proxy.url)
        plain = http("GET", proxy.url, trust_env=False)

    assert issuer == f"https://{NAME}/oidc"
    assert plain.status_code == 405
    assert f"  HTTPS_PROXY={proxy.url}\n" in proxy.output


def test_the_proxy_ends_with_tunnels_open(served: Process) -> None:
    """On Ctrl-C, at once and without a traceback."""
    to = served.url.removeprefix("https://")
    with gateway_command("sandbox", "proxy", "--port", "0", "--to", to) as proxy:
        host, port = proxy.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as tunnel:
            tunnel.sendall(b"CONNECT name:443 HTTP/1.1\r\n\r\n")
            opened = tunnel.recv(100)
            proxy.send_signal(signal.SIGINT)
            code = proxy.wait()

    assert opened.startswith(b"HTTP/1.1 200 ")
    assert code == 0
    assert proxy.errors == []


def test_the_proxy_refuses() -> None:
    with (
        gateway_command("sandbox", "proxy", "--port", "0", "--refuse", "403") as proxy,
        pytest.raises(httpx.ProxyError, match="403"),
    ):
        discover(f"https://{NAME}", TLS, proxy.url)


@pytest.mark.parametrize("to", ["9000", "localhost", ":9000", "localhost:x"])
def test_an_invalid_target_of_the_proxy_is_named(to: str) -> None:
    ended = CliRunner().invoke(sandbox, ["proxy", "--port", "0", "--to", to])

    assert ended.exit_code == 2
    assert "is not HOST:PORT" in ended.output
