"""Around requests to /graphql, where they are traced: the span of each."""

from starlette.types import ASGIApp, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from gateway.http.cors import PATH
from gateway.http.request_log import request_log_of
from gateway.http.trace_context import parse_trace_context
from gateway.telemetry.tracing import SPAN, Attributes, Tracer

METHODS = frozenset(
    {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}
)
"""What the conventions know; anything else is `_OTHER`."""


class TracingMiddleware:
    """Traces requests. Their log lines have the id of their trace."""

    def __init__(self, app: ASGIApp, tracer: Tracer) -> None:
        self.app = app
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the lifespan, which has no path."""
        span = None
        if scope.get("path") == PATH:
            name, attributes = _begun(scope)
            span = self._tracer.request(name, attributes, parse_trace_context(scope["headers"]))
        if span is None:
            await self.app(scope, receive, send)
            return
        report = request_log_of(scope)
        token = SPAN.set(span)
        try:
            with bound_contextvars(trace_id=span.trace_id):
                await self.app(scope, receive, send)
        finally:
            SPAN.reset(token)
            span.end(report.span_attributes(), error=report.outcome if report.failed else None)


def _begun(scope: Scope) -> tuple[str, Attributes]:
    known = scope["method"] in METHODS
    return f"{scope['method'] if known else 'HTTP'} {PATH}", {
        "http.request.method": scope["method"] if known else "_OTHER",
        "http.route": PATH,
        "url.path": PATH,
        "url.scheme": scope["scheme"],
    }
