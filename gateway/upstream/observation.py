"""The audit: one line, a count, and a span, for each attempt to call AWS."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from gateway.errors import GatewayError, InternalError
from gateway.telemetry.metrics import OK, UPSTREAM_CALLS, UPSTREAM_SECONDS
from gateway.telemetry.tracing import CLEAN_ROOMS_ML, end_call, start_call

log = structlog.get_logger()

CANCELLED = "CANCELLED"
"""The outcome of a call that nobody waited for any more."""


class CallObservation:
    """What came of an attempt."""

    def __init__(self) -> None:
        self.outcome = CANCELLED
        self.aws_request_id: str | None = None

    def answered(self, aws_request_id: str | None) -> None:
        """Note an answer, by the id that AWS knows it by."""
        self.outcome, self.aws_request_id = OK, aws_request_id

    def failed(self, error: Exception) -> None:
        """Note a failure."""
        self.outcome = InternalError.code
        if isinstance(error, GatewayError):
            self.outcome = error.code
            self.aws_request_id = error.aws.request_id if error.aws else None


@contextmanager
def observe_call(
    operation: str, caller: str, region: str, *, service: str = CLEAN_ROOMS_ML
) -> Iterator[CallObservation]:
    """Tell of the attempt inside who made it, by their digest, and what came of it."""
    audit = CallObservation()
    span = start_call(service, operation, region)
    started = time.perf_counter()
    try:
        yield audit
    except Exception as error:
        audit.failed(error)
        raise
    finally:
        seconds = time.perf_counter() - started
        UPSTREAM_CALLS.labels(operation, audit.outcome).inc()
        UPSTREAM_SECONDS.labels(operation).observe(seconds)
        log.info(
            "upstream call",
            operation=operation,
            region=region,
            caller=caller,
            outcome=audit.outcome,
            aws_request_id=audit.aws_request_id,
            ms=round(seconds * 1000, 1),
        )
        if span is not None:
            failed = audit.outcome not in {OK, CANCELLED}
            end_call(span, audit.outcome, audit.aws_request_id, failed=failed)
