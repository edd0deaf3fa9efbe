"""`gateway serve` that tells nothing: no line of a request is written, no metric is counted.

    python benchmarks/untold.py --port 8000

Settings are GATEWAY_* variables, as ever.
"""

import argparse

from prometheus_client import Counter, Gauge, Histogram

from gateway.app import create_app
from gateway.http.middleware import RequestLog
from gateway.server.lifecycle import serve
from gateway.settings import read_settings
from gateway.telemetry.logging import configure_logs


def nothing(*_: object) -> None:
    """Count nothing."""


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    port = parser.parse_args().port
    app = create_app(read_settings())
    configure_logs("error")
    silent = {
        Counter: ("inc",),
        Gauge: ("inc", "dec", "set"),
        Histogram: ("observe",),
        RequestLog: ("count", "set_document"),
    }
    for kind, methods in silent.items():
        for method in methods:
            setattr(kind, method, nothing)
    serve(app, "127.0.0.1", port, 1)


if __name__ == "__main__":
    main()
