"""What is told of a request beside its answer: in its log line, in the metrics, in its span."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from starlette.types import Scope

from gateway.errors import InternalError
from gateway.telemetry.metrics import OK, REQUEST_SECONDS, REQUESTS
from gateway.telemetry.tracing import OUTCOME, Attributes
from gateway.upstream.cost import Cost

KEY: Final = "audience-gateway.report"
"""Of an ASGI scope."""

SERVER_ERROR = 500

MAX_NAME = 64
"""Characters that are told of an operation's name, which whoever asks makes up."""


@dataclass(slots=True)
class RequestLog:
    """Filled in on the way. Holds nothing that must not be logged."""

    is_graphql: bool = False
    operation: str | None = None
    """The operation's name, or its beginning."""
    document: str | None = None
    """A digest of the document: the same query has the same."""
    caller: str | None = None
    """The caller's digest."""
    outcome: str = OK
    """OK, or the code of the first error."""
    cost: Cost | None = None
    request_id: str | None = None
    status: int = 0
    """Of the answer; 0 before there is one."""

    @property
    def failed(self) -> bool:
        """Whether it is us, or what we depend on, who failed."""
        return self.status >= SERVER_ERROR or self.outcome == InternalError.code

    def set_document(self, query: str) -> None:
        """Note what is asked."""
        self.document = sha256(query.encode("utf-8", "surrogatepass")).hexdigest()[:16]

    def set_outcome(self, outcome: str, operation: str | None) -> None:
        """Note how it ended, and the name of the operation that was executed."""
        self.outcome = outcome
        self.operation = operation[:MAX_NAME] if operation else None

    def log_fields(self) -> dict[str, Any]:
        """Give what the log line has of it."""
        if not self.is_graphql:
            return {}
        told = {
            "outcome": self.outcome,
            "operation": self.operation,
            "document": self.document,
            "caller": self.caller,
        }
        if self.cost is not None:
            told |= self.cost.log_fields()
        return told

    def span_attributes(self) -> Attributes:
        """Give what the span has of it."""
        told: Attributes = {
            "http.response.status_code": self.status,
            "gateway.request_id": self.request_id,
        }
        if not self.is_graphql:
            return told
        return {
            **told,
            OUTCOME: self.outcome,
            "graphql.operation.name": self.operation,
            "gateway.document": self.document,
        }

    def count(self, seconds: float) -> None:
        """Count the request."""
        if self.is_graphql:
            REQUESTS.labels(self.status, self.outcome).inc()
            REQUEST_SECONDS.observe(seconds)


def request_log_of(scope: Scope) -> RequestLog:
    """Return the report of a request; one that nobody reads where nobody has begun one."""
    report: RequestLog = scope.setdefault(KEY, RequestLog())
    return report
