"""`gateway serve` as a process of its own, and what it has logged and measured."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.gateways import http
from tests.processes import Process, gateway_process
from tests.serving import serve
from tests.telemetry.collector import Collector


@contextmanager
def traced_gateway(
    upstream_url: str,
    *,
    variables: Mapping[str, str] | None = None,
    workers: int = 1,
    trace_ratio: float = 1,
    **settings: Any,
) -> Iterator[tuple[Process, Collector]]:
    """Run a gateway that exports its spans every 50 ms, and their collector."""
    collector = Collector()
    with serve(collector) as url:
        merged = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": url,
            "OTEL_BSP_SCHEDULE_DELAY": "50",
            **(variables or {}),
        }
        with gateway_process(
            upstream_url, variables=merged, workers=workers, trace_ratio=trace_ratio, **settings
        ) as program:
            yield program, collector


def events(program: Process, name: str) -> list[dict[str, Any]]:
    """Return the log lines of one event; complete only when the program has ended."""
    lines = [json.loads(line) for line in program.output]
    return [line for line in lines if line["event"] == name]


def get(url: str) -> httpx.Response:
    return http("GET", url)


def is_ready(url: str) -> bool:
    try:
        return get(f"{url}/readyz").is_success
    except httpx.TransportError:
        return False


def samples(url: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Return (metric, labels) -> value."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(get(f"{url}/metrics").text)
        for sample in family.samples
    }


def metric(url: str, name: str, **labels: str) -> float:
    """Return the value of a metric; 0 if it has none yet."""
    return samples(url).get((name, frozenset(labels.items())), 0.0)
