"""Around requests to /graphql, where they are traced: the span of each."""

from starlette.types import ASGIApp, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from gateway.entry.cors import PATH
from gateway.entry.report import report_of
from gateway.entry.trace_context import believed
from gateway.traces import SPAN, Attributes, Tracer

METHODS = frozenset(
    {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}
)
"""What the conventions know; anything else is `_OTHER`."""


class Traced:
    """Traces requests. Their log lines have the id of their trace."""

    def __init__(self, app: ASGIApp, tracer: Tracer) -> None:
        self.app = app
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the lifespan, which has no path."""
        span = None
        if scope.get("path") == PATH:
            name, attributes = _begun(scope)
            span = self._tracer.request(name, attributes, believed(scope["headers"]))
        if span is None:
            await self.app(scope, receive, send)
            return
        report = report_of(scope)
        token = SPAN.set(span)
        try:
            with bound_contextvars(trace_id=span.trace_id):
                await self.app(scope, receive, send)
        finally:
            SPAN.reset(token)
            span.end(report.traced(), error=report.outcome if report.failed else None)


def _begun(scope: Scope) -> tuple[str, Attributes]:
    known = scope["method"] in METHODS
    return f"{scope['method'] if known else 'HTTP'} {PATH}", {
        "http.request.method": scope["method"] if known else "_OTHER",
        "http.route": PATH,
        "url.path": PATH,
        "url.scheme": scope["scheme"],
    }
