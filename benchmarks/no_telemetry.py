"""`gateway serve` without log lines of requests and without metrics.

    python -m benchmarks.no_telemetry --port 8000

Settings are GATEWAY_* variables.
"""

import argparse
import socket

from prometheus_client import Counter, Gauge, Histogram

from gateway.app import create_app
from gateway.environment import read_settings
from gateway.http.middleware import RequestLog
from gateway.server.lifecycle import serve
from gateway.telemetry.logging import configure_logs


def nothing(*_: object) -> None:
    """Replace a method that counts."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    port = parser.parse_args().port
    app = create_app(read_settings())
    configure_logs("error")
    replaced = {
        Counter: ("inc",),
        Gauge: ("inc", "dec", "set"),
        Histogram: ("observe",),
        RequestLog: ("count", "set_document"),
    }
    for kind, methods in replaced.items():
        for method in methods:
            setattr(kind, method, nothing)
    with socket.create_server(("127.0.0.1", port)) as listener:
        serve(app, [listener])


if __name__ == "__main__":
    main()
