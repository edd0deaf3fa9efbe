"""Upstreams of our own making: any status, headers and body; with TLS that nobody vouches for."""

import contextlib
import ssl
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

REPEATED = ("X-Amz-Security-Token", "Authorization")


class Answering(ThreadingHTTPServer):
    """Answers each request alike; `repeats` adds what it was sent to all that it says."""

    status = 200
    body = b'{"audienceGenerationJobs": []}'
    headers: Mapping[str, str] = {}
    repeats = False
    daemon_threads = True

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])


class _Handler(BaseHTTPRequestHandler):
    server: Answering

    def do_GET(self) -> None:
        """Answer."""
        self._answer(self.server.body)

    def do_POST(self) -> None:
        """Answer, and repeat the form."""
        self._answer(self.rfile.read(int(self.headers["content-length"])))

    def _answer(self, body: bytes) -> None:
        headers, known = dict(self.server.headers), self.server
        if known.repeats:
            said = " ".join(self.headers.get(name, "") for name in REPEATED)
            headers["x-amzn-ErrorType"] = said or body.decode()
            body = b'{"__type": "%b", "message": "%b"}' % (said.encode(), said.encode())
        self.send_response_only(known.status)  # no Date of its own
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def answering(*, certificate: Path | None = None) -> Iterator[Answering]:
    """Serve on a free port, with TLS if there is a certificate with its key."""
    with Answering(("127.0.0.1", 0), _Handler) as server:
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def self_signed(folder: Path) -> Path:
    """Make a certificate for this machine that nobody but its own key has signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(secret + certificate.public_bytes(Encoding.PEM))
    return path
