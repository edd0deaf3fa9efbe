"""Responses that are streams of results.

Sources: GraphQL over Server-Sent Events protocol, distinct connections mode; Apollo's multipart
protocol for GraphQL subscriptions over HTTP.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextvars import Context
from typing import Any, Final, Protocol

import orjson
import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.errors import GatewayError, SubscriptionEndedError
from gateway.graph.execution.engine import GraphResult
from gateway.graph.execution.result_stream import ResultStream
from gateway.http.disconnect import cancel_on_disconnect
from gateway.http.middleware import CLIENT_DISCONNECTED, RequestLog
from gateway.http.responses import EVENT_STREAM, HEADERS, MULTIPART, SUBSCRIPTION_SPEC
from gateway.http.subscriptions import OpenSubscription, Subscriptions
from gateway.telemetry.metrics import OK, SUBSCRIPTION_EVENTS, count

logger = structlog.get_logger()

HEARTBEAT_SECONDS: Final = 10.0
"""Less than the time after which proxies close a connection on which nothing is sent."""

SECONDS_BEFORE_END: Final = 0.1
"""Without an event before the gateway ends a stream that its client should open again."""

STREAM_HEADERS: Final = {**HEADERS, "X-Accel-Buffering": "no"}
"""The last one makes nginx pass each event on at once."""


class StreamFormat(Protocol):
    """How results are written."""

    content_type: str
    opening: bytes
    heartbeat: bytes
    silence_after_event: float | None
    """Seconds from an event to the next heartbeat, if not HEARTBEAT_SECONDS."""
    end: bytes
    """After the last result."""

    def event(self, content: Mapping[str, Any]) -> bytes:
        """Return a result as it is sent."""

    def interruption(self, error: GatewayError) -> bytes:
        """Return the end of a stream whose client should subscribe again."""


class EventStreamFormat:
    content_type = EVENT_STREAM
    silence_after_event: float | None = None
    heartbeat = b":\n\n"
    opening = heartbeat
    end = b"event: complete\ndata:\n\n"

    def event(self, content: Mapping[str, Any]) -> bytes:
        return b"event: next\ndata: %b\n\n" % orjson.dumps(content)

    def interruption(self, error: GatewayError) -> bytes:
        # A comment: clients subscribe again after a stream that ends without `complete`.
        return b": %b\n\n" % error.message.encode()


class MultipartFormat:
    # Clients compare both texts with these, without quotes and in lower case.
    content_type = f"{MULTIPART};boundary=graphql;subscriptionSpec={SUBSCRIPTION_SPEC}"
    part_head = b"\r\ncontent-type: application/json\r\n\r\n"
    # Parsers of multipart bodies may hold a part back until another one begins.
    silence_after_event: float | None = 0.1
    opening = b"\r\n--graphql"
    end = b"--\r\n"

    def __init__(self) -> None:
        self.heartbeat = self._part({})

    def event(self, content: Mapping[str, Any]) -> bytes:
        return self._part({"payload": content})

    def interruption(self, error: GatewayError) -> bytes:
        errors = [{"message": error.message, "extensions": error.extensions()}]
        return self._part({"payload": None, "errors": errors}) + self.end

    def _part(self, content: Mapping[str, Any]) -> bytes:
        # With the boundary after it, up to which clients read a part.
        return b"%b%b\r\n--graphql" % (self.part_head, orjson.dumps(content))


STREAM_FORMATS: Final[Mapping[str, StreamFormat]] = {
    EVENT_STREAM: EventStreamFormat(),
    MULTIPART: MultipartFormat(),
}
"""By media type."""


def result_content(result: GraphResult) -> dict[str, Any]:
    """Return a result as JSON has it."""
    content: dict[str, Any] = {}
    if result.errors:
        content["errors"] = result.errors
    if result.extensions:
        content["extensions"] = result.extensions
    if result.executed:
        content["data"] = result.data
    return content


def stream_of_one(content: Mapping[str, Any], media_type: str) -> Response:
    """Return a stream with the result of a query, or of a subscription that was rejected."""
    stream = STREAM_FORMATS[media_type]
    body = stream.opening + stream.event(content) + stream.end
    return Response(body, headers=STREAM_HEADERS | {"Content-Type": stream.content_type})


_NO_VARIABLES = Context()
"""In which alarms are called: each would make a copy of the current context otherwise."""


class Alarm:
    """Wakes the task that waits for it, when a future is done.

    For many streams that all wait, asyncio.wait would make so many objects that scanning them
    delays other requests.
    """

    __slots__ = ("_loop", "_waiter")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[bool] | None = None

    def call_when_done(self, future: "asyncio.Future[Any]") -> None:
        future.add_done_callback(self, context=_NO_VARIABLES)

    def __call__(self, future: "asyncio.Future[Any] | None" = None) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(future is None)

    async def wait(self, seconds: float) -> bool:
        """Wait for some seconds, or until one of the futures is done; return whether none is.

        One that was done a moment ago may end the wait too.
        """
        self._waiter = self._loop.create_future()
        timer = self._loop.call_later(seconds, self, context=_NO_VARIABLES)
        try:
            return await self._waiter
        finally:
            timer.cancel()


class SubscriptionResponse:
    """An ASGI application that sends the results of a subscription until it ends.

    Starlette's StreamingResponse would take twice the memory: a task group for each client, and
    the last event for as long as nothing happens.
    """

    def __init__(
        self,
        media_type: str,
        results: ResultStream,
        subscriptions: Subscriptions,
        subscription: OpenSubscription,
        log: RequestLog,
        run: Callable[[Coroutine[Any, Any, None]], Awaitable[None]],
    ) -> None:
        """Take over `results` and `subscription`, which are closed at the end.

        `run` computes a coroutine on the caller's account.
        """
        self._format = STREAM_FORMATS[media_type]
        self._results = results
        self._subscriptions = subscriptions
        self._subscription = subscription
        self._log = log
        self._run = run

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream; raises ClientDisconnectedError if its client leaves before the end."""
        self._log.events = 0
        # Unless the stream ends first.
        self._log.set_outcome(CLIENT_DISCONNECTED, self._results.operation_name)
        logger.info("subscription started", **self._log.identity())
        try:
            await self._run(self._send_all(scope, receive, send))
        finally:
            self._results.close()
            self._subscriptions.close(self._subscription)

    async def _send_all(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with cancel_on_disconnect(receive):
            await _send_head(send, self._format)
            # They would stay in memory as long as the stream, credentials among them.
            scope["headers"], scope["query_string"] = [], b""
            self._log.outcome = await self._send_body(send)

    async def _send_body(self, send: Send) -> str:
        """Return the outcome of the last event, or the reason for which the gateway ends it."""
        await _send_chunk(send, self._format.opening)
        ended, outcome, silence = self._subscription.ended, OK, HEARTBEAT_SECONDS
        alarm = Alarm()
        alarm.call_when_done(ended)
        pending = self._next_result(alarm)
        try:
            while True:
                silent = False
                if not (pending.done() or ended.done()):
                    silent = await alarm.wait(silence)
                if pending.done():
                    # Not to a variable, which would keep the result until the next one.
                    sent = await self._send_event(send, pending.result())
                    if sent is None:
                        end = self._format.end
                        break
                    outcome = sent
                    silence = self._format.silence_after_event or HEARTBEAT_SECONDS
                    pending = self._next_result(alarm)
                elif ended.done():
                    # Clients may miss an end that arrives together with an event.
                    await asyncio.wait([pending], timeout=SECONDS_BEFORE_END)
                    if pending.done():
                        continue
                    error = SubscriptionEndedError(ended.result())
                    outcome, end = error.code, self._format.interruption(error)
                    break
                elif silent:
                    silence = HEARTBEAT_SECONDS
                    await _send_chunk(send, self._format.heartbeat)
        finally:
            pending.cancel()
        await _send_chunk(send, end, last=True)
        return outcome

    def _next_result(self, alarm: "Alarm") -> "asyncio.Task[GraphResult | None]":
        pending = asyncio.create_task(self._results.next())
        alarm.call_when_done(pending)
        return pending

    async def _send_event(self, send: Send, result: GraphResult | None) -> str | None:
        """Send and count an event; return its outcome, or None if there is none."""
        if result is None:
            return None
        self._log.events = (self._log.events or 0) + 1
        count(SUBSCRIPTION_EVENTS)
        await _send_chunk(send, self._format.event(result_content(result)))
        return result.outcome


async def _send_head(send: Send, stream: StreamFormat) -> None:
    headers = STREAM_HEADERS | {"Content-Type": stream.content_type}
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": 200, "headers": raw})


async def _send_chunk(send: Send, chunk: bytes, *, last: bool = False) -> None:
    await send({"type": "http.response.body", "body": chunk, "more_body": not last})
