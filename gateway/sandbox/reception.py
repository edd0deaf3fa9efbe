"""How every request of the emulated services is taken in, remembered and answered."""

from typing import Protocol
from urllib.parse import parse_qsl

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.sandbox.calls import Call, CallLog
from gateway.sandbox.origin import Origin
from gateway.sandbox.problems import RefusalError
from gateway.sandbox.questions import Answer
from gateway.sandbox.signature import ReceivedRequest
from gateway.sandbox.stalls import NoAnswerError


class Desk(Protocol):
    """Whoever knows what to answer."""

    async def answer(self, received: ReceivedRequest, receive: Receive, call: Call) -> Answer:
        """Give the answer, and tell the log what was asked by whom as soon as it is known."""

    def refuse(self, refusal: RefusalError, call: Call, /) -> Answer:
        """Word a refusal as this desk's protocol does."""


class Reception:
    """Stands in front of every desk: one log of calls, one sequence of request ids."""

    def __init__(self, calls: CallLog, seed: int) -> None:
        self._calls = calls
        self._ids = Origin(seed, "", "", 0)
        self._received = 0

    def before(self, desk: Desk) -> ASGIApp:
        """Give the ASGI application of a desk."""
        return _Door(self, desk)

    def admit(self, received: ReceivedRequest) -> Call:
        """Remember a call from its beginning."""
        self._received += 1
        parameters = dict(parse_qsl(received.query, keep_blank_values=True))
        call = Call(None, parameters, self._ids.uuid("request", self._received))
        self._calls.add(call)
        return call


class _Door:
    """One desk as an ASGI application. A class, since a function would be handed a Request."""

    def __init__(self, reception: Reception, desk: Desk) -> None:
        self._reception = reception
        self._desk = desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, unless its connection is gone."""
        received = await _received(scope, receive)
        call = self._reception.admit(received)
        try:
            answer = await self._desk.answer(received, receive, call)
        except RefusalError as refusal:
            answer = self._desk.refuse(refusal, call)
        except NoAnswerError:
            return
        call.status = answer.status
        await _response(answer, call.request_id)(scope, receive, send)


def _response(answer: Answer, request_id: str) -> Response:
    headers = {"x-amzn-RequestId": request_id, **answer.headers}
    if answer.deliver is None:
        return Response(answer.body, answer.status, headers, answer.media_type)
    pieces = answer.deliver(answer.body)
    return StreamingResponse(pieces, answer.status, headers, answer.media_type)


def json_refusal(refusal: RefusalError) -> Answer:
    """Word a refusal as REST-JSON does."""
    headers = {"x-amzn-ErrorType": refusal.name, **refusal.headers}
    return Answer(orjson.dumps({"message": refusal.message}), refusal.status, headers)


async def _received(scope: Scope, receive: Receive) -> ReceivedRequest:
    return ReceivedRequest(
        method=scope["method"],
        scheme=scope["scheme"],
        raw_path=scope["raw_path"].decode("latin-1"),
        query=scope["query_string"].decode("latin-1"),
        headers=tuple(
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]
        ),
        body=await Request(scope, receive).body(),
    )
