"""One log entry, count, duration and span for each attempt to call AWS."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import structlog

from gateway.errors import GatewayError, InternalError
from gateway.telemetry.metrics import OK, UPSTREAM_CALLS, UPSTREAM_SECONDS
from gateway.telemetry.tracing import CLEAN_ROOMS_ML, end_call, start_call

log = structlog.get_logger()

CANCELLED = "CANCELLED"
"""The outcome of a call that ended because nobody waited for it any more."""


class CallObservation:
    def __init__(self) -> None:
        self.outcome = CANCELLED
        self.aws_request_id: str | None = None

    def record_response(self, response: Mapping[str, Any]) -> None:
        self.outcome = OK
        self.aws_request_id = response.get("ResponseMetadata", {}).get("RequestId")

    def record_error(self, error: Exception) -> None:
        self.outcome = InternalError.code
        if isinstance(error, GatewayError):
            self.outcome = error.code
            self.aws_request_id = error.aws.request_id if error.aws else None


@contextmanager
def observe_call(
    operation: str, caller: str, region: str, *, service: str = CLEAN_ROOMS_ML
) -> Iterator[CallObservation]:
    """Observe the attempt inside, made for the caller with this digest."""
    observation = CallObservation()
    span = start_call(service, operation, region)
    started = time.perf_counter()
    try:
        yield observation
    except Exception as error:
        observation.record_error(error)
        raise
    finally:
        seconds = time.perf_counter() - started
        outcome, aws_request_id = observation.outcome, observation.aws_request_id
        UPSTREAM_CALLS.labels(operation, outcome).inc()
        UPSTREAM_SECONDS.labels(operation).observe(seconds)
        log.info(
            "upstream call",
            operation=operation,
            region=region,
            caller=caller,
            outcome=outcome,
            aws_request_id=aws_request_id,
            ms=round(seconds * 1000, 1),
        )
        if span is not None:
            failed = outcome not in {OK, CANCELLED}
            end_call(span, outcome, aws_request_id, failed=failed)
