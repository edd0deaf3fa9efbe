"""The results of subscriptions: the operation is executed for each event."""

import sys
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Self

import orjson
from graphql import GraphQLError

from gateway.auth.credentials import Caller
from gateway.cpu_scheduler import pause
from gateway.errors import LimitExceededError
from gateway.graph.context import Context
from gateway.graph.events import Event, EventStream, WatchFailure
from gateway.graph.execution.engine import Engine, GraphRequest, GraphResult, Operation, rejected
from gateway.upstream.values import kept_json

MAX_SUBSCRIPTION_SIZE = 16 * 1024
"""Characters of a subscription's document, and bytes of its variables as JSON."""


async def subscribe(
    engine: Engine,
    request: GraphRequest,
    operation: Operation,
    context: Context,
    make_context: Callable[[Caller], Context],
    options: Hashable,
) -> "ResultStream | GraphResult":
    """Start a subscription; return its results, or the one that rejects it.

    `operation` is that of the request. `make_context` makes the context of an event, the same for
    all requests of a caller with these options.
    """
    kept = KeptRequest.of(request)
    if kept.size > MAX_SUBSCRIPTION_SIZE:
        error = LimitExceededError(
            "The subscription is too large. Accepted: document and variables of up to "
            f"{MAX_SUBSCRIPTION_SIZE} characters together.",
            limit="subscription_size",
        )
        return rejected(GraphQLError(error.message, original_error=error))
    events = await engine.open_events(operation, context)
    if isinstance(events, GraphResult):
        return events
    name = operation.plan.name
    return ResultStream(engine, kept, name, events, context, make_context, options)


@dataclass(frozen=True, slots=True)
class KeptRequest:
    """A request as it is kept while a subscription lasts.

    Its parsed document and its variables as objects would take a hundred times the memory.
    """

    query: str
    operation_name: str | None
    variables: bytes
    """As JSON."""

    @classmethod
    def of(cls, request: GraphRequest) -> Self:
        # Clients of the same program send the same text.
        query = sys.intern(request.query)
        return cls(query, request.operation_name, kept_json(request.variables))

    @property
    def size(self) -> int:
        return len(self.query) + len(self.variables)

    def restore(self) -> GraphRequest:
        return GraphRequest(self.query, self.operation_name, orjson.loads(self.variables))


class ResultStream:
    """The results of a subscription, one for each event; must be closed."""

    def __init__(
        self,
        engine: Engine,
        request: KeptRequest,
        operation_name: str | None,
        events: EventStream[Any],
        context: Context,
        make_context: Callable[[Caller], Context],
        options: Hashable,
    ) -> None:
        """`context` is that of the subscription; its cost grows with each event."""
        self._engine = engine
        self._request = request
        self.operation_name = operation_name
        self._events = events
        self._cost = context.loader.cost
        self._make_context = make_context
        self._options = options

    async def next(self) -> GraphResult | None:
        """Return the result of the next event, when there is one; None after the last."""
        event = await self._events.next()
        if event is None:
            return None
        if isinstance(event, WatchFailure):
            # Without data: a client would take a null for the value of the field.
            return rejected(GraphQLError(str(event.error), original_error=event.error))
        # All subscriptions of a caller that are alike get the same result: a page that is open in
        # ten windows costs what it costs in one. A reading belongs to one poll of one caller.
        key = (event.reading, event.key, self._request, self._options)
        result = await self._engine.event_results.run(key, lambda: self._execute(event))
        await pause()
        return result

    async def _execute(self, event: Event) -> GraphResult:
        await pause()
        operation = self._engine.prepare(self._request.restore(), read_only=True)
        if isinstance(operation, GraphResult):
            return operation
        context = self._make_context(event.reading.caller)
        event.prepare(context.loader)
        result = await self._engine.execute(operation, context, event.value)
        self._cost.add(context.loader.cost)
        return result

    def close(self) -> None:
        self._events.close()
