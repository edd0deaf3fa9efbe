"""HTTP servers with any status, headers and body, and optionally a self-signed certificate."""

import contextlib
import ssl
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ECHOED = ("X-Amz-Security-Token", "Authorization")


class FakeServer(ThreadingHTTPServer):
    """Sends the same response to all requests; `echoes` puts what it received into it."""

    status = 200
    body = b'{"audienceGenerationJobs": []}'
    headers: Mapping[str, str] = {}
    echoes = False
    daemon_threads = True

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class _Handler(BaseHTTPRequestHandler):
    server: FakeServer

    def do_GET(self) -> None:
        self._respond(self.server.body)

    def do_POST(self) -> None:
        self._respond(self.rfile.read(int(self.headers["content-length"])))

    def _respond(self, body: bytes) -> None:
        server, headers = self.server, dict(self.server.headers)
        if server.echoes:
            received = " ".join(self.headers.get(name, "") for name in ECHOED)
            headers["x-amzn-ErrorType"] = received or body.decode()
            body = b'{"__type": "%b", "message": "%b"}' % (received.encode(), received.encode())
        self.send_response_only(server.status)  # no Date of its own
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Write no log."""


@contextlib.contextmanager
def fake_server(*, certificate: Path | None = None) -> Iterator[FakeServer]:
    """Serve on a free port, by TLS if a file has a certificate with its key."""
    with FakeServer(("127.0.0.1", 0), _Handler) as server:
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
