"""The emulated API: every request in, AWS's answer out."""

from urllib.parse import parse_qsl

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.sandbox.answers import Answers
from gateway.sandbox.authorization import read_authorization
from gateway.sandbox.calls import Call, CallLog
from gateway.sandbox.inputs import read_inputs
from gateway.sandbox.origin import Origin
from gateway.sandbox.outbreaks import Outbreaks
from gateway.sandbox.problems import RefusalError
from gateway.sandbox.questions import Answer, Question
from gateway.sandbox.refusals import access_denied, expired_token
from gateway.sandbox.routes import Routes
from gateway.sandbox.signature import ReceivedRequest
from gateway.sandbox.stalls import NoAnswerError
from gateway.sandbox.verification import Verifier


class Upstream:
    """The ASGI application behind every path that is not the control API's."""

    def __init__(
        self, answers: Answers, verifier: Verifier, outbreaks: Outbreaks, calls: CallLog, seed: int
    ) -> None:
        self._answers = answers
        self._verifier = verifier
        self._outbreaks = outbreaks
        self._calls = calls
        self._routes = Routes()
        self._ids = Origin(seed, "", "", 0)
        self._answered = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, unless its connection is gone."""
        received = await _received(scope, receive)
        call = Call(
            None, dict(parse_qsl(received.query, keep_blank_values=True)), self._request_id()
        )
        self._calls.add(call)
        try:
            answer = await self._answer(received, receive, call)
        except RefusalError as refusal:
            answer = _answer_of(refusal)
        except NoAnswerError:
            return
        call.status = answer.status
        headers = {"x-amzn-RequestId": call.request_id, **answer.headers}
        response = Response(answer.body, answer.status, headers, answer.media_type)
        await response(scope, receive, send)

    async def _answer(self, received: ReceivedRequest, receive: Receive, call: Call) -> Answer:
        call.operation, members = self._routes.find(received.method, received.raw_path)
        call.parameters = {**members, **call.parameters}
        claim = read_authorization(dict(received.headers))
        call.access_key_id, call.region = claim.access_key_id, claim.region
        identity = self._verifier.verify(claim, received)
        if identity.caller.name == "expired":
            raise expired_token()
        if identity.caller.name == "denied":
            raise access_denied(identity.caller, call.operation)
        inputs = read_inputs(call.operation, members, received.query)
        call.parameters = inputs
        question = Question(call.operation, inputs, identity, receive)
        return await self._outbreaks.afflict(question, self._answers.answer)(question)

    def _request_id(self) -> str:
        self._answered += 1
        return self._ids.uuid("request", self._answered)


async def _received(scope: Scope, receive: Receive) -> ReceivedRequest:
    return ReceivedRequest(
        method=scope["method"],
        raw_path=scope["raw_path"].decode("latin-1"),
        query=scope["query_string"].decode("latin-1"),
        headers=tuple(
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]
        ),
        body=await Request(scope, receive).body(),
    )


def _answer_of(refusal: RefusalError) -> Answer:
    headers = {"x-amzn-ErrorType": refusal.name, **refusal.headers}
    return Answer(orjson.dumps({"message": refusal.message}), refusal.status, headers)
